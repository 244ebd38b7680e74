"""What a person or a script sees of a command, and is asked: documents, words, progress."""

from __future__ import annotations

import json
import sys
import threading
from typing import Any

from localmodel import goyaml
from localmodel.errors import LocalModelError


def confirm(question: str, *, asked: bool) -> None:
    """Ask before something is lost. Raises: LocalModelError if the answer is no, or there is none.

    Args:
        asked: False where `--no-prompt` was given.
    """
    if not asked:
        return
    if not sys.stdin.isatty():
        raise LocalModelError(f"{question} There is no terminal to ask on: give --no-prompt")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise LocalModelError("aborted")


def print_note(text: str) -> None:
    """Print something that is not the command's output, on standard error."""
    print(text, file=sys.stderr)


class Progress:
    """Shows on a terminal what goes on, a line for each machine and unit at work."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._bar: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._bar is not None:
            self._bar.stop()

    def report(self, who: str, what: str, share: float | None) -> None:
        """Show that `who` does `what`, or with nothing as `what`, that it is over.

        Args:
            share: how much is done, between 0 and 1; None where that is unknown.
        """
        if not sys.stderr.isatty():
            return
        with self._lock:
            bar, label = self._start(), f"{who}: {what}"
            if not what:
                if who in self._tasks:
                    bar.remove_task(self._tasks.pop(who))
                return
            if who not in self._tasks:
                self._tasks[who] = bar.add_task(label, total=None)
            percent = 0 if share is None else share * 100
            total = None if share is None else 100
            bar.update(self._tasks[who], description=label, completed=percent, total=total)

    def _start(self) -> Any:
        if self._bar is None:
            # Imported where it is needed: most commands show nothing and should start quickly.
            from rich.console import Console
            from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                SpinnerColumn(),
                BarColumn(bar_width=20),
                TextColumn("{task.description}"),
                TimeElapsedColumn(),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
        return self._bar


def print_document(value: Any, form: str) -> None:
    """Print a document as JSON or YAML."""
    if form == "json":
        print(json.dumps(value))
    else:
        print(goyaml.dump(value), end="")
