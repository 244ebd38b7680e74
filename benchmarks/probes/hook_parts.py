"""Runs a charm's src/charm.py in place of its interpreter, and tells what its time goes into."""

from __future__ import annotations

import builtins
import functools
import http.client
import json
import os
import runpy
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

# Where to write what was found: what a hook prints is Juju's.
RESULT = "HOOK_PARTS"
IMPORTS, TOOLS, PROGRAMS, ENGINE, REST = "imports", "hook-tools", "programs", "engine", "rest"
PARTS = (IMPORTS, TOOLS, PROGRAMS, ENGINE, REST)


class Clock:
    """Counts each moment for one part alone: the innermost that has begun and not ended."""

    def __init__(self, now: Callable[[], float] = time.monotonic):
        self.seconds: dict[str, float] = dict.fromkeys(PARTS, 0.0)
        self.times: Counter[str] = Counter()
        self._now = now
        self._parts = [REST]
        self._since = now()

    @contextmanager
    def during(self, part: str) -> Iterator[None]:
        """Count what the block takes for a part."""
        self._turn()
        self.times[part] += part != self._parts[-1]
        self._parts.append(part)
        try:
            yield
        finally:
            self._turn()
            self._parts.pop()

    def _turn(self) -> None:
        now = self._now()
        self.seconds[self._parts[-1]] += now - self._since
        self._since = now

    def document(self) -> dict[str, dict[str, float]]:
        """Return each part's seconds, and how often it began."""
        self._turn()
        return {part: {"seconds": self.seconds[part], "times": self.times[part]} for part in PARTS}


def count(clock: Clock, owner: Any, name: str, choose: Callable[..., str]) -> None:
    """Let a function's time count for the part that is chosen by its arguments."""
    there = getattr(owner, name)

    @functools.wraps(there)
    def counted(*words: Any, **options: Any) -> Any:
        with clock.during(choose(*words)):
            return there(*words, **options)

    setattr(owner, name, counted)


def choose_program(command: Any, *_: Any) -> str:
    """Return what a program's time counts for."""
    tools = Path(os.environ["PATH"].partition(":")[0])
    return TOOLS if (tools / Path(command[0]).name).exists() else PROGRAMS


def main() -> None:
    """Run the charm that the argument names; the time before and after is the interpreter's."""
    began = time.monotonic()
    clock = Clock()
    del sys.path[0]  # this folder's; the charm's own are in PYTHONPATH
    count(clock, builtins, "__import__", lambda *_: IMPORTS)
    count(clock, subprocess, "run", choose_program)
    # Where a request is sent, and its answer awaited and read, by whatever client.
    count(clock, http.client.HTTPConnection, "endheaders", lambda *_: ENGINE)
    count(clock, http.client.HTTPConnection, "getresponse", lambda *_: ENGINE)
    count(clock, http.client.HTTPResponse, "read", lambda *_: ENGINE)
    charm = sys.argv.pop(1)
    try:
        runpy.run_path(charm, run_name="__main__")
    finally:
        found = {"began": began, "ended": time.monotonic(), "parts": clock.document()}
        Path(os.environ[RESULT]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
