"""`./run bench NAME`: runs a benchmark and prints its figures beside the bars."""

from __future__ import annotations

import argparse
import importlib
import json
import pkgutil
import statistics
import subprocess
import sys
from pathlib import Path

import jubilant
from rich.console import Console
from rich.table import Table

import benchmarks
from benchmarks.figures import Figure, MeasureError, Outcome
from benchmarks.plot import draw
from tools.image import ImageError
from tools.pack import ROOT, PackError

HELPERS = {"__main__", "fan_host", "fan_ways", "figures", "plot"}
FOUND = ROOT / ".cache" / "bench"
# A median of fewer says little.
LEAST_ROUNDS = 5


def main() -> int:
    """Run a benchmark; return 1 if a bar is missed."""
    arguments = parse_arguments()
    name = arguments.name
    console = Console(stderr=True)
    try:
        with console.status("starting") as status:
            outcome: Outcome = importlib.import_module(f"benchmarks.{to_module(name)}").measure(
                arguments.rounds, status.update
            )
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
    Console().print(make_table(outcome.figures))
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
    return 1 if missed else 0


def parse_arguments() -> argparse.Namespace:
    modules = (module.name for module in pkgutil.iter_modules(benchmarks.__path__))
    names = sorted(name.replace("_", "-") for name in modules if name not in HELPERS)
    parser = argparse.ArgumentParser(
        prog="run bench",
        description="Measure, and compare with the bars. Exits 1 where one is missed.",
    )
    parser.add_argument("name", choices=names)
    parser.add_argument(
        "--rounds",
        metavar="N",
        type=parse_rounds,
        default=LEAST_ROUNDS,
        help=f"how often to measure each thing, {LEAST_ROUNDS} or more; more takes longer and "
        "tells more (default: %(default)s)",
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
    return parser.parse_args()


def parse_rounds(text: str) -> int:
    """Return a number of rounds. Raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) < LEAST_ROUNDS:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of {LEAST_ROUNDS} or more")
    return int(text)


def parse_plot(text: str) -> Path:
    """Return where a plot goes. Raises ArgumentTypeError: before minutes of measuring."""
    if Path(text).suffix not in (".svg", ".png", ".pdf"):
        raise argparse.ArgumentTypeError(f"{text!r} must end in .svg, .png or .pdf")
    return Path(text)


def to_module(name: str) -> str:
    return name.replace("-", "_")


def make_table(figures: tuple[Figure, ...]) -> Table:
    """Return the figures as a table for a terminal."""
    table = Table("what", "median", "least", "most", "runs", "bar", "met")
    for figure in figures:
        values = (statistics.median(figure.values), min(figure.values), max(figure.values))
        shown = [f"{value:.3g} {figure.unit}" for value in values]
        met = ("yes" if figure.is_met else "NO") if figure.bar else ""
        table.add_row(figure.name, *shown, str(len(figure.values)), figure.bar, met)
    return table


if __name__ == "__main__":
    sys.exit(main())
