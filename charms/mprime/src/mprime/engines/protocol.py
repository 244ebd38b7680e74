"""What every search program's adapter knows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import lru_cache
from typing import Protocol

from harvest.workdir import WorkDirectory
from mprime.assignments import Assignment, is_exponent

# What is read of a file of results: as many of its last lines, none longer.
_LINES = 20_000
_LINE = 4000  # characters; a line with many factors has a thousand
_FACTOR = re.compile(r"[0-9]{1,40}")
_RESIDUE = re.compile(r"[0-9A-F]{1,16}")
HANDED_OUT = 150_000_000  # exponents that PrimeNet hands out are smaller, for years to come


@dataclass(frozen=True)
class PrimeNet:
    """How to take part in GIMPS through its server.

    Attributes:
        user: an account's name there.
        computer: what the server calls this machine.
        work_preference: the kind of work to ask for, by its number there; 0 leaves it to the
            server.
        proxy: the URL of an HTTP proxy on the way; empty if there is none.
        client: the program in the image that talks to the server beside the search program, as
            the image's label says; empty if it holds none.
    """

    user: str
    computer: str
    work_preference: int = 0
    proxy: str = field(default="", repr=False)  # it may hold a password
    client: str = ""


@dataclass(frozen=True)
class Settings:
    """What a program is to do.

    Attributes:
        work: what is to be tested, in this order; with a server, besides what that hands out.
        checkpoint: minutes from one checkpoint to the next, at most.
        memory: bytes that it may use.
        cores: how many it may use.
        primenet: None to work without a server.
        disk: bytes that a test may lay aside; 0 for the program's own choice.
        trial: whether this is a short run that is to end with its work, and to report often.
    """

    work: tuple[Assignment, ...]
    checkpoint: float = 5.0
    memory: int = 256 * 1024 * 1024
    cores: int = 1
    primenet: PrimeNet | None = None
    disk: int = 0
    trial: bool = False


class Task(str, Enum):
    """What a program does with a number, in words."""

    TEST = "test"
    COFACTOR = "cofactor test"
    TRIAL_FACTORING = "trial factoring"
    P_MINUS_1 = "P-1 factoring"
    P_PLUS_1 = "P+1 factoring"
    ECM = "ECM factoring"
    CERTIFICATION = "certification"


@dataclass(frozen=True)
class Progress:
    """Where the work on a number is.

    Attributes:
        exponent: p of the number 2^p - 1 that is tested.
        iteration: iterations done; 0 before the first report. Hundredths of a per cent where the
            work has no iterations.
        iterations: iterations that the work takes; 0 where the program does not tell.
        ms_per_iteration: milliseconds; None before the first report.
        task: what is done.
        step: which part of that, such as `to 2^66`; may be empty.
    """

    exponent: int
    iteration: int
    iterations: int
    ms_per_iteration: float | None = None
    task: Task = Task.TEST
    step: str = ""

    @property
    def percent(self) -> float:
        """How much is done, 0 to 100; 0 where that is not known."""
        return 100 * self.iteration / self.iterations if self.iterations else 0.0

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
        factor: one of the number's, in decimal digits; empty where a test found it composite.
    """

    exponent: int
    residue: str
    factor: str = ""


@dataclass(frozen=True)
class Results:
    """What a search has found, by rising exponent.

    Attributes:
        primes: what a Lucas-Lehmer test has proven.
        composites: what a test or a factor has shown not to be prime.
        probable: what has passed a PRP test, which proves nothing.
        unfactored: where no factor was found; they may be prime or not.
    """

    primes: tuple[int, ...] = ()
    composites: tuple[Composite, ...] = ()
    probable: tuple[int, ...] = ()
    unfactored: tuple[int, ...] = ()

    @property
    def exponents(self) -> frozenset[int]:
        """Every exponent whose test is done."""
        return frozenset({*self.primes, *self.probable, *(c.exponent for c in self.composites)})


@dataclass(frozen=True)
class Search:
    """What a search program tells of its work.

    Attributes:
        progress: None when it is out of work.
        asks: whether it asks PrimeNet for work.
        out_of_reach: since when PrimeNet has been out of reach, as the program tells it; empty if
            it is not.
    """

    progress: Progress | None
    results: Results
    asks: bool = False
    out_of_reach: str = ""


