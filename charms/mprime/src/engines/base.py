"""What every search program's adapter knows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from untrusted import read_residue
from work import Assignment, is_exponent
from workdir import WorkDirectory

# What is read of a file of results: as many of its last lines, none longer.
_LINES = 20_000
_LINE = 4000  # characters; a line with many factors has a thousand


@dataclass(frozen=True)
class PrimeNet:
    """How to take part in GIMPS through its server.

    Attributes:
        user: an account's name there.
        computer: what the server calls this machine.
        work_preference: the kind of work to ask for, by its number there; None leaves it to the
            server.
        proxy: the URL of an HTTP proxy on the way; empty if there is none.
    """

    user: str
    computer: str
    work_preference: int | None = None
    proxy: str = field(default="", repr=False)  # it may hold a password


@dataclass(frozen=True)
class Settings:
    """What a program is to do.

    Attributes:
        work: what is to be tested, in this order; with a server, besides what that hands out.
        checkpoint: minutes from one checkpoint to the next, at most.
        memory: bytes that it may use.
        cores: how many it may use.
        primenet: None to work without a server.
    """

    work: tuple[Assignment, ...]
    checkpoint: float = 5.0
    memory: int = 256 * 1024 * 1024
    cores: int = 1
    primenet: PrimeNet | None = None


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
        stop_signal: what ends it.
        stop_timeout: seconds that it gets to save its work.
        benchmark: an exponent to measure its speed with; the test takes some minutes at least.
    """

    name: str
    stop_signal: str
    stop_timeout: int
    benchmark: int

    def explain(self, settings: Settings) -> str:
        """Return why the program can't do what the settings ask for; empty if it can."""
        ...

    def explain_work(self, assignment: Assignment) -> str:
        """Return why the program can't do an assignment; empty if it can."""
        ...

    def owns(self, work: WorkDirectory) -> bool:
        """Return whether this program has worked in a directory."""
        ...

    def is_current(self, work: WorkDirectory, settings: Settings) -> bool:
        """Return whether the program, if it started now, would find the settings in its files."""
        ...

    def prepare(self, work: WorkDirectory, settings: Settings) -> None:
        """Write the settings, only what differs; for a program that does not run."""
        ...

    def add_work(self, work: WorkDirectory, settings: Settings, *, running: bool) -> None:
        """List what is neither done nor listed; nothing that is listed or begun is touched.

        The program may run. If it overwrites the list at that moment, the next call mends that.
        """
        ...

    def choose_memory(self, work: Iterable[Assignment]) -> int:
        """Return how many bytes its container needs for the assignments."""
        ...

    def choose_cores(self, cores: Sequence[int]) -> tuple[str, ...]:
        """Return the arguments that the image's command needs to work on cores, if any."""
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


def find_missing(
    declared: Iterable[Assignment], done: Iterable[int], listed: Iterable[int]
) -> list[Assignment]:
    """Return the assignments whose exponents are neither done nor listed."""
    known = {*done, *listed}
    return [each for each in declared if each.exponent not in known]


@lru_cache(maxsize=2)  # a hook asks several times, and what it reads rarely changes in between
def read_json_results(text: str) -> Results:
    """Return the results in lines of JSON, as GIMPS's server takes them; skip other lines.

    Of more than 20,000 lines, the last ones are read.
    """
    primes: set[int] = set()
    composites: dict[int, object] = {}
    for line in text.rstrip("\n").rsplit("\n", _LINES)[-_LINES:]:
        if len(line) > _LINE or not line.lstrip().startswith("{"):
            continue
        try:
            report = json.loads(line)
            exponent, status = int(report["exponent"]), report["status"]
            residue = report.get("res64", "")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            continue
        if status == "P":
            primes.add(exponent)
        elif status in ("C", "F"):
            composites[exponent] = residue if status == "C" else ""
    return make_results(primes, composites)


def make_results(primes: Iterable[int], composites: Mapping[int, object]) -> Results:
    """Return results in order: the possible ones among what is given, by exponent with residue.

    A prime wins where an engine reported both.
    """
    proven = set(filter(is_exponent, primes))
    return Results(
        tuple(sorted(proven)),
        tuple(
            Composite(p, read_residue(residue))
            for p, residue in sorted(composites.items())
            if is_exponent(p) and p not in proven
        ),
    )


def read_speed(text: str | None) -> float | None:
    """Return the milliseconds per iteration in a report; None if it tells none above 0."""
    try:
        return float(text or "") or None
    except ValueError:
        return None
