"""What every search program's adapter knows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from workdir import WorkDirectory

# Exponents of known Mersenne primes, so that every result can be checked: two that are done within
# two minutes of one core, then some that keep it busy for about 10 min, 30 min, 35 min, 2.5 h,
# 14 h and 56 h.
WORK = (110503, 216091, 756839, 1257787, 1398269, 2976221, 6972593, 13466917)


@dataclass(frozen=True)
class Progress:
    """Where a test is.

    Attributes:
        exponent: p of the number 2^p - 1 that is tested.
        iteration: iterations done; 0 before the first report.
        iterations: iterations that the test takes.
        ms_per_iteration: milliseconds; None before the first report.
    """

    exponent: int
    iteration: int
    iterations: int
    ms_per_iteration: float | None = None

    @property
    def percent(self) -> float:
        """How much is done, 0 to 100."""
        return 100 * self.iteration / self.iterations

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the end of this test at its last known speed; None if that is unknown."""
        if self.ms_per_iteration is None:
            return None
        return (self.iterations - self.iteration) * self.ms_per_iteration / 1000


@dataclass(frozen=True)
class Composite:
    """A number that was shown not to be prime.

    Attributes:
        residue: the last 64 bits of the test's outcome, 16 hex digits, to compare with others';
            empty where a factor was found instead.
    """

    exponent: int
    residue: str


@dataclass(frozen=True)
class Results:
    """What a search has found, by rising exponent."""

    primes: tuple[int, ...] = ()
    composites: tuple[Composite, ...] = ()

    @property
    def exponents(self) -> frozenset[int]:
        """Every exponent that is done."""
        return frozenset(self.primes) | {composite.exponent for composite in self.composites}


class Adapter(Protocol):
    """How to set one search program to work, and how to read what it does.

    Attributes:
        name: its name, as an image's label `mersenne.engine` gives it.
        memory: bytes that its container may use.
        stop_signal: what ends it.
        stop_timeout: seconds that it gets to save its work.
    """

    name: str
    memory: int
    stop_signal: str
    stop_timeout: int

    def prepare(self, work: WorkDirectory) -> None:
        """Write the settings and the work list that are missing; never touch what is there."""
        ...

    def choose_core(self, core: int) -> tuple[str, ...]:
        """Return the arguments that the image's command needs to work on a core, if any."""
        ...

    def read_work(self, work: WorkDirectory) -> list[int]:
        """Return the exponents that are still to be done, the next one first."""
        ...

    def read_progress(self, work: WorkDirectory, log: Sequence[str]) -> Progress | None:
        """Return where the test is; None when there is no work left."""
        ...

    def read_results(self, work: WorkDirectory) -> Results:
        """Return what was found so far."""
        ...


def read_json_results(text: str) -> Results:
    """Return the results in lines of JSON, as GIMPS's server takes them; skip other lines."""
    primes: set[int] = set()
    composites: dict[int, str] = {}
    for line in text.splitlines():
        try:
            report = json.loads(line)
            exponent, status = int(report["exponent"]), report["status"]
            residue = str(report.get("res64", ""))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            continue
        if status == "P":
            primes.add(exponent)
        elif status in ("C", "F"):
            composites[exponent] = residue if status == "C" else ""
    return make_results(primes, composites)


def make_results(primes: set[int], composites: dict[int, str]) -> Results:
    """Return results in order. A prime wins where an engine reported both."""
    return Results(
        tuple(sorted(primes)),
        tuple(
            Composite(p, residue) for p, residue in sorted(composites.items()) if p not in primes
        ),
    )
