"""The document of `juju status`, whole or filtered."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import datetime
from fnmatch import fnmatchcase
from typing import Any

from localmodel.charms import read_meta
from localmodel.machines.template import read_host_base
from localmodel.machines.underlay import find_gateway, parse_underlay
from localmodel.state import (
    JUJU_VERSION,
    Application,
    Machine,
    Model,
    Status,
    Unit,
)
from localmodel.store import Store

CONTROLLER = "localmodel"
CLOUD = "localhost"
# The one space that there is.
SPACE = "alpha"

# What is shown of a model: the machines, applications and units by name, related ones too.
Selection = tuple[set[str], set[str], set[str]]


def format_since(moment: float) -> str:
    """Return a moment as Juju writes it in statuses: `27 Nov 2026 23:30:36Z`."""
    text = datetime.fromtimestamp(moment).astimezone().strftime("%d %b %Y %H:%M:%S%z")
    return f"{text[:-5]}Z" if text.endswith("+0000") else f"{text[:-2]}:{text[-2:]}"


def format_clock() -> str:
    """Return the time of day as Juju writes it beside a status."""
    text = datetime.now().astimezone().strftime("%H:%M:%S%z")
    return f"{text[:-5]}Z" if text.endswith("+0000") else f"{text[:-2]}:{text[-2:]}"


def make_status(store: Store, model: Model, patterns: Sequence[str] = ()) -> dict[str, Any]:
    """Return the document of `juju status --format json`.

    Args:
        patterns: show only what one of them matches, and what that belongs to.
    """
    machines, apps, units = select_model(model, patterns)
    return {
        "model": {
            "name": model.name,
            "type": "iaas",
            "controller": CONTROLLER,
            "cloud": CLOUD,
            "version": JUJU_VERSION,
            "model-status": {
                "current": "available" if model.life == "alive" else "destroying",
                "since": format_since(model.created),
            },
        },
        "machines": list_machine_statuses(
            store, model, (m for n, m in model.machines.items() if n in machines)
        ),
        "applications": {
            name: _make_application_status(store, model, app, units)
            for name, app in sorted(model.apps.items())
            if name in apps
        },
        "storage": {},
        "controller": {"timestamp": format_clock()},
    }


def select_model(model: Model, patterns: Sequence[str]) -> Selection:
    """Return what patterns leave of a model: names of machines, applications and units, with `*`.

    A status, such as `active`, stands for the units that have it. A subordinate's unit comes
    with its principal's, a principal's with its subordinates', and an application with those that
    it is related to.
    """
    if not patterns:
        return set(model.machines), set(model.apps), set(model.units)

    def matches(*names: str) -> bool:
        return any(fnmatchcase(name, pattern) for name in names for pattern in patterns)

    found = {
        unit.principal or unit.name
        for unit in model.units.values()
        if matches(unit.name, unit.app, unit.machine, unit.workload.current, unit.agent.current)
    }
    units = {u.name for u in model.units.values() if (u.principal or u.name) in found}
    apps = {model.units[name].app for name in units} | {a for a in model.apps if matches(a)}
    apps |= {r.other_app(app) for app in list(apps) for r in model.relations_of(app)}
    machines = {model.units[name].machine for name in units} | {
        number for number in model.machines if matches(number)
    }
    return machines, apps, units


def list_machine_statuses(
    store: Store, model: Model, machines: Iterable[Machine]
) -> dict[str, Any]:
    """Return machines by their numbers, as in `juju status` and `juju machines`."""
    ordered = sorted(machines, key=lambda m: int(m.number))
    return {machine.number: make_machine_status(store, model, machine) for machine in ordered}


def make_machine_status(store: Store, model: Model, machine: Machine) -> dict[str, Any]:
    """Return one machine in `juju status` and `juju machines`."""
    network = parse_underlay(store.setting("underlay"))
    addresses = model.addresses_of(machine.number)
    if machine.boot:
        agent = Status("started", since=machine.status.since)
        state = Status("running", "Running", machine.status.since)
    elif machine.status.current == "pending":
        agent = state = machine.status
    else:
        told = "agent is not communicating with the server"
        agent = Status("down", told, machine.status.since)
        state = Status("stopped", "Stopped", machine.status.since)
    interface = {
        "ip-addresses": [f"{machine.address}/{network.prefixlen}"],
        "mac-address": machine.mac,
        "gateway": find_gateway(network),
        "space": SPACE,
        "is-up": machine.boot is not None,
    }
    return {
        "juju-status": {**_show(agent), "life": machine.life},
        "hostname": machine.name,
        "dns-name": addresses[0],
        "ip-addresses": addresses,
        "instance-id": machine.name,
        "machine-status": {**_show(state), "life": machine.life},
        "modification-status": {},
        "base": parse_base(machine.base or read_host_base()),
        "network-interfaces": {"host0": interface},
        "hardware": read_hardware(),
    }


def read_hardware() -> str:
    """Return what every machine has, which is what this host has."""
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    arch = names.get(platform.machine(), platform.machine())
    return f"arch={arch} cores={os.cpu_count()} mem={memory}M"


def parse_base(base: str) -> dict[str, str]:
    """Return a base such as `ubuntu@24.04` in its parts."""
    name, _, channel = base.partition("@")
    return {"name": name, "channel": channel}


def _show(status: Status) -> dict[str, Any]:
    message = {"message": status.message} if status.message else {}
    return {"current": status.current, **message, "since": format_since(status.since)}


def make_unit_status(model: Model, unit: Unit) -> dict[str, Any]:
    """Return a unit with its subordinates; a failed hook shows in the workload's status."""
    failed = unit.agent.current == "error"
    workload = unit.agent if failed else unit.workload
    agent = Status("idle", since=unit.agent.since) if failed else unit.agent
    shown: dict[str, Any] = {
        "workload-status": _show(workload),
        "juju-status": {**_show(agent), "version": JUJU_VERSION},
    }
    if unit.life == "dying":
        shown["juju-status"]["life"] = "dying"
    if model.apps[unit.app].leader == unit.name:
        shown["leader"] = True
    if not unit.principal:
        shown["machine"] = unit.machine
    if unit.ports:
        shown["open-ports"] = unit.ports
    if unit.machine in model.machines:
        shown["public-address"] = model.addresses_of(unit.machine)[0]
    if subordinates := model.subordinates_of(unit.name):
        shown["subordinates"] = {s.name: make_unit_status(model, s) for s in subordinates}
    return shown


