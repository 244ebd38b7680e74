"""Reference tables, made from the files that Juju, Prometheus, Grafana and the shell are given.

A page asks for one with a block whose info string names the table, and the charm:

    ```{charm-options} mprime
    ```

The block is replaced by Markdown before the page is parsed, so nothing here needs Sphinx.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml

from harvest.observability import make_dashboard, make_rules

BLOCK = re.compile(r"^```\{((?:charm|fanctl)-[a-z]+)\} ?([a-z-]*)\n```$", re.MULTILINE)
# Which units a query or a rule is about: the same in each, and set by Grafana or the collector.
VARIABLES = re.compile(r'\{juju_model=~"[^}]*\}')
TOPOLOGY = re.compile(r"\{%%juju_topology%%\}|%%juju_topology%%,\s*")
LABEL = re.compile(r"\{\{ *\$(?:labels\.)?(\w+).*?\}\}")


def expand(text: str, root: Path) -> str:
    """Return a page's Markdown with its blocks replaced by tables of the repository at `root`.

    Raises:
        OSError: the charm that a block names is not there.
    """

    def replace(match: re.Match[str]) -> str:
        name, charm = match.groups()
        if name == "fanctl-commands":
            return describe_fanctl()
        make = CHARM_TABLES.get(name)
        # An unknown block stays, and Sphinx warns of it.
        return make(root / "charms" / charm) if make else match[0]

    return BLOCK.sub(replace, text)


def list_options(charm: Path) -> str:
    """Return a table of a charm's options."""
    options = read_metadata(charm)["config"]["options"]
    return make_table(
        ("option", "type", "default", "what it does"),
        (
            (code(name), each["type"], show_default(each), prose(each["description"]))
            for name, each in options.items()
        ),
    )


def list_actions(charm: Path) -> str:
    """Return a table of a charm's actions and, if they have parameters, one of those."""
    actions = read_metadata(charm)["actions"]
    table = make_table(
        ("action", "what it does"),
        ((code(name), prose(each["description"])) for name, each in actions.items()),
    )
    parameters = [
        (
            code(name),
            code(parameter),
            describe_type(schema),
            "required" if parameter in action.get("required", []) else show_default(schema),
            prose(schema["description"]),
        )
        for name, action in actions.items()
        for parameter, schema in action.get("params", {}).items()
    ]
    header = ("action", "parameter", "type", "default", "what it is")
    return f"{table}\n{make_table(header, parameters)}" if parameters else table


def list_endpoints(charm: Path) -> str:
    """Return a table of a charm's endpoints."""
    metadata = read_metadata(charm)
    return make_table(
        ("endpoint", "role", "interface", "needed"),
        (
            (code(name), role, code(each["interface"]), "no" if each["optional"] else "yes")
            for role in ("requires", "provides", "peers")
            for name, each in metadata.get(role, {}).items()
        ),
    )


def list_resources(charm: Path) -> str:
    """Return a table of a charm's resources."""
    resources = read_metadata(charm)["resources"]
    return make_table(
        ("resource", "type", "file", "what it is"),
        (
            (code(name), each["type"], code(each["filename"]), prose(each["description"]))
            for name, each in resources.items()
        ),
    )


def list_panels(charm: Path) -> str:
    """Return a table of the panels of a charm's dashboard that have queries."""
    rows: list[tuple[str, ...]] = []
    row = ""
    for panel in read_dashboard(charm)["panels"]:
        if panel["type"] == "row":
            row = panel["title"]
        elif panel.get("targets"):
            queries = (code(VARIABLES.sub("", each["expr"])) for each in panel["targets"])
            meaning = prose(panel["description"])
            rows.append((prose(row), prose(panel["title"]), meaning, ", ".join(queries)))
    return make_table(("row", "panel", "what it shows", "queries"), rows)


def list_alerts(charm: Path) -> str:
    """Return a table of a charm's alert rules, with those of harvest if it is written on that."""
    return make_table(
        ("alert", "severity", "condition", "what it means, and what to do"),
        (
            (
                code(rule["alert"]),
                rule["labels"]["severity"],
                describe_condition(rule),
                " ".join(describe_label(rule["annotations"][each]) for each in ANNOTATIONS),
            )
            for rule in read_rules(charm)
        ),
    )


CHARM_TABLES: dict[str, Callable[[Path], str]] = {
    "charm-options": list_options,
    "charm-actions": list_actions,
    "charm-endpoints": list_endpoints,
    "charm-resources": list_resources,
    "charm-dashboard": list_panels,
    "charm-alerts": list_alerts,
}
ANNOTATIONS = ("summary", "description")


