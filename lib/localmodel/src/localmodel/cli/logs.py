"""What units and the agent have logged."""

from __future__ import annotations

import argparse
import sys
import time

from localmodel.cli.arguments import MODEL, arg, flag, ignored
from localmodel.cli.registry import juju
from localmodel.cli.session import choose_model, open_store
from localmodel.store import LOG_LEVELS, LogLine

# How often `debug-log --tail` looks for new lines, in seconds.
TAIL_PERIOD = 0.5


@juju.command(
    "debug-log",
    MODEL,
    arg("-n", "--limit", type=int, default=0, help="how many of the last lines at most"),
    arg("-i", "--include", action="append", default=[], help="only this unit, such as unit-a-0"),
    arg(
        "-l",
        "--level",
        default="DEBUG",
        type=str.upper,
        choices=LOG_LEVELS,
        help="this level and higher",
    ),
    flag("--tail", help="continue with new lines"),
    ignored("--replay"),
    ignored("--no-tail"),
    ignored("--color"),
)
def debug_log(args: argparse.Namespace) -> None:
    """Print what units and the agent have logged."""
    worst = LOG_LEVELS.index(args.level)
    wanted = {w if w.startswith("unit-") else "unit-" + w.replace("/", "-") for w in args.include}
    store = open_store()
    model = store.load(choose_model(store, args.model))
    last = 0

    def wanted_lines() -> list[LogLine]:
        nonlocal last
        lines = store.logs(model, last)
        last = lines[-1].id if lines else last
        return [
            line
            for line in lines
            if LOG_LEVELS.index(line.level) >= worst and (not wanted or line.entity in wanted)
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
