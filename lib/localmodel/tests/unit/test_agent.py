"""The agent: what it stores before and after a hook, and when it tries a failed one again."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib.localmodel.tests.unit.driver import World, describe, of
from localmodel import agent as agents
from localmodel.agent import Agent
from localmodel.context import HookContext
from localmodel.errors import LocalModelError
from localmodel.machines.instance import Instance
from localmodel.state import Hook, Model, Status


class Ground:
    """Stands in for the machines: charms end as they are told to."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.events: list[tuple[str, str]] = []
        self.contexts: list[str] = []
        self.fail: set[str] = set()
        self.cut_short: set[str] = set()  # by the end of their machine
        self.is_up = False
        self.now = 1_000_000.0
        self.agent = Agent(world.store, world.model)

    def boot(self, agent: Agent, machine: object) -> None:
        for each in agent.model.machines.values():
            each.boot = each.ready = "boot"
        self.is_up = True

    def destroy(self, agent: Agent, machine: object) -> None:
        for number in [m.number for m in agent.model.machines.values() if m is machine]:
            del agent.model.machines[number]

    def dispatch(self, context: HookContext, instance: Instance, charm: str) -> int:
        stored = context.store.load("m").units[context.unit.name]
        # What must survive a kill is stored before the charm runs.
        assert stored.pending == context.hook
        assert stored.agent.message == f"running {context.hook.name} hook"
        self.events.append((context.unit.name, describe(context.hook)))
        self.contexts.append(context.hook.context)
        self.is_up = context.hook.name not in self.cut_short
        self.cut_short.discard(context.hook.name)
        return int(context.hook.name in self.fail or not self.is_up)


@pytest.fixture
def ground(world: World, monkeypatch: pytest.MonkeyPatch) -> Ground:
    ground = Ground(world)
    monkeypatch.setattr(Agent, "_boot", lambda agent, machine: ground.boot(agent, machine))
    monkeypatch.setattr(Agent, "_destroy", lambda agent, machine: ground.destroy(agent, machine))
    monkeypatch.setattr(Instance, "is_up", lambda instance: ground.is_up)
    monkeypatch.setattr(agents.dispatch, "dispatch", ground.dispatch)
    monkeypatch.setattr(agents.dispatch, "wait_for_orphan", lambda context: None)
    monkeypatch.setattr(agents.time, "time", lambda: ground.now)
    return ground


def test_the_agent_runs_the_events_that_the_driver_of_these_tests_runs(
    ground: Ground, charms: Path
) -> None:
    """So that what the other tests say of the order of events holds of the agent, too."""
    twin = World(ground.world.store, Model(uuid=ground.world.model.uuid, name="twin"), charms)
    driven: list[tuple[str, str]] = []

    def run_until_idle() -> None:
        ground.agent.run_until_idle()
        driven.extend(twin.run_until_idle())

    for world in (ground.world, twin):
        world.deploy("web")
        world.deploy("search")
        world.deploy("db", to=["0"])
        world.integrate("web", "search")
        world.integrate("web:database", "db:db")
    run_until_idle()
    for world in (ground.world, twin):
        world.unrelate("web", "search")
    run_until_idle()
    for world in (ground.world, twin):
        world.remove("web")
    run_until_idle()
    for unit in ("web/0", "search/0", "db/0"):
        assert of(ground.events, unit) == of(driven, unit) != []


def test_a_failed_hook_is_tried_after_5_seconds_doubled_up_to_5_minutes(ground: Ground) -> None:
    ground.world.deploy("web")
    ground.fail = {"start"}
    waits: list[float] = []
    for _ in range(9):
        ground.agent.run_until_idle()
        unit = ground.world.model.units["web/0"]
        waits.append(unit.retry_at - ground.now)
        assert (unit.agent.current, unit.agent.message) == ("error", 'hook failed: "start"')
        ground.now = unit.retry_at
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    ground.fail = set()
    ground.agent.run_until_idle()
    unit = ground.world.model.units["web/0"]
    assert (unit.failures, unit.pending, unit.agent.current) == (0, None, "idle")
    assert [e for _, e in ground.events][-10:] == ["start"] * 10


def test_a_failed_hook_is_not_tried_before_its_time(ground: Ground) -> None:
    ground.world.deploy("web")
    ground.fail = {"install"}
    ground.agent.run_until_idle()
    ground.now += 4.9
    ground.agent.run_until_idle()
    assert [e for _, e in ground.events] == ["install"]


