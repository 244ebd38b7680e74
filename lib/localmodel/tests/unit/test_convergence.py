"""Whatever an operator does in whatever order, a model comes to rest and is in order then."""

from __future__ import annotations

import shutil
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.localmodel.tests.unit.driver import World
from lib.localmodel.tests.unit.packing import pack
from localmodel.errors import LocalModelError
from localmodel.lifecycle import advance
from localmodel.paths import Paths
from localmodel.state import Model
from localmodel.store import Store

# Stands in a unit's history where it was taken away without its last hooks.
GONE = "gone"

APPS = st.sampled_from(["web", "db", "search", "agent"])
PAIRS = st.sampled_from(
    [("web", "search"), ("db", "search:juju-info"), ("web", "agent"), ("web:database", "db:db")]
)
STEPS = st.one_of(
    st.tuples(st.just("deploy"), APPS, st.integers(1, 2)),
    st.tuples(st.just("integrate"), PAIRS),
    st.tuples(st.just("unrelate"), PAIRS),
    st.tuples(st.just("remove"), APPS),
    st.tuples(st.just("force"), APPS),
    st.tuples(st.just("add_unit"), APPS),
    st.tuples(st.just("remove_unit"), st.sampled_from(["web/0", "web/1", "db/0", "db/1"])),
    st.tuples(st.just("refresh"), APPS, st.booleans()),
    st.tuples(st.just("configure"), st.integers(0, 3)),
    st.tuples(st.just("reboot"), st.sampled_from(["0", "1"])),
    st.tuples(st.just("work"), st.integers(1, 12)),
    st.tuples(st.just("interrupt"), st.integers(0, 3)),
)


@pytest.fixture(scope="module")
def ground(charms: Path) -> Iterator[tuple[Store, Path, Path]]:
    """A store, the charms, and another build of each."""
    folder = Path(tempfile.mkdtemp())
    store = Store(Paths(folder / "home", folder / "run"))
    store.set("underlay", "172.30.0.0/16")
    for name in ("web", "db", "search", "agent"):
        pack(folder / "next", name, {"dispatch": "next"})
    yield store, charms, folder / "next"
    store.close()
    shutil.rmtree(folder)


def take(world: World, newer: Path, step: tuple) -> None:
    """One step of an operator; what Juju refuses is left out."""
    verb, *what = step
    before = set(world.model.units)
    try:
        if verb == "deploy":
            name, count = what
            units = count if name in ("web", "db") else None
            world.deploy(name, units=units)
        elif verb in ("integrate", "unrelate"):
            getattr(world, verb)(*what[0])
        elif verb in ("remove", "force"):
            world.remove(what[0], force=verb == "force")
        elif verb in ("add_unit", "remove_unit"):
            getattr(world, verb)(*what)
        elif verb == "refresh":
            name, forward = what
            world.refresh(name, (newer if forward else world.charms) / f"{name}.charm")
        elif verb == "configure":
            world.configure("web", port=str(what[0]))
        elif verb == "reboot":
            world.reboot(what[0])
        elif verb == "work":
            for _ in range(what[0]):
                world.step()
        elif verb == "interrupt":
            interrupt(world, what[0])
    except LocalModelError:
        return
    # A command moves the model on before it ends, however soon it is killed then.
    advance(world.model)
    world.events += [(unit, GONE) for unit in before - set(world.model.units)]


def interrupt(world: World, which: int) -> None:
    """Leave a hook begun, as a command that is killed while it runs does."""
    world.step()
    units = sorted(world.model.units.values(), key=lambda u: u.name)
    for unit in units[which : which + 1]:
        hook = world.next(unit)
        if hook is not None and world.model.machines[unit.machine].boot:
            world.begin(unit, hook)


@settings(
    max_examples=100,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(STEPS, min_size=3, max_size=14))
def test_any_sequence_of_operations_comes_to_rest_in_order(
    ground: tuple[Store, Path, Path], steps: list[tuple]
) -> None:
    store, charms, newer = ground
    world = World(store, Model(uuid=str(uuid.UUID(int=3)), name="m"), charms)
    for step in steps:
        take(world, newer, step)
    history = world.run_until_idle()
    assert world.run_until_idle() == []
    check_rest(world.model)
    check_history(world.model, history)


def check_rest(model: Model) -> None:
    """What holds of every model that is idle."""
    for unit in model.units.values():
        assert unit.app in model.apps
        assert unit.machine in model.machines
        assert unit.life == "alive"
        assert unit.pending is None
        assert unit.local.charm == model.apps[unit.app].sha256
        assert unit.principal is None or unit.principal in model.units
        assert (unit.principal is not None) == model.apps[unit.app].subordinate
        assert set(unit.local.relations) == {r.id for r in model.relations_seen_by(unit)}
    for relation in model.relations.values():
        assert relation.life == "alive"
        assert {e.app for e in relation.endpoints} <= set(model.apps)
        apps = {e.app for e in relation.endpoints}
        present = {u.name for u in model.units.values() if u.app in apps}
        if not relation.container:
            assert set(relation.scope) == present
        assert len(relation.scope) == len(set(relation.scope))
        assert set(relation.bags) <= present | apps
        if relation.container:
            check_subordinates(model, [e.app for e in relation.endpoints])
    for app in model.apps.values():
        assert app.life == "alive"
        units = {u.name for u in model.units_of(app.name)}
        assert app.leader in units if units else app.leader is None
        assert [u for u in units if model.units[u].local.leader] == [app.leader] * bool(units)
    for unit in model.units.values():
        if unit.principal:
            tied = [
                r
                for r in model.relations_seen_by(unit)
                if r.container and r.other_app(unit.app) == model.units[unit.principal].app
            ]
            assert tied, f"{unit.name} is attached to nothing"


def check_subordinates(model: Model, apps: list[str]) -> None:
    principal, subordinate = sorted(apps, key=lambda a: model.apps[a].subordinate)
    for unit in model.units_of(principal):
        attached = [u for u in model.subordinates_of(unit.name) if u.app == subordinate]
        assert len(attached) == 1, f"{unit.name} has {attached}"


def check_history(model: Model, history: list[tuple[str, str]]) -> None:
    """What holds of the events of every unit, whatever was done to it."""
    lives: dict[str, list[str]] = {}
    for unit, event in history:
        events = lives.setdefault(unit, [])
        events.append(event)
        # A number is given out again only after its application was removed and deployed again.
        if event in (GONE, "remove"):
            check_life(unit, lives.pop(unit))
    for unit, events in lives.items():
        check_life(unit, events)
        assert unit in model.units


def check_life(unit: str, events: list[str]) -> None:
    """One life's events; a unit that is taken by force may be gone at any moment of it."""
    assert events[0] in ("install", GONE), (unit, events)
    joined: set[tuple[str, str]] = set()
    owed: dict[str, str] = {}
    for event in events:
        hook, _, about = event.partition(" ")
        relation, _, kind = hook.partition("-relation-")
        if relation in owed:
            assert (kind, about) == ("changed", owed.pop(relation)), (unit, event, events)
        if kind == "joined":
            assert (relation, about) not in joined, (unit, event, events)
            joined.add((relation, about))
            owed[relation] = about
        elif kind == "departed":
            # Raises where a unit departs that has not joined.
            joined.remove((relation, about.partition(" ")[0]))
        elif kind == "broken":
            assert not any(name == relation for name, _ in joined), (unit, events)
    assert events[-1] == GONE or not owed, (unit, events)
    if "start" in events:
        assert "config-changed" in events[: events.index("start")], (unit, events)