class Adapter(Protocol):
    """How to set one search program to work, and how to read what it does.

    Attributes:
        name: its name, as an image's label `mersenne.engine` gives it.
        restart: the engine's restart policy that keeps it at work.
        stop_signal: what ends it.
        stop_timeout: seconds that it gets to save its work.
        benchmark: an exponent to measure its speed with; the test takes some minutes at least.
        failure: what a line of its output looks like that tells of a failure.
    """

    name: str
    restart: str
    stop_signal: str
    stop_timeout: int
    benchmark: int
    failure: re.Pattern[str]

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

    def ensure_files(self, work: WorkDirectory, settings: Settings) -> None:
        """Write the settings, only what differs; for a program that does not run."""
        ...

    def add_work(self, work: WorkDirectory, settings: Settings, *, running: bool) -> None:
        """List what is neither done nor listed; nothing that is listed or begun is touched.

        The program may run. If it overwrites the list at that moment, the next call adds it again.
        """
        ...

    def choose_memory(self, work: Iterable[Assignment], *, asks: bool = False) -> int:
        """Return how many bytes its container needs.

        Args:
            work: what is to be tested.
            asks: whether it also asks PrimeNet for work.
        """
        ...

    def choose_disk(self, settings: Settings) -> int:
        """Return how many bytes a test of the settings lays aside beforehand; 0 if none does."""
        ...

    def choose_cores(self, cores: Sequence[int]) -> tuple[str, ...]:
        """Return the arguments that the image's command needs to work on cores, if any."""
        ...

    def read_work(self, work: WorkDirectory) -> list[int]:
        """Return the exponents that are still to be tested, the next one first."""
        ...

    def read_progress(self, work: WorkDirectory, log: Sequence[str]) -> Progress | None:
        """Return where the work is; None when there is none left."""
        ...

    def read_results(self, work: WorkDirectory) -> Results:
        """Return what was found so far."""
        ...

    def find_unsaved(self, log: Sequence[str], exit_code: int) -> str:
        """Return why the program can't save its work; empty if it can.

        Args:
            log: lines of its output.
            exit_code: with which it ended; 0 while it runs.
        """
        ...

    def find_outage(self, log: Sequence[str]) -> str:
        """Return since when its server has been out of reach; empty if it is not."""
        ...

    def match_savefiles(self, exponent: int) -> re.Pattern[str]:
        """Return what the names of an exponent's savefiles look like, and of their backups."""
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

    A line with known factors is about what is left of the number without them, and says nothing
    about the number. Of more than 20,000 lines, the last ones are read.
    """
    primes, probable, unfactored = set[int](), set[int](), set[int]()
    composites: dict[int, Composite] = {}
    for line in text.rstrip("\n").rsplit("\n", _LINES)[-_LINES:]:
        if len(line) > _LINE or not line.lstrip().startswith("{"):
            continue
        try:
            report = json.loads(line)
            exponent, status = int(report["exponent"]), report["status"]
            residue, worktype = _match(_RESIDUE, report.get("res64")), str(report.get("worktype"))
            factor = _match(_FACTOR, next(iter(report.get("factors") or [""])))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
            continue
        if "known-factors" in report:
            continue
        if status == "P" and worktype == "LL":
            primes.add(exponent)
        elif status == "P" and worktype.startswith("PRP"):
            probable.add(exponent)
        elif status == "C" and worktype.startswith(("LL", "PRP")):
            composites[exponent] = Composite(exponent, residue)
        elif status == "F":
            composites.setdefault(exponent, Composite(exponent, "", factor))
        elif status == "NF":
            unfactored.add(exponent)
    return make_results(primes, composites.values(), probable, unfactored)


def make_results(
    primes: Iterable[int],
    composites: Iterable[Composite],
    probable: Iterable[int] = (),
    unfactored: Iterable[int] = (),
) -> Results:
    """Return results in order: the possible ones among what is given.

    A prime wins where an engine reported both; of two composites of an exponent, the last.
    """
    proven = set(filter(is_exponent, primes))
    by_exponent = {
        each.exponent: each
        for each in composites
        if is_exponent(each.exponent) and each.exponent not in proven
    }
    return Results(
        tuple(sorted(proven)),
        tuple(each for _, each in sorted(by_exponent.items())),
        tuple(sorted(set(filter(is_exponent, probable)) - proven)),
        tuple(sorted(set(filter(is_exponent, unfactored)) - proven - set(by_exponent))),
    )


def read_speed(text: str | None) -> float | None:
    """Return the milliseconds per iteration in a report; None if it tells none above 0."""
    try:
        return float(text or "") or None
    except ValueError:
        return None


def _match(pattern: re.Pattern[str], text: object) -> str:
    """Return what a container wrote; empty if it is not what it should be."""
    return text if isinstance(text, str) and pattern.fullmatch(text) else ""