def test_a_model_can_leave_failed_hooks_to_the_operator(ground: Ground) -> None:
    ground.world.deploy("web")
    ground.world.model.config["automatically-retry-hooks"] = "false"
    ground.fail = {"install"}
    ground.agent.run_until_idle()
    ground.now += 1_000_000
    ground.agent.run_until_idle()
    assert [e for _, e in ground.events] == ["install"]


def test_one_units_failure_leaves_the_others_going(ground: Ground) -> None:
    ground.world.deploy("web", units=2)
    ground.world.deploy("db", to=["0"])
    ground.world.charm = lambda model, unit, hook: None
    ground.fail = {"cluster-relation-created"}
    ground.agent.run_until_idle()
    assert ("db/0", "start") in ground.events


def test_a_killed_commands_hook_runs_again_with_a_token_of_its_own(ground: Ground) -> None:
    ground.world.deploy("web")
    ground.world.model.units["web/0"].pending = Hook("install", "install", context="killed")
    ground.agent.run_until_idle()
    assert ground.events[0] == ("web/0", "install")
    assert "killed" not in ground.contexts
    assert all(c.startswith("web/0-") and len(c.rpartition("-")[2]) == 32 for c in ground.contexts)


def test_a_hook_that_ended_with_its_machine_runs_again_at_once_when_that_is_up(
    ground: Ground,
) -> None:
    ground.world.deploy("web")
    ground.cut_short = {"config-changed"}
    ground.agent.run_until_idle()
    assert ground.is_up
    assert [e for _, e in ground.events][-3:] == ["config-changed", "config-changed", "start"]
    unit = ground.world.model.units["web/0"]
    assert (unit.failures, unit.pending, unit.agent.current) == (0, None, "idle")


def test_juju_sets_statuses_of_its_own(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    ground.world.deploy("web")
    seen: dict[str, Status] = {}

    def dispatch(context: HookContext, instance: Instance, charm: str) -> int:
        seen[context.hook.name] = context.unit.workload
        return 0

    monkeypatch.setattr(agents.dispatch, "dispatch", dispatch)
    ground.agent.run_until_idle()
    unit = ground.world.model.units["web/0"]
    assert (seen["install"].current, seen["install"].message) == (
        "maintenance",
        "installing charm software",
    )
    assert unit.workload.current == "unknown"
    ground.world.remove("web")
    ground.agent.run_until_idle()
    assert (seen["stop"].current, seen["stop"].message) == (
        "maintenance",
        "stopping charm software",
    )


def test_a_status_that_the_charm_set_stays_after_start(ground: Ground) -> None:
    ground.world.deploy("web")
    ground.agent.run_until_idle()
    ground.world.model.units["web/0"].workload = Status("active", "mine")
    ground.world.reboot("0")
    ground.agent.run_until_idle()
    assert ground.events[-1] == ("web/0", "start")
    assert ground.world.model.units["web/0"].workload.message == "mine"


def test_a_failed_hook_leaves_no_trace_of_what_it_buffered(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.world.deploy("web")
    codes = {"install": 1}

    def dispatch(context: HookContext, instance: Instance, charm: str) -> int:
        context.open_port("80/tcp")
        context.keep({context.hook.name: "ran"})
        return codes.pop(context.hook.name, 0)

    monkeypatch.setattr(agents.dispatch, "dispatch", dispatch)
    ground.agent.run_until_idle()
    unit = ground.world.model.units["web/0"]
    assert (unit.ports, unit.kept) == ([], {})
    ground.now += 5
    ground.agent.run_until_idle()
    assert unit.ports == ["80/tcp"]
    assert unit.kept["install"] == "ran"


def test_a_machine_whose_boot_was_not_seen_to_its_end_is_waited_for(ground: Ground) -> None:
    ground.world.deploy("web")
    # A command was killed while the machine booted, so it is up in part.
    ground.world.model.machines["0"].boot = "boot"
    ground.agent.run_until_idle()
    assert ground.world.model.machines["0"].ready == "boot"
    assert ground.events[0] == ("web/0", "install")


def test_a_machine_that_cannot_be_made_is_told_after_the_rest_is_done(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    ground.world.deploy("web")
    ground.world.deploy("db")

    def boot(agent: Agent, machine: object) -> None:
        (number,) = [m.number for m in agent.model.machines.values() if m is machine]
        if number == "0":
            raise LocalModelError("machine 0 did not boot")
        machine = agent.model.machines[number]
        machine.boot = machine.ready = "boot"

    monkeypatch.setattr(Agent, "_boot", boot)
    with pytest.raises(LocalModelError, match="machine 0 did not boot"):
        ground.agent.run_until_idle()
    assert {u for u, _ in ground.events} == {"db/0"}
    assert ("db/0", "start") in ground.events
