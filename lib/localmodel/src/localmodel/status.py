"""Shows a model as ``juju status`` and its relatives do: as data, and as tables for people."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from localmodel import quirks
from localmodel.charms import read_meta
from localmodel.host.template import host_release
from localmodel.state import (
    JUJU_VERSION,
    Application,
    Machine,
    Model,
    Secret,
    Status,
    Unit,
    iso,
)
from localmodel.store import Store

CONTROLLER = "localmodel"
CLOUD = "localhost"


def status_of(store: Store, model: Model) -> dict[str, Any]:
    """The document of ``juju status --format json``."""
    return {
        "model": {
            "name": model.name,
            "type": "iaas",
            "controller": CONTROLLER,
            "cloud": CLOUD,
            "version": JUJU_VERSION,
            "model-status": {
                "current": "available" if model.life == "alive" else "destroying",
                "since": iso(model.created),
            },
        },
        "machines": {
            n: machine_status(m) for n, m in sorted(model.machines.items(), key=_by_number)
        },
        "applications": {
            name: _application_status(store, model, app)
            for name, app in sorted(model.apps.items())
        },
        "storage": {},
        "controller": {"timestamp": time.strftime("%H:%M:%SZ", time.gmtime())},
    }


def _by_number(item: tuple[str, Machine]) -> int:
    return int(item[0])


def machine_status(machine: Machine) -> dict[str, Any]:
    """One machine in ``juju status`` and ``juju machines``."""
    if machine.boot:
        agent, state = "started", "running"
    else:
        agent, state = (
            ("pending", "pending") if machine.status.current == "pending" else ("down",) * 2
        )
    return {
        "juju-status": {
            "current": agent,
            "since": iso(machine.status.since),
            "version": JUJU_VERSION,
        },
        "hostname": machine.name,
        "dns-name": machine.address,
        "ip-addresses": [machine.address],
        "instance-id": machine.name,
        "machine-status": {"current": state, "since": iso(machine.status.since)},
        "base": host_base(),
        **({"life": "dying"} if machine.life == "dying" else {}),
    }


def host_base() -> dict[str, str]:
    """What the machines run: this host's own release."""
    distribution, version, _ = host_release()
    return {"name": distribution, "channel": version}


def _show(status: Status) -> dict[str, Any]:
    shown = {"current": status.current, "since": iso(status.since)}
    return shown | {"message": status.message} if status.message else shown


def unit_status(model: Model, unit: Unit) -> dict[str, Any]:
    """One unit with its subordinates. A failed hook shows in the workload's status, as in Juju."""
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
        shown["public-address"] = quirks.unit_address(model.machines[unit.machine])
    if subordinates := model.subordinates_of(unit.name):
        shown["subordinates"] = {s.name: unit_status(model, s) for s in subordinates}
    return shown


#: The worst of the units' statuses is the application's, where it sets none itself.
SEVERITY = ("error", "blocked", "maintenance", "waiting", "active", "terminated", "unknown")


def application_state(model: Model, app: Application) -> Status:
    """An application's status: what its leader set, else the worst of its units'."""
    if app.status:
        return app.status
    units = model.units_of(app.name)
    shown = [u.agent if u.agent.current == "error" else u.workload for u in units]
    return min(
        shown,
        key=lambda s: SEVERITY.index(s.current),
        default=Status("unknown", since=model.created),
    )


def _application_status(store: Store, model: Model, app: Application) -> dict[str, Any]:
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
    shown: dict[str, Any] = {
        "charm": app.url,
        "base": host_base(),
        "charm-origin": app.origin,
        "charm-name": app.charm_name,
        "charm-rev": app.revision,
        "exposed": False,
        "application-status": _show(application_state(model, app)),
    }
    if app.life == "dying":
        shown["life"] = "dying"
    if relations:
        shown["relations"] = relations
    if app.subordinate:
        shown["subordinate-to"] = _hosts_of(model, app)
    else:
        units = model.units_of(app.name)
        shown["units"] = {u.name: unit_status(model, u) for u in units}
    if app.version:
        shown["version"] = app.version
    return shown


def _hosts_of(model: Model, app: Application) -> list[str]:
    others = {r.other_app(app.name) for r in model.relations_of(app.name) if r.container}
    return sorted(others - {app.name})


