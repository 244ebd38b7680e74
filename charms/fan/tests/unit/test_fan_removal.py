"""How a unit leaves: Juju may tell by `stop`, by the end of its relation, or not at all."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import ops
import pytest
from ops import testing

from charms.fan.tests.unit.conftest import PRINCIPAL
from charms.fan.tests.unit.fake_host import Host
from fan import removal
from lib.cosagent.tests.unit.fixtures import no_hook_tools

__all__ = ["no_hook_tools"]

Context = testing.Context[ops.CharmBase]
Run = Callable[..., testing.State]
OTHER = testing.SubordinateRelation("juju-info", remote_app_name="haproxy")
PEERS = testing.PeerRelation("hosts", peers_data={2: {}})
STATE = testing.State(relations={PRINCIPAL, OTHER, PEERS})
OVERLAY = IPv4Network("250.0.0.0/8")


def test_the_end_of_the_relation_to_its_principal_takes_the_fan_down(
    host: Host, context: Context, run: Run
) -> None:
    run()
    context.run(context.on.relation_broken(PRINCIPAL), STATE)
    assert not host.fans
    assert not list(host.units.glob("fan-0*"))


def test_the_end_of_a_relation_to_another_application_leaves_the_fan_alone(
    host: Host, context: Context, run: Run
) -> None:
    run()
    context.run(context.on.relation_broken(OTHER), STATE)
    assert OVERLAY in host.fans


def test_a_peer_that_departs_after_the_principal_brings_no_fan_back(
    host: Host, second: Context, run: Run
) -> None:
    run(context=second)
    second.run(second.on.relation_broken(PRINCIPAL), STATE)
    left = testing.State(relations={PEERS})
    departed = second.on.relation_departed(PEERS, remote_unit=2, departing_unit=1)
    second.run(departed, left)
    assert not host.fans


def test_what_notices_that_the_units_folder_is_gone_takes_the_fan_down(
    host: Host, run: Run
) -> None:
    run()
    service = (host.units / "fan-0-orphan.service").read_text()
    assert "src/orphan.py fan/0 250.0.0.0/8\n" in service
    assert "ConditionPathExists=!" in service
    host.remove_unit("fan/0")
    assert removal.give_back("fan/0", OVERLAY, host.system) == 0
    assert not host.fans
    assert not list(host.units.glob("fan-0*"))


def test_what_notices_leaves_the_fan_to_another_unit(
    host: Host, run: Run, second: Context
) -> None:
    run()
    run(context=second)
    host.remove_unit("fan/0")
    assert removal.give_back("fan/0", OVERLAY, host.system) == 0
    assert OVERLAY in host.fans


def test_a_stop_in_which_no_hook_tool_works_takes_the_fan_down_all_the_same(
    host: Host, run: Run, no_hook_tools: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: type[ops.CharmBase]) -> None:
        raise ops.ModelError("ERROR connection is shutdown before send")

    run()
    source = Path(removal.__file__).parents[1] / "charm.py"
    monkeypatch.setattr("ops.main", fail)
    monkeypatch.setattr(removal, "System", lambda: host)
    monkeypatch.setenv("JUJU_UNIT_NAME", "fan/0")
    monkeypatch.setenv("JUJU_HOOK_NAME", "stop")
    with pytest.raises(SystemExit) as left:
        exec(compile(source.read_text(), str(source), "exec"), {"__name__": "__main__"})  # noqa: S102
    assert left.value.code == 0
    assert not host.fans
