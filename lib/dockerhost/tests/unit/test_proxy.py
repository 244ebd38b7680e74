from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerhost import (
    Engine,
    Proxies,
    ProxyError,
    ensure_proxies,
    ensure_proxies_private,
    proxy,
    remove_proxies,
    service,
)

PROXY = "http://me:se%cret@proxy.example:3128"
PROXIES = Proxies(http=PROXY, https=PROXY, no_proxy="localhost,10.0.0.0/8")


class Machine:
    """Stands in for systemd and an engine: what it was started with, and what runs on it."""

    api_version = "1.41"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "units" / "docker.service.d" / "dockerhost-proxy.conf"
        self.addresses = self.file.with_name("dockerhost-proxy.env")
        self.labels: list[dict[str, str] | None] = []
        self.overrides: dict[str, str] = {}
        self.did: list[str] = []
        self.start({})

    def start(self, environment: dict[str, str]) -> None:
        self.environment = environment
        (self.folder / "7").mkdir(exist_ok=True)
        lines = (f"{name}={value}\0" for name, value in environment.items())
        (self.folder / "7" / "environ").write_text("".join(lines))

    def restart(self, unit: str, *, again: bool) -> None:
        assert (unit, again) == ("docker.service", True)
        self.did.append("restart")
        self.start({**self.read_files(), **self.overrides})

    def read_files(self) -> dict[str, str]:
        """What the engine's unit says, as systemd reads it."""
        text = self.file.read_text() if self.file.exists() else ""
        found = re.findall(r'^Environment="(\w+)=(.*)"$', text, re.MULTILINE)
        here = {name: value.replace("%%", "%") for name, value in found}
        for file in re.findall(r"^EnvironmentFile=-(.*)$", text, re.MULTILINE):
            here |= dict(re.findall(r'^(\w+)="(.*)"$', Path(file).read_text(), re.MULTILINE))
        return {name: re.sub(r"\\(.)", r"\1", value) for name, value in here.items()}

    @property
    def proxies(self) -> dict[str, str]:
        return {k: v for k, v in self.environment.items() if k != "DOCKERHOST_PROXIES"}

    def info(self) -> dict[str, str]:
        names = {"HttpProxy": "HTTP_PROXY", "HttpsProxy": "HTTPS_PROXY"}
        return {key: self.environment.get(name, "") for key, name in names.items()}

    def containers(self) -> list[dict[str, Any]]:
        return [{"Labels": labels} for labels in self.labels]


