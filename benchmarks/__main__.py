"""`./run bench NAME`: runs a benchmark and prints its figures beside the bars."""

from __future__ import annotations

import argparse
import functools
import importlib
import json
import pkgutil
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jubilant
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

import benchmarks
from benchmarks.figures import MeasureError, Outcome, Report
from benchmarks.plot import draw
from tools.image import ImageError
from tools.pack import ROOT, PackError

HELPERS = {"__main__", "fan_host", "fan_ways", "faults", "figures", "plot"}
FOUND = ROOT / ".cache" / "bench"
# A median of fewer says little.
LEAST_ROUNDS = 5
# Counts instead of measuring, in rounds that chance decides.
ENDURANCE = "endurance"


def main() -> int:
    """Run a benchmark; return 1 if a bar is missed."""
    arguments = parse_arguments()
    name = arguments.name
    measure = importlib.import_module(f"benchmarks.{to_module(name)}").measure
    options: dict[str, Any] = {}
    if name == ENDURANCE:
        options["seed"] = arguments.seed
        print(f"the seed is {arguments.seed}")
    try:
        with showing() as report:
            outcome: Outcome = measure(arguments.rounds, report, **options)
    except (jubilant.CLIError, subprocess.CalledProcessError) as error:
        print(f"run bench: {error}: {error.stderr}", file=sys.stderr)
        return 1
    except (
        PackError,
        ImageError,
        MeasureError,
        jubilant.TaskError,
        jubilant.WaitError,
        TimeoutError,
    ) as error:
        print(f"run bench: {error}", file=sys.stderr)
        return 1
    for figure in outcome.figures:
        print(figure.summarize())
    FOUND.mkdir(parents=True, exist_ok=True)
    file = arguments.json or FOUND / f"{name}.json"
    file.write_text(json.dumps(outcome.document(), indent=2) + "\n")
    print(f"all figures are in {file}")
    if outcome.panels:
        plot = arguments.plot or FOUND / f"{name}.svg"
        draw(outcome.panels, name, plot)
        print(f"the plot is {plot}")
    missed = [figure for figure in outcome.figures if not figure.is_met]
    for figure in missed:
        print(figure.explain_miss())
    if outcome.failure:
        print(f"run bench: {outcome.failure}", file=sys.stderr)
    return 1 if missed or outcome.failure else 0


@contextmanager
def showing() -> Iterator[Report]:
    """Show what goes on, on a terminal; where there is none, print each round as it ends."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("starting", total=None)

        def report(what: str, part: float | None = None) -> None:
            progress.update(task, description=what)
            if part is not None:
                progress.update(task, completed=part, total=1)
                if not sys.stdout.isatty():
                    print(what, flush=True)

        yield report


def list_names() -> list[str]:
    """Return the names of the benchmarks."""
    modules = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    return sorted(name.replace("_", "-") for name in modules if name not in HELPERS)


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run bench",
        description="Measure, and compare with the limits. Exits 1 if one is missed.",
    )
    commands = parser.add_subparsers(dest="name", metavar="NAME", required=True)
    for name in list_names():
        add_options(commands.add_parser(name), name)
    return parser.parse_args()


def add_options(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the options of one benchmark."""
    least, default = (1, 100) if name == ENDURANCE else (LEAST_ROUNDS, LEAST_ROUNDS)
    parser.add_argument(
        "--rounds",
        metavar="N",
        type=functools.partial(parse_rounds, least=least),
        default=default,
        help=f"how often to measure each thing, {least} or more; more takes longer and "
        "tells more (default: %(default)s)",
    )
    if name == ENDURANCE:
        parser.add_argument(
            "--seed",
            metavar="N",
            type=int,
            default=random.randrange(1_000_000),  # noqa: S311 - to be printed, not secret
            help="decides which faults happen, and when (default: chance)",
        )
    parser.add_argument(
        "--json",
        metavar="FILE",
        type=Path,
        help="where to write all figures (default: .cache/bench/NAME.json)",
    )
    parser.add_argument(
        "--plot",
        metavar="FILE",
        type=parse_plot,
        help="where to write the plot, if the benchmark has one: .svg, .png or .pdf "
        "(default: .cache/bench/NAME.svg)",
    )


def parse_rounds(text: str, least: int = LEAST_ROUNDS) -> int:
    """Return a number of rounds. Raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) < least:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of {least} or more")
    return int(text)


def parse_plot(text: str) -> Path:
    """Return where a plot goes. Raises ArgumentTypeError: before minutes of measuring."""
    if Path(text).suffix not in (".svg", ".png", ".pdf"):
        raise argparse.ArgumentTypeError(f"{text!r} must end in .svg, .png or .pdf")
    return Path(text)


def to_module(name: str) -> str:
    return name.replace("-", "_")


if __name__ == "__main__":
    sys.exit(main())