def status_tables(store: Store, model: Model) -> str:
    """The tables of ``juju status``."""
    clock = time.strftime("%H:%M:%SZ", time.gmtime())
    sections = [
        [
            ["Model", "Controller", "Cloud/Region", "Version", "Timestamp"],
            [model.name, CONTROLLER, CLOUD, JUJU_VERSION, clock],
        ]
    ]
    apps = [["App", "Version", "Status", "Scale", "Charm", "Channel", "Rev", "Exposed", "Message"]]
    for name, app in sorted(model.apps.items()):
        state = application_state(model, app)
        scale = str(len(model.units_of(name)))
        revision = str(app.revision)
        row = [name, app.version, state.current, scale, app.charm_name, "", revision, "no"]
        apps.append([*row, state.message])
    units = [["Unit", "Workload", "Agent", "Machine", "Public address", "Ports", "Message"]]
    for unit in sorted(model.units.values(), key=lambda u: (u.app, u.number)):
        if not unit.principal:
            units.append(_unit_row(model, unit, ""))
            units += [_unit_row(model, s, "  ") for s in model.subordinates_of(unit.name)]
    machines = [["Machine", "State", "Address", "Inst id", "Base", "AZ", "Message"]]
    for number, machine in sorted(model.machines.items(), key=_by_number):
        shown = machine_status(machine)
        base = "@".join(shown["base"].values())
        state = shown["juju-status"]["current"]
        message = shown["machine-status"]["current"].capitalize()
        machines.append([number, state, machine.address, machine.name, base, "", message])
    sections += [table for table in (apps, units, machines) if len(table) > 1]
    text = "\n\n".join(columns(table) for table in sections)
    if len(sections) == 1:
        text += f'\n\nModel "{model.name}" is empty.'
    return text + "\n"


def _unit_row(model: Model, unit: Unit, indent: str) -> list[str]:
    shown = unit_status(model, unit)
    leader = "*" if shown.get("leader") else ""
    workload = shown["workload-status"]
    return [
        f"{indent}{unit.name}{leader}",
        workload["current"],
        shown["juju-status"]["current"],
        shown.get("machine", ""),
        shown.get("public-address", ""),
        _ports(unit.ports),
        workload.get("message", ""),
    ]


def _ports(ports: Sequence[str]) -> str:
    """Ports as Juju abbreviates them: ``80,443/tcp``."""
    groups: dict[str, list[str]] = {}
    for port in ports:
        number, _, protocol = port.partition("/")
        groups.setdefault(protocol, []).append(number)
    return " ".join(f"{','.join(n)}/{p}" if p else ",".join(n) for p, n in groups.items())


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as text in columns, two spaces apart, without blanks at a line's end."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = ("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def unit_document(model: Model, unit: Unit) -> dict[str, Any]:
    """The document of ``juju show-unit``."""
    app = model.apps[unit.app]
    infos = []
    for relation in model.relations_seen_by(unit):
        other = relation.other_app(unit.app)
        info: dict[str, Any] = {
            "relation-id": relation.id,
            "endpoint": relation.endpoint_of(unit.app).name,
            "related-endpoint": relation.endpoint_of(other).name,
            "application-data": relation.bag(other).data,
            "related-units": {
                n: {"in-scope": True, "data": relation.bag(n).data}
                for n in model.remote_units(relation, unit)
            },
        }
        if unit.name in relation.scope:
            info["local-unit"] = {"in-scope": True, "data": relation.bag(unit.name).data}
        infos.append(info)
    return {
        unit.name: {
            "workload-version": app.version,
            "machine": unit.machine,
            "opened-ports": unit.ports,
            "public-address": quirks.unit_address(model.machines[unit.machine]),
            "charm": app.url,
            "leader": app.leader == unit.name,
            "life": unit.life,
            "relation-info": infos,
        }
    }