def make_machine(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Machine:
    machine = Machine(folder)
    monkeypatch.setattr("dockerhost.connection.Client", lambda **_: machine)
    monkeypatch.setattr(proxy, "UNITS", folder / "units")
    monkeypatch.setattr(proxy, "PROC", folder)
    monkeypatch.setattr(service, "find_unit", lambda: "docker.service")
    monkeypatch.setattr(service, "find_process", lambda _: 7)
    monkeypatch.setattr(service, "reload_units", lambda: machine.did.append("reload"))
    monkeypatch.setattr(service, "start", machine.restart)
    return machine


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    return make_machine(monkeypatch, tmp_path)


def test_an_engine_is_restarted_with_its_proxies_once(machine: Machine) -> None:
    machine.labels = [{"dockerhost.spec": "1"}]
    said: list[str] = []
    assert ensure_proxies(Engine(), PROXIES, said.append) == ""
    assert machine.proxies == PROXIES.environment
    assert machine.addresses.stat().st_mode & 0o777 == 0o600
    # Everybody can ask systemd what stands there.
    assert "proxy.example" not in machine.file.read_text()
    assert ensure_proxies(Engine(), PROXIES, said.append) == ""
    assert machine.did == ["reload", "restart"]
    assert said == ["restarting the Docker Engine, for its proxies"]


def test_a_kill_before_the_restart_is_made_good(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(service, "start", die)
        with pytest.raises(KeyboardInterrupt):
            ensure_proxies(Engine(), PROXIES)
    assert machine.proxies == {}
    ensure_proxies(Engine(), PROXIES)
    assert machine.proxies == PROXIES.environment


@pytest.mark.parametrize("labels", [None, {}, {"theirs": "1"}])
def test_an_engine_that_runs_others_containers_is_not_restarted(
    machine: Machine, labels: dict[str, str] | None
) -> None:
    machine.labels = [{"dockerhost.spec": "1"}, labels]
    why = ensure_proxies(Engine(), PROXIES)
    assert "does not use the proxies" in why
    assert "docker.service" in why
    assert PROXY not in why
    assert machine.did == []
    assert not machine.file.exists()


def test_proxies_that_an_engine_has_from_others_stay(machine: Machine) -> None:
    machine.start({"HTTPS_PROXY": "http://other:1"})
    assert ensure_proxies(Engine(), PROXIES) == ""
    assert ensure_proxies(Engine(), Proxies()) == ""
    assert machine.did == []


def test_another_proxy_takes_the_place_of_one_that_was_placed_here(machine: Machine) -> None:
    ensure_proxies(Engine(), PROXIES)
    ensure_proxies(Engine(), Proxies(http="http://other:1"))
    assert machine.proxies == {"HTTP_PROXY": "http://other:1"}


def test_without_proxies_what_was_placed_here_goes(machine: Machine) -> None:
    assert ensure_proxies(Engine(), Proxies(no_proxy="localhost")) == ""
    assert machine.did == []
    ensure_proxies(Engine(), PROXIES)
    machine.did.clear()
    ensure_proxies(Engine(), Proxies())
    assert machine.proxies == {}
    assert machine.did == ["reload", "restart"]
    assert not machine.file.parent.exists()


def test_others_containers_go_on_when_the_proxies_go(machine: Machine) -> None:
    ensure_proxies(Engine(), PROXIES)
    machine.labels = [None]
    machine.did.clear()
    ensure_proxies(Engine(), Proxies())
    assert machine.did == ["reload"]
    assert not machine.file.exists()


def test_the_proxies_are_forgotten_without_a_restart(machine: Machine) -> None:
    assert remove_proxies() is False
    ensure_proxies(Engine(), PROXIES)
    (machine.file.parent / "theirs.conf").touch()
    machine.did.clear()
    assert remove_proxies() is True
    assert machine.did == ["reload"]
    assert not machine.file.exists()
    assert (machine.file.parent / "theirs.conf").exists()


@pytest.mark.parametrize(
    "address", ["http://a\nExecStart=/bin/sh", "http://a\0", "http://a\u2028"]
)
def test_an_address_that_is_more_than_a_line_is_refused_unseen(
    machine: Machine, address: str
) -> None:
    with pytest.raises(ProxyError, match="HTTPS_PROXY has a line break") as told:
        ensure_proxies(Engine(), Proxies(https=address))
    assert address not in str(told.value)
    assert machine.did == []


def test_a_file_that_cannot_be_written_is_named(machine: Machine) -> None:
    (machine.folder / "units").touch()
    with pytest.raises(ProxyError, match=r"units/docker\.service\.d.*: "):
        ensure_proxies(Engine(), PROXIES)


def test_addresses_that_an_earlier_release_showed_are_hidden_without_a_restart(
    machine: Machine,
) -> None:
    assert ensure_proxies_private() is False
    machine.file.parent.mkdir(parents=True)
    escaped = PROXY.replace("%", "%%")
    machine.file.write_text(
        f'# Placed by dockerhost.\n[Service]\nEnvironment="HTTP_PROXY={escaped}"\n'
        f'Environment="NO_PROXY=a\\"b"\n'
    )
    machine.restart("docker.service", again=True)
    before = machine.proxies
    machine.did.clear()
    assert ensure_proxies_private() is True
    assert "proxy.example" not in machine.file.read_text()
    assert machine.addresses.stat().st_mode & 0o777 == 0o600
    assert machine.did == ["reload"]
    assert ensure_proxies(Engine(), Proxies(http=PROXY, no_proxy='a"b')) == ""
    assert machine.did == ["reload"]
    machine.restart("docker.service", again=True)
    assert machine.proxies == before == {"HTTP_PROXY": PROXY, "NO_PROXY": 'a"b'}
    assert ensure_proxies_private() is False


def test_proxies_that_another_setting_overrides_are_told_and_not_tried_twice(
    machine: Machine,
) -> None:
    machine.overrides = {"HTTPS_PROXY": "http://other:1"}
    ensure_proxies(Engine(), PROXIES)
    machine.did.clear()
    why = ensure_proxies(Engine(), PROXIES)
    assert "other settings of its unit come after" in why
    assert machine.did == []
    # Others are worth a trial.
    ensure_proxies(Engine(), Proxies(http="http://third:1"))
    assert machine.did == ["reload", "restart"]


addresses = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)


@given(http=addresses, https=addresses, no_proxy=addresses)
def test_whatever_prints_reaches_the_engine_unchanged(
    tmp_path_factory: pytest.TempPathFactory, http: str, https: str, no_proxy: str
) -> None:
    proxies = Proxies(http, https, no_proxy)
    with pytest.MonkeyPatch.context() as patch:
        machine = make_machine(patch, tmp_path_factory.mktemp("machine"))
        ensure_proxies(Engine(), proxies)
    assert machine.proxies == proxies.environment


def test_a_build_reads_either_spelling() -> None:
    assert Proxies(http="a").build_arguments == {"HTTP_PROXY": "a", "http_proxy": "a"}
    assert Proxies(no_proxy="a").build_arguments == {}
