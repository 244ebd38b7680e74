"""Commands that look at a model."""

from __future__ import annotations

import argparse
import sys
import time

from localmodel.cli.commands import MODEL, arg, flag, form, ignored, read_span, say
from localmodel.cli.registry import juju
from localmodel.cli.session import model_name, open_store, reading, show
from localmodel.documents import application_document, unit_document
from localmodel.status import select, since, status_of
from localmodel.store import LogLine
from localmodel.tables import columns, status_lines, status_summary, status_tables

#: How often `debug-log --tail` looks for new lines, in seconds.
TAIL_PERIOD = 0.5

LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


STATUS_FORMATS = ("tabular", "json", "yaml", "oneline", "short", "line", "summary")


@juju.command(
    "status",
    MODEL,
    arg("patterns", nargs="*", metavar="APP|UNIT|MACHINE|STATUS", help="only these, with *"),
    form(*STATUS_FORMATS),
    flag("--relations", help="with a table of relations"),
    arg("--watch", metavar="SPAN", help="show it again after each such span, such as 5s"),
    ignored("--color"),
    ignored("--no-color"),
    ignored("--storage"),
    ignored("--utc"),
    ignored("--retry-count", value=True),
    ignored("--retry-delay", value=True),
    aliases=("show-status",),
)
def status(args: argparse.Namespace) -> None:
    """Show the model's applications, units and machines."""
    period = read_span("--watch", args.watch) if args.watch else 0.0
    while True:
        if period:
            # Clears a terminal (console_codes(4)).
            print("\033c", end="")
        _print_status(args)
        if not period:
            return
        sys.stdout.flush()
        time.sleep(period)


def _print_status(args: argparse.Namespace) -> None:
    with reading(args.model) as (store, model):
        what = (store, model, args.patterns)
        if args.format == "tabular":
            print(status_tables(*what, relations=args.relations), end="")
        elif args.format == "summary":
            print(status_summary(*what), end="")
        elif args.format in ("oneline", "short", "line"):
            print(status_lines(*what), end="")
        else:
            show(status_of(*what), args.format)
        machines, apps, _ = select(model, args.patterns)
    if not machines and not apps:
        plural = "s" if len(args.patterns) > 1 else ""
        empty = f'Model "admin/{model.name}" is empty.'
        say(f"Nothing matched specified filter{plural}." if args.patterns else empty)


@juju.command(
    "show-status-log",
    MODEL,
    arg("entity", metavar="UNIT|MACHINE"),
    form("tabular", "json", "yaml"),
    arg("-n", type=int, default=20, help="at most so many of the last"),
    arg("--type", choices=("unit", "juju-unit", "workload", "machine", "juju-machine")),
    ignored("--utc"),
    ignored("--include-status-updates"),
    ignored("--days", value=True),
    ignored("--from-date", value=True),
)
def show_status_log(args: argparse.Namespace) -> None:
    """Show what the statuses of a unit or a machine have been."""
    with reading(args.model) as (store, model):
        unit = "/" in args.entity
        name = model.unit(args.entity).name if unit else model.machine(args.entity).number
        found = store.statuses(model, name)
    if args.type not in (None, "unit", "machine"):
        found = [(kind, status) for kind, status in found if kind == args.type]
    found = found[-args.n :] if args.n > 0 else []
    if args.format != "tabular":
        rows = [
            {"status": s.current, "message": s.message, "since": since(s.since), "type": kind}
            for kind, s in found
        ]
        show(rows, args.format)
        return
    table = [[since(s.since), kind, s.current, s.message] for kind, s in found]
    print(columns([["Time", "Type", "Status", "Message"], *table]))


@juju.command("show-unit", MODEL, arg("unit"), form("yaml", "json"))
def show_unit(args: argparse.Namespace) -> None:
    """Show a unit with its relations and what they hold."""
    with reading(args.model) as (_, model):
        show(unit_document(model, model.unit(args.unit)), args.format)


@juju.command("show-application", MODEL, arg("application"), form("yaml", "json"))
def show_application(args: argparse.Namespace) -> None:
    """Show an application."""
    with reading(args.model) as (store, model):
        show(application_document(store, model, model.app(args.application)), args.format)


@juju.command(
    "debug-log",
    MODEL,
    arg("-n", "--limit", type=int, default=0, help="at most so many of the last lines"),
    arg("-i", "--include", action="append", default=[], help="only this unit, such as unit-a-0"),
    arg("-l", "--level", default="DEBUG", type=str.upper, choices=LEVELS, help="this and worse"),
    flag("--tail", help="go on with new lines"),
    ignored("--replay"),
    ignored("--no-tail"),
    ignored("--color"),
)
def debug_log(args: argparse.Namespace) -> None:
    """Print what units and the agent have logged."""
    worst = LEVELS.index(args.level)
    wanted = {w if w.startswith("unit-") else "unit-" + w.replace("/", "-") for w in args.include}
    store = open_store()
    model = store.load(model_name(store, args.model))
    last = 0

    def wanted_lines() -> list[LogLine]:
        nonlocal last
        lines = store.logs(model, last)
        last = lines[-1].id if lines else last
        return [
            line
            for line in lines
            if LEVELS.index(line.level) >= worst and (not wanted or line.entity in wanted)
        ]

    # A limit counts what is shown, not what is passed over.
    for line in wanted_lines()[-args.limit :]:
        print(_format(line))
    while args.tail:
        sys.stdout.flush()
        time.sleep(TAIL_PERIOD)
        for line in wanted_lines():
            print(_format(line))


def _format(line: LogLine) -> str:
    clock = time.strftime("%H:%M:%S", time.gmtime(line.time))
    return f"{line.entity}: {clock} {line.level} {line.module} {line.message}"