def read_metadata(charm: Path) -> dict[str, Any]:
    return yaml.safe_load((charm / "charmcraft.yaml").read_text())


def read_dashboard(charm: Path) -> dict[str, Any]:
    """Read a charm's dashboard: the one that harvest makes if it is written on that."""
    if is_on_harvest(charm):
        return json.loads(make_dashboard(read_words(charm), charm))
    file = charm / "src" / "grafana_dashboards" / f"{charm.name}.json"
    return json.loads(file.read_text())


def read_rules(charm: Path) -> Iterator[dict[str, Any]]:
    """Read a charm's own rules, then those that harvest adds."""
    files = sorted((charm / "src" / "prometheus_alert_rules").glob("*.rules"))
    texts = [file.read_text() for file in files]
    if is_on_harvest(charm):
        texts.append(make_rules(read_words(charm)))
    for text in texts:
        for group in yaml.safe_load(text)["groups"]:
            yield from group["rules"]


def is_on_harvest(charm: Path) -> bool:
    return '"harvest"' in (charm / "pyproject.toml").read_text()


def read_words(charm: Path) -> Any:
    """Return what harvest takes from a charm's Workload.

    That one is not made, since harvest depends on packages that the documentation does not need.

    Raises:
        ValueError: no class of the charm says what its container does.
    """
    sources = "".join(file.read_text() for file in sorted(charm.glob("src/*/*.py")))
    noun = re.search(r'^    noun = "(.+)"$', sources, re.MULTILINE)
    if not noun:
        raise ValueError(f"no class in {charm}/src has a line 'noun = \"…\"'")
    prefix = charm.name.replace("-", "_")
    return SimpleNamespace(name=charm.name, noun=noun[1], prefix=prefix)


def describe_condition(rule: dict[str, Any]) -> str:
    condition = code(TOPOLOGY.sub("", rule["expr"]))
    return f"{condition} for {rule['for']}" if "for" in rule else condition


def describe_label(text: str) -> str:
    """Return an annotation with the name of a label where Prometheus puts its value."""
    return prose(LABEL.sub(r"`\1`", text))


def describe_type(schema: dict[str, Any]) -> str:
    """Return what a parameter may be, such as: integer, 5 to 3600."""
    if "enum" in schema:
        return " or ".join(code(each) for each in schema["enum"])
    if {"minimum", "maximum"} <= set(schema):
        return f"{schema['type']}, {schema['minimum']} to {schema['maximum']}"
    return schema["type"]


def describe_fanctl() -> str:
    """Return a section for each verb of fanctl: its description, its arguments, its examples."""
    from fannet.cli.parser import make_verbs

    parts = (
        (f"## {verb.prog}\n", block(verb.description), list_arguments(verb), block(verb.epilog))
        for verb in make_verbs().values()
    )
    return "\n".join(part for section in parts for part in section)


def list_arguments(verb: argparse.ArgumentParser) -> str:
    """Return a table of a verb's arguments, without those that its help leaves out."""
    shown = [each for each in verb._actions if each.help != argparse.SUPPRESS]
    return make_table(
        ("argument", "what it means"),
        ((describe_argument(each), prose(each.help or "")) for each in shown),
    )


def describe_argument(argument: argparse.Action) -> str:
    choices = "|".join(map(str, argument.choices)) if argument.choices else ""
    value = choices or argument.metavar or argument.dest.upper()
    if not argument.option_strings:
        return code(str(value))
    value = f" {value}" if argument.nargs != 0 else ""
    return ", ".join(code(f"{each}{value}") for each in argument.option_strings)


def make_table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table of cells that are Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in lines)


def show_default(each: dict[str, Any]) -> str:
    if "default" not in each:
        return "none"
    return code(json.dumps(each["default"], ensure_ascii=False))


def code(text: str) -> str:
    """Return text as a table's cell shows code."""
    return f"`{' '.join(text.split())}`".replace("|", r"\|")


def prose(text: str) -> str:
    """Return plain text for a table's cell, in which only backticks mean something."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    return "".join(
        code(part[1:-1]) if index % 2 else re.sub(r"([\\*_<>\[\]|#$~])", r"\\\1", part)
        for index, part in enumerate(parts)
    )


def block(text: str | None) -> str:
    """Return text whose lines and columns count, if there is any."""
    return f"```text\n{text.rstrip()}\n```\n" if text else ""


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx, which calls this."""

    def rewrite(app: Any, _: str, source: list[str]) -> None:
        source[0] = expand(source[0], Path(app.srcdir).resolve().parent)

    app.connect("source-read", rewrite)
    return {"parallel_read_safe": True}
