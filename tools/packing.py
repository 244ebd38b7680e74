"""`./run pack`: the charms, and fannet for hosts without Juju."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from tools import debian
from tools.pack import ROOT, BuildError, PackError, UnknownCharmError, find_charms, pack


def main() -> int:
    """Run `./run pack`; return the exit status."""
    parser = argparse.ArgumentParser(prog="run pack", description="Pack charms into dist/.")
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"a charm, or {debian.NAME} for its Debian package and wheel; all when none is named",
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
    charms = [name for name in names if name != debian.NAME]
    if unknown := set(charms).difference(find_charms()):
        known = ", ".join([*find_charms(), debian.NAME])
        raise UnknownCharmError(f"nothing is called {', '.join(unknown)}; there are: {known}")
    packed = list(pack(charms, progress).values()) if charms or not names else []
    if debian.NAME in names or not names:
        task = progress.add_task(f"{debian.NAME}: building", total=1)
        packed += debian.build()
        progress.update(task, description=f"{debian.NAME}: built", advance=1)
    return packed


if __name__ == "__main__":
    sys.exit(main())
