"""The status of a model, and what it was before."""

from __future__ import annotations

import argparse
import sys
import time

from localmodel.cli.arguments import MODEL, arg, flag, form, ignored, read_span
from localmodel.cli.registry import juju
from localmodel.cli.session import reading
from localmodel.cli.terminal import print_document, print_note
from localmodel.status import format_since, make_status
from localmodel.tables import (
    format_columns,
    format_status_lines,
    format_status_summary,
    format_status_tables,
)

STATUS_FORMATS = ("tabular", "json", "yaml", "oneline", "short", "line", "summary")


@juju.command(
    "status",
    MODEL,
    arg("patterns", nargs="*", metavar="APP|UNIT|MACHINE|STATUS", help="only these, with *"),
    form(*STATUS_FORMATS),
    flag("--relations", help="with a table of relations"),
    arg("--watch", metavar="SPAN", help="show it repeatedly, at this interval, such as 5s"),
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
        shown = make_status(store, model, args.patterns)
        if args.format == "tabular":
            print(format_status_tables(model, shown, relations=args.relations), end="")
        elif args.format == "summary":
            print(format_status_summary(shown), end="")
        elif args.format in ("oneline", "short", "line"):
            print(format_status_lines(shown), end="")
        else:
            print_document(shown, args.format)
    if not shown["machines"] and not shown["applications"]:
        plural = "s" if len(args.patterns) > 1 else ""
        empty = f'Model "admin/{model.name}" is empty.'
        print_note(f"Nothing matched specified filter{plural}." if args.patterns else empty)


@juju.command(
    "show-status-log",
    MODEL,
    arg("entity", metavar="UNIT|MACHINE"),
    form("tabular", "json", "yaml"),
    arg("-n", type=int, default=20, help="how many of the last ones at most"),
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
            {
                "status": s.current,
                "message": s.message,
                "since": format_since(s.since),
                "type": kind,
            }
            for kind, s in found
        ]
        print_document(rows, args.format)
        return
    table = [[format_since(s.since), kind, s.current, s.message] for kind, s in found]
    print(format_columns([["Time", "Type", "Status", "Message"], *table]))
