"""`./run pack`: the charms, the snaps, and fannet for machines without Juju."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from tools import debian
from tools.building import BuildError, PackError
from tools.pack import ROOT, UnknownCharmError, find_charms, find_snaps, pack


def main() -> int:
    """Run `./run pack`; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="run pack", description="Pack charms, snaps and packages into dist/."
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"a charm, a snap such as snaps/mprime, or {debian.NAME} for its Debian package and "
        "wheel; all when none is named",
    )
    names = parser.parse_args().names
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    try:
        with Progress(*columns, console=console) as progress:
            packed = _pack(names, progress)
    except BuildError as error:
        console.rule("output")
        console.print(Text(error.output.rstrip()))
        console.rule()
        print(f"run pack: {error}", file=sys.stderr)
        return 1
    except PackError as error:
        print(f"run pack: {error}", file=sys.stderr)
        return 1
    for file in packed:
        print(file.relative_to(ROOT))
    return 0


def _pack(names: list[str], progress: Progress) -> list[Path]:
    known = [*find_charms(), *find_snaps(), debian.NAME]
    if unknown := set(names).difference(known):
        raise UnknownCharmError(
            f"nothing is called {', '.join(unknown)}; there are: {', '.join(known)}"
        )
    chosen = names or known
    packed: list[Path] = []
    if others := [name for name in chosen if name != debian.NAME]:
        packed += pack(others, progress).values()
    if debian.NAME in chosen:
        task = progress.add_task(f"{debian.NAME}: building", total=1)
        packed += debian.build()
        progress.update(task, description=f"{debian.NAME}: built", advance=1)
    return packed


if __name__ == "__main__":
    sys.exit(main())
