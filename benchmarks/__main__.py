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
from benchmarks.figures import Figure
from tools.image import ImageError
from tools.pack import PackError


def main() -> int:
    """Run a benchmark; return 1 if a bar is missed."""
    names = [m.name for m in pkgutil.iter_modules(benchmarks.__path__) if m.name not in HELPERS]
    parser = argparse.ArgumentParser(
        prog="run bench",
        description="Measure, and compare with the bars. Exits 1 where one is missed.",
    )
    parser.add_argument("name", choices=sorted(names))
    parser.add_argument("--json", metavar="FILE", type=Path, help="write all figures to a file")
    arguments = parser.parse_args()
    console = Console(stderr=True)
    try:
        figures: list[Figure] = importlib.import_module(f"benchmarks.{arguments.name}").measure(
            lambda text: console.print(f"[dim]{text}[/dim]")
        )
    except (PackError, ImageError, jubilant.CLIError, subprocess.CalledProcessError) as error:
        print(f"run bench: {error}: {getattr(error, 'stderr', '')}", file=sys.stderr)
        return 1
    Console().print(make_table(figures))
    if arguments.json:
        documents = [figure.document() for figure in figures]
        arguments.json.write_text(json.dumps(documents, indent=2) + "\n")
    missed = [figure for figure in figures if not figure.is_met]
    for figure in missed:
        bar = f"{figure.bar:g} {figure.unit}"
        print(f"missed: {figure.name}: {figure.median:.3g} {figure.unit}, at most {bar}")
    return 1 if missed else 0


HELPERS = {"__main__", "figures"}


def make_table(figures: list[Figure]) -> Table:
    """Return the figures as a table for a terminal."""
    table = Table("what", "median", "least", "most", "runs", "bar", "met")
    for figure in figures:
        values = (statistics.median(figure.values), min(figure.values), max(figure.values))
        shown = [f"{value:.3g} {figure.unit}" for value in values]
        bar = f"≤ {figure.bar:g} {figure.unit}"
        table.add_row(
            figure.name, *shown, str(len(figure.values)), bar, "yes" if figure.is_met else "NO"
        )
    return table


if __name__ == "__main__":
    sys.exit(main())
