"""Runs a model to idle in memory: the real verbs, lifecycle and resolver, without machines."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from localmodel.charms import Meta, read_meta
from localmodel.lifecycle import advance, enter_scope
from localmodel.operations import applications, machines, relations
from localmodel.resolver import choose_hook, record_hook
from localmodel.state import Application, Hook, Model, Unit
from localmodel.store import Store

Charm = Callable[[Model, Unit, Hook], None]

# More hooks than any test's model needs: one that goes on longer never gets idle.
LIMIT = 2000


class NotIdleError(AssertionError):
    """A model that still wants hooks after very many."""


class World:
    """A model, its operator, and what has happened on its units.

    Attributes:
        events: unit, and event with the remote unit or app and the departing unit it is about.
        charm: what the charms do in a hook, beside ending well.
        now: the clock, in seconds since the epoch.
    """

    def __init__(self, store: Store, model: Model, charms: Path) -> None:
        self.store = store
        self.model = model
        self.charms = charms
        self.events: list[tuple[str, str]] = []
        self.charm: Charm = lambda model, unit, hook: None
        self.now = 1_000_000.0

    def deploy(self, charm: str, name: str | None = None, **options: Any) -> Application:
        path = self.charms / f"{charm}.charm"
        return applications.deploy(self.store, self.model, path, name=name, **options)

    def integrate(self, one: str, other: str) -> None:
        relations.integrate(self.store, self.model, one, other)

    def unrelate(self, one: str, other: str) -> None:
        relations.remove_relation(self.model, one, other)

    def add_unit(self, name: str, to: str | None = None) -> Unit:
        app = self.model.app(name)
        (unit,) = applications.add_units(self.store, self.model, app, 1, [to] if to else [])
        return unit

    def remove_unit(self, name: str, *, force: bool = False) -> None:
        applications.remove_units(self.store, self.model, [name], force=force)

    def remove(self, name: str, *, force: bool = False) -> None:
        applications.remove_application(self.store, self.model, name, force=force)

    def refresh(self, name: str, path: Path) -> bool:
        return applications.refresh(self.store, self.model, name, path)

    def configure(self, name: str, **values: Any) -> None:
        applications.set_options(self.store, self.model, name, values, [])

    def add_machine(self) -> str:
        return machines.add_machine(self.store, self.model).number

    def reboot(self, number: str) -> None:
        machine = self.model.machine(number)
        machine.boot = f"{machine.boot}+"

    def meta(self, unit: Unit) -> Meta:
        return read_meta(self.store.paths, self.model.apps[unit.app].sha256)

    def next(self, unit: Unit) -> Hook | None:
        return choose_hook(self.model, unit, self.meta(unit), self.now)

    def begin(self, unit: Unit, hook: Hook) -> None:
        """What the agent does before a charm runs."""
        unit.pending = hook
        if hook.kind == "relation-created" and hook.relation in self.model.relations:
            enter_scope(self.model, self.model.relations[hook.relation], unit)

    def step(self) -> bool:
        """Run one hook; whether there was one."""
        advance(self.model)
        for machine in list(self.model.machines.values()):
            machine.boot = machine.boot or "boot"
            on_it = [u for u in self.model.units.values() if u.machine == machine.number]
            if machine.life == "dying" and not on_it:
                del self.model.machines[machine.number]
        for unit in sorted(
            self.model.units.values(), key=lambda u: (u.machine, u.principal or "", u.name)
        ):
            hook = self.next(unit)
            if hook is None:
                continue
            self.begin(unit, hook)
            self.events.append((unit.name, describe(hook)))
            self.charm(self.model, unit, hook)
            record_hook(self.model, unit, hook, self.meta(unit), self.now)
            return True
        return False

    def run_until_idle(self) -> list[tuple[str, str]]:
        """Run to idle. Returns: the events since the last time, which are then forgotten."""
        for _ in range(LIMIT):
            if not self.step():
                events, self.events = self.events, []
                return events
        raise NotIdleError(f"still wants hooks: {self.events[-20:]}")


def describe(hook: Hook) -> str:
    """An event in one line, such as `db-relation-departed db/0 (db/0 departs)`."""
    about = hook.remote_unit
    if hook.kind == "relation-changed" and not about:
        about = hook.remote_app
    text = f"{hook.name} {about}".strip()
    return f"{text} ({hook.departing} departs)" if hook.departing else text


def of(events: list[tuple[str, str]], unit: str) -> list[str]:
    """One unit's events."""
    return [event for name, event in events if name == unit]
