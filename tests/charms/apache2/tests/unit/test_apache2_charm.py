from __future__ import annotations

import dataclasses
from typing import Any

import ops
import pytest
from ops import testing

from tests.charms.load import load_charm

charm = load_charm("apache2")
EVENTS = ("install", "upgrade_charm", "config_changed", "start", "update_status")


@dataclasses.dataclass
class Machine:
    """Stands in for the module `apache2`: what the machine holds, and what fails on it."""

    running: bool = False
    page: str = ""
    broken: str = ""

    Apache2Error = charm.apache2.Apache2Error

    def install(self) -> None:
        if self.broken:
            raise self.Apache2Error(self.broken)

    def write_page(self, text: str, unit: str) -> None:
        self.page = f"{text} from {unit}"

    def start(self) -> None:
        self.running = True

    def stop(self) -> None:
        self.running = False

    def is_running(self) -> bool:
        return self.running

    def version(self) -> str:
        return "2.4.1"

    def fetch_page(self) -> str:
        if not self.running:
            raise self.Apache2Error("no answer")
        return self.page


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    fake = Machine()
    monkeypatch.setattr(charm, "apache2", fake)
    return fake


@pytest.fixture
def context() -> testing.Context[Any]:
    return testing.Context(charm.Apache2Charm)


@pytest.mark.parametrize("event", EVENTS)
def test_every_hook_ends_with_a_page_that_is_served(
    event: str, context: testing.Context[Any], machine: Machine
) -> None:
    out = context.run(getattr(context.on, event)(), testing.State(config={"page": "Hi"}))
    assert machine.running
    assert machine.page == "Hi from apache2/0"
    assert out.unit_status == ops.ActiveStatus("serving on http://192.0.2.0/")
    assert out.opened_ports == {testing.TCPPort(80)}
    assert out.workload_version == "2.4.1"


def test_a_package_that_cannot_be_installed_blocks_the_unit_and_heals(
    context: testing.Context[Any], machine: Machine
) -> None:
    machine.broken = "apt-get failed: no network"
    out = context.run(context.on.install(), testing.State())
    assert out.unit_status == ops.BlockedStatus("apt-get failed: no network")
    machine.broken = ""
    out = context.run(context.on.update_status(), out)
    assert isinstance(out.unit_status, ops.ActiveStatus)


def test_stop_stops_the_server_and_closes_its_port(
    context: testing.Context[Any], machine: Machine
) -> None:
    machine.running = True
    out = context.run(context.on.stop(), testing.State(opened_ports={testing.TCPPort(80)}))
    assert not machine.running
    assert not out.opened_ports
    assert out.unit_status == ops.MaintenanceStatus("apache2 is not running")


def test_the_action_page_returns_what_the_server_serves(
    context: testing.Context[Any], machine: Machine
) -> None:
    machine.running, machine.page = True, "<html>"
    context.run(context.on.action("page"), testing.State())
    assert context.action_results == {"page": "<html>"}


def test_the_action_page_fails_where_nothing_answers(
    context: testing.Context[Any], machine: Machine
) -> None:
    with pytest.raises(testing.ActionFailed, match="no answer"):
        context.run(context.on.action("page"), testing.State())


def test_a_page_shows_its_text_escaped_and_is_written_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    page = tmp_path / "index.html"
    apache2 = charm.apache2
    monkeypatch.setattr(apache2, "PAGE", page)
    apache2.write_page("2 < 3", "apache2/0")
    first = page.stat()
    assert "2 &lt; 3" in page.read_text()
    assert "apache2/0" in page.read_text()
    apache2.write_page("2 < 3", "apache2/0")
    assert page.stat().st_ino == first.st_ino
    apache2.write_page("other", "apache2/0")
    assert "other" in page.read_text()