# The worst of the units' statuses is the application's, where it sets none itself.
SEVERITY = ("error", "blocked", "maintenance", "waiting", "active", "terminated", "unknown")


def find_application_state(model: Model, app: Application) -> Status | None:
    """Return an application's status: its leader's word, else its units' worst, or None."""
    if app.status:
        return app.status
    units = model.units_of(app.name)
    shown = [u.agent if u.agent.current == "error" else u.workload for u in units]
    return min(shown, key=lambda s: SEVERITY.index(s.current), default=None)


def _make_application_status(
    store: Store, model: Model, app: Application, units: set[str]
) -> dict[str, Any]:
    relations: dict[str, list[dict[str, str]]] = {}
    meta = read_meta(store.paths, app.sha256)
    for relation in model.relations_of(app.name):
        endpoint = relation.endpoint_of(app.name)
        relations.setdefault(endpoint.name, []).append(
            {
                "related-application": relation.other_app(app.name),
                "interface": endpoint.interface,
                "scope": "container" if relation.container else meta.scope(endpoint),
            }
        )
    state = find_application_state(model, app)
    shown: dict[str, Any] = {
        "charm": format_charm(app),
        "base": parse_base(app.base or read_host_base()),
        "charm-origin": app.origin,
        "charm-name": app.charm_name,
        "charm-rev": app.revision,
        "exposed": app.exposed,
        "life": app.life,
        "application-status": _show(state) if state else {"current": "unknown"},
    }
    for related in relations.values():
        related.sort(key=lambda relation: relation["related-application"])
    if relations:
        shown["relations"] = relations
    if principals := _list_principals(model, app):
        shown["subordinate-to"] = principals
    mine = [u for u in model.units_of(app.name) if u.name in units]
    if mine and not app.subordinate:
        shown["units"] = {u.name: make_unit_status(model, u) for u in mine}
    if app.version:
        shown["version"] = app.version
    bound = {e.name for e in meta.endpoints(app.name)} | set(meta.bindings)
    return shown | {"endpoint-bindings": dict.fromkeys(["", *sorted(bound)], SPACE)}


def format_charm(app: Application) -> str:
    """Return a charm as statuses name it: of a local one the revision belongs to its name."""
    return app.url if app.origin == "local" else app.charm_name


def _list_principals(model: Model, app: Application) -> list[str]:
    if not app.subordinate:
        return []
    others = {r.other_app(app.name) for r in model.relations_of(app.name) if r.container}
    return sorted(others - {app.name})
