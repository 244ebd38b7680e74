"""What `juju status` shows people: tables, lines, and a summary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from ipaddress import ip_interface
from typing import Any

from localmodel.state import Model, Relation

# The longest version and message of a table; more is cut, as in Juju.
LONGEST_VERSION = 15
LONGEST_MESSAGE = 120

Row = list[str]


def format_columns(rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """Return rows of cells as text in columns, two spaces apart, without blanks at a line's end.

    Args:
        right: the columns that are flush right.
    """
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]

    def place(number: int, cell: str) -> str:
        return cell.rjust(widths[number]) if number in right else cell.ljust(widths[number])

    lines = ("  ".join(place(n, c) for n, c in enumerate(row)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 3]}..."


def format_status_tables(model: Model, shown: dict[str, Any], *, relations: bool = False) -> str:
    """Return the tables of `juju status`.

    Args:
        shown: the model's document, whole or filtered, of `make_status`.
        relations: with a table of relations.
    """
    head = shown["model"]
    titles = ["Model", "Controller", "Cloud/Region", "Version", "Timestamp"]
    names = [head["name"], head["controller"], head["cloud"], head["version"]]
    tables = [format_columns([titles, [*names, shown["controller"]["timestamp"]]])]
    if shown["applications"]:
        tables.append(_list_applications(model, shown["applications"]))
    units = list(_list_units(shown))
    if units:
        titles = ["Unit", "Workload", "Agent", "Machine", "Public address", "Ports", "Message"]
        tables.append(format_columns([titles, *(_make_unit_row(*unit) for unit in units)]))
    if shown["machines"]:
        tables.append(make_machine_table(shown["machines"]))
    if relations:
        tables += _list_relations(model, set(shown["applications"]))
    return "\n\n".join(tables) + "\n"


def _list_applications(model: Model, applications: dict[str, Any]) -> str:
    titles = ["App", "Version", "Status", "Scale", "Charm", "Channel", "Rev", "Exposed", "Message"]
    rows = [titles]
    for name, app in sorted(applications.items()):
        version = app.get("version", "").partition("\n")[0]
        status = app["application-status"]
        rows.append(
            [
                name,
                _cut(version, LONGEST_VERSION),
                status["current"],
                str(len(model.units_of(name))),
                app["charm-name"],
                "",
                str(app["charm-rev"]),
                "yes" if app["exposed"] else "no",
                _cut(status.get("message", ""), LONGEST_MESSAGE),
            ]
        )
    return format_columns(rows, right=(3, 6))


def _list_units(shown: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], int]]:
    """Return each unit with its document, and how deep it stands, in the order of tables."""

    def by_number(item: tuple[str, Any]) -> tuple[str, int]:
        app, _, number = item[0].rpartition("/")
        return app, int(number)

    for _, app in sorted(shown["applications"].items()):
        for name, unit in sorted(app.get("units", {}).items(), key=by_number):
            yield name, unit, 0
            for inner, subordinate in sorted(unit.get("subordinates", {}).items(), key=by_number):
                yield inner, subordinate, 1


def _make_unit_row(name: str, unit: dict[str, Any], depth: int) -> Row:
    workload, agent = unit["workload-status"], unit["juju-status"]
    message = workload.get("message", "")
    if agent["current"] == "allocating":
        message = message or agent.get("message", "")
    doing = _find_doing(agent)
    return [
        f"{'  ' * depth}{name}{'*' if unit.get('leader') else ''}",
        workload["current"],
        agent["current"],
        unit.get("machine", ""),
        unit.get("public-address", ""),
        format_ports(unit.get("open-ports", [])),
        _cut(f"({doing}) {message}" if doing else message, LONGEST_MESSAGE).rstrip(),
    ]


def _find_doing(agent: dict[str, Any]) -> str:
    """Return the hook or action that a unit's agent runs; no relation's hook, as in Juju."""
    if agent["current"] != "executing":
        return ""
    found = re.match(r"running (?:action (\S+)|(\S+) hook)$", agent.get("message", ""))
    doing = (found[1] or found[2]) if found else ""
    return "" if "-relation-" in doing else doing


def make_machine_table(machines: dict[str, Any]) -> str:
    """Return the table of `juju machines`."""
    rows = [["Machine", "State", "Address", "Inst id", "Base", "AZ", "Message"]]
    for number, machine in machines.items():
        message = machine["machine-status"].get("message", "")
        rows.append(
            [
                number,
                machine["juju-status"]["current"],
                machine["dns-name"],
                machine["instance-id"],
                "@".join(machine["base"].values()),
                "",
                _cut(message, LONGEST_MESSAGE),
            ]
        )
    return format_columns(rows)


def _list_relations(model: Model, apps: set[str]) -> list[str]:
    rows = [
        _make_relation_row(relation)
        for relation in model.relations.values()
        if {e.app for e in relation.endpoints} <= apps
    ]
    titles = ["Integration provider", "Requirer", "Interface", "Type", "Message"]
    return [format_columns([titles, *sorted(rows)])] if rows else []


def _make_relation_row(relation: Relation) -> Row:
    sides = {e.role: str(e) for e in relation.endpoints}
    one = sides.get("provider") or sides["peer"]
    other = sides.get("requirer") or sides["peer"]
    kind = "subordinate" if relation.container else "peer" if relation.peer else "regular"
    message = "" if relation.life == "alive" else relation.life
    return [one, other, relation.endpoints[0].interface, kind, message]


def format_status_lines(shown: dict[str, Any]) -> str:
    """Return what `juju status --format oneline` prints of the document of `make_status`."""
    lines: list[str] = []
    for name, unit, depth in _list_units(shown):
        states = (unit["juju-status"]["current"], unit["workload-status"]["current"])
        line = f"{'  ' * depth}- {name}: {unit.get('public-address', '')}"
        line += " (agent:{}, workload:{}) ".format(*states) + format_ports(
            unit.get("open-ports", [])
        )
        lines.append(f"{line.rstrip()}\n")
    return "".join(lines)


def format_status_summary(shown: dict[str, Any]) -> str:
    """Return what `juju status --format summary` prints of the document of `make_status`."""
    machines, apps = shown["machines"], shown["applications"]
    units = [unit for _, unit, _ in _list_units(shown)]
    interfaces = [m["network-interfaces"]["host0"]["ip-addresses"][0] for m in machines.values()]
    subnets = sorted({str(ip_interface(address).network) for address in interfaces})
    opened = sorted({port for unit in units for port in unit.get("open-ports", [])})
    rows = [["# Machines:", f"({len(machines)})", ""]]
    rows += _format_counts(machine["juju-status"]["current"] for machine in machines.values())
    rows += [["", "", ""], ["# Units:", f"({len(units)})", ""]]
    rows += _format_counts(unit["workload-status"]["current"] for unit in units)
    rows += [["", "", ""], ["# Applications:", f"({len(apps)})", ""]]
    rows += [[name, f"{int(app['exposed'])}/1", "exposed"] for name, app in sorted(apps.items())]
    rows += [["", "", ""], ["# Remote:", "(0)", ""]]
    head = [
        ["Running on subnets:", ", ".join(subnets)],
        ["Utilizing ports:", format_ports(opened)],
    ]
    return f"{format_columns(head, right=(0,))}\n\n{format_columns(rows, right=(0, 1))}\n"


def _format_counts(states: Iterator[str] | Any) -> list[Row]:
    return [[f"{state}:", str(count), ""] for state, count in sorted(Counter(states).items())]


def format_ports(ports: Sequence[str]) -> str:
    """Return ports as Juju abbreviates them: `80,443/tcp`."""
    groups: dict[str, list[str]] = {}
    for port in ports:
        number, _, protocol = port.partition("/")
        groups.setdefault(protocol, []).append(number)
    return " ".join(f"{','.join(n)}/{p}" if p else ",".join(n) for p, n in groups.items())
