"""Commands that look at a model."""

from __future__ import annotations

import argparse
import sys
import time

from localmodel.cli.commands import MODEL, arg, flag, form, ignored
from localmodel.cli.registry import juju
from localmodel.cli.session import model_name, open_store, reading, show
from localmodel.status import (
    application_document,
    status_of,
    status_tables,
    unit_document,
)
from localmodel.store import LogLine

#: How often `debug-log --tail` looks for new lines, in seconds.
TAIL_PERIOD = 0.5


@juju.command(
    "status",
    MODEL,
    form("tabular", "json", "yaml"),
    ignored("--relations"),
    ignored("--color"),
    ignored("--no-color"),
    ignored("--storage"),
)
def status(args: argparse.Namespace) -> None:
    """Show the model's applications, units and machines."""
    with reading(args.model) as (store, model):
        if args.format == "tabular":
            print(status_tables(store, model), end="")
        else:
            show(status_of(store, model), args.format)


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
    arg("-l", "--level", default="DEBUG", help="only this level and worse"),
    flag("--tail", help="go on with new lines"),
    ignored("--replay"),
    ignored("--no-tail"),
    ignored("--color"),
)
def debug_log(args: argparse.Namespace) -> None:
    """Print what units and the agent have logged."""
    levels = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    worst = levels.index(args.level.upper()) if args.level.upper() in levels else 1
    wanted = {w if w.startswith("unit-") else "unit-" + w.replace("/", "-") for w in args.include}
    store = open_store()
    model = store.load(model_name(store, args.model))
    last = 0

    def print_new(limit: int) -> None:
        nonlocal last
        for line in store.logs(model, last, limit):
            last = line.id
            if wanted and line.entity not in wanted:
                continue
            if levels.index(line.level) >= worst:
                print(_format(line))

    print_new(args.limit)
    while args.tail:
        sys.stdout.flush()
        time.sleep(TAIL_PERIOD)
        print_new(0)


def _format(line: LogLine) -> str:
    clock = time.strftime("%H:%M:%S", time.gmtime(line.time))
    return f"{line.entity}: {clock} {line.level} {line.module} {line.message}"