def model_document(model: Model) -> dict[str, Any]:
    """The document of ``juju show-model``."""
    return {
        model.name: {
            "name": f"admin/{model.name}",
            "short-name": model.name,
            "model-uuid": model.uuid,
            "model-type": "iaas",
            "controller-uuid": "00000000-0000-0000-0000-000000000000",
            "controller-name": CONTROLLER,
            "is-controller": False,
            "owner": "admin",
            "cloud": CLOUD,
            "type": "localmodel",
            "life": model.life,
            "status": {"current": "available", "since": iso(model.created)},
            "agent-version": JUJU_VERSION,
        }
    }


def application_document(store: Store, model: Model, app: Application) -> dict[str, Any]:
    """The document of ``juju show-application``."""
    meta = read_meta(store.paths, app.sha256)
    return {
        app.name: {
            "charm": app.charm_name,
            "charm-origin": app.origin,
            "charm-version": "",
            "charm-rev": app.revision,
            "base": "@".join(host_base().values()),
            "principal": not app.subordinate,
            "exposed": False,
            "remote": False,
            "life": app.life,
            "trust": app.trust,
            "endpoint-bindings": {e.name: "alpha" for e in meta.endpoints(app.name)},
        }
    }


def secret_document(secret: Secret, *, reveal: int | None = None, history: bool = False) -> Any:
    """A secret as ``juju show-secret`` and ``juju secrets`` give it; the key is its identifier.

    Args:
        reveal: the revision whose content to show.
        history: whether to list the revisions.
    """
    identifier = secret.uri.removeprefix("secret:")
    shown: dict[str, Any] = {
        "revision": secret.newest,
        "owner": "<model>" if secret.owner == "model" else secret.owner,
        "created": iso(secret.created),
        "updated": iso(secret.updated),
    }
    optional = {
        "name": secret.name,
        "label": secret.label,
        "description": secret.description,
        "rotation": "" if secret.rotate == "never" else secret.rotate,
    }
    shown |= {k: v for k, v in optional.items() if v}
    if secret.rotates_at is not None:
        shown["rotates"] = iso(secret.rotates_at)
    if secret.grants:
        shown["access"] = [
            {
                "target": f"{'unit' if '/' in g.target else 'application'}-{g.target}",
                "scope": "model" if g.relation is None else f"relation-{g.relation}",
                "role": "view",
            }
            for g in secret.grants
        ]
    if history:
        shown["revisions"] = [
            {
                "revision": number,
                "backend": "internal",
                "created": iso(revision.created),
                "updated": iso(revision.created),
                **({"expires": iso(revision.expires)} if revision.expires else {}),
            }
            for number, revision in secret.revisions.items()
        ]
    if reveal is not None:
        shown["content"] = {"Data": secret.revisions[reveal].content}
        shown["checksum"] = ""
    return {identifier: shown}


def config_document(store: Store, model: Model, app: Application) -> dict[str, Any]:
    """The document of ``juju config``."""
    meta = read_meta(store.paths, app.sha256)
    settings: dict[str, Any] = {}
    for name, option in meta.options.items():
        is_set = name in app.options
        value = app.options.get(name, option.default)
        entry: dict[str, Any] = {"description": option.description, "type": option.type}
        if option.default is not None:
            entry["default"] = option.default
        entry["source"] = "user" if is_set else "default" if value is not None else "unset"
        if value is not None:
            entry["value"] = value
        settings[name] = entry
    trust = {
        "default": False,
        "description": "Does this application have access to trusted credentials",
        "source": "user" if app.trust else "default",
        "type": "bool",
        "value": app.trust,
    }
    return {
        "application": app.name,
        "application-config": {"trust": trust},
        "charm": app.charm_name,
        "settings": settings,
    }


def resource_rows(store: Store, app: Application) -> list[dict[str, Any]]:
    """An application's resources, attached or not."""
    meta = read_meta(store.paths, app.sha256)
    return [
        {
            "name": name,
            "type": kind.type,
            "description": kind.description,
            "origin": "upload" if name in app.resources else "",
            "revision": app.resources[name].revision if name in app.resources else None,
            "fingerprint": app.resources[name].sha256 if name in app.resources else "",
        }
        for name, kind in meta.resources.items()
    ]


def machine_rows(machines: Iterable[Machine]) -> dict[str, Any]:
    """The document of ``juju machines``."""
    ordered = sorted(machines, key=lambda m: int(m.number))
    return {"machines": {m.number: machine_status(m) for m in ordered}}
