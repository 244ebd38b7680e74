"""Mlucas 20: its work list, its reports, its results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from harvest.workdir import LONG, WorkDirectory
from mprime.assignments import Assignment, Kind, is_exponent
from mprime.engines import autoprimenet
from mprime.engines.protocol import (
    HANDED_OUT,
    Progress,
    Results,
    Settings,
    find_missing,
    make_results,
    read_json_results,
    read_speed,
)
from mprime.engines.transforms import RANGES, estimate_speed, is_ours, make_table

_WORK_LIST = "worktodo.ini"
_SETTINGS = "mlucas.ini"
_TRANSFORMS = "mlucas.cfg"
_RESULTS = "results.txt"

# What it makes of the list when an exponent is done, and then renames.
_NEXT_LIST = "WINI.TMP"
# Iterations; its own choice is the greatest. For PRP tests it takes only those that are thousands
# and divide a million.
_INTERVALS = (10000, 8000, 5000, 4000, 2000, 1000)
_INTERVAL_LINE = re.compile(r"\s*CheckInterval\s*=", re.IGNORECASE)
_INTERVAL_SET = re.compile(r"CheckInterval = (\d{1,7}) # for (\S{1,20}) min")
_FACTORED = 60  # bits of trial factoring that it is told were done, so that it does none

_WORK_LINE = re.compile(r"^\s*(?:Test|DoubleCheck)=(?:[0-9A-Fa-f]{32},)?(\d{1,10})(?:,|\s*$)")
_PRP_LINE = re.compile(r"^\s*PRP(?:DC)?=(?:[0-9A-Fa-f]{32},)?1,2,(\d{1,10}),-1\b")
_REPORT = re.compile(
    r"M(\d{1,10}) Iter# = (\d{1,10}) \[ *[\d.]+% complete\]"
    r" clocks = \S+ \[ *([\d.]{1,20}) msec/iter\]"
)
_PRIME = re.compile(
    r"^M(\d{1,10}) is a (?:known MERSENNE PRIME\.|\(probable\) new MERSENNE PRIME)", re.MULTILINE
)
_STAT_FILE = re.compile(r"p(\d{1,10})\.stat")
_STAT_END = 4 * 1024  # bytes; that a number is prime stands in the last lines


class Mlucas:
    """The adapter for Mlucas, which takes a few MiB, and works offline but with AutoPrimeNet."""

    name = "mlucas"
    # It exits with 1 when it was told to stop, and with 0 when it is out of work; so the engine
    # starts it again after the one, and not over and over after the other.
    restart = "on-failure"
    stop_signal = "SIGTERM"
    # It saves nothing when it ends: it goes on from its last checkpoint.
    stop_timeout = 5
    benchmark = 1257787
    # It writes much after the line that says why it ends.
    failure = re.compile(r"\bERR_|\berror\b|\bassert|\bfail|\bunable|not found", re.IGNORECASE)

    def explain(self, settings: Settings) -> str:
        if settings.primenet and settings.primenet.client != autoprimenet.NAME:
            return (
                "option primenet-user: the image holds mlucas without AutoPrimeNet; name one with "
                "both (see images/mlucas-primenet) or with mprime, or leave the option empty"
            )
        if settings.primenet and (problem := autoprimenet.explain(settings.primenet)):
            return problem
        problems = map(self.explain_work, settings.work)
        return next((problem for problem in problems if problem), "")

    def explain_work(self, assignment: Assignment) -> str:
        exponent, ranges = assignment.exponent, RANGES[assignment.kind]
        if any(least <= exponent <= most for least, most in ranges):
            return ""
        allowed = ", ".join(f"{least} to {most}" for least, most in ranges)
        test = "PRP tests" if assignment.kind is Kind.PRP else "Lucas-Lehmer tests"
        return f"M{exponent}: mlucas runs {test} of exponents of {allowed}"

    def owns(self, work: WorkDirectory) -> bool:
        return work.has(_WORK_LIST) or work.has(_TRANSFORMS)

    def is_current(self, work: WorkDirectory, settings: Settings) -> bool:
        table = work.read(_TRANSFORMS)
        if not table or (table != make_table() and is_ours(table)):
            return False
        if not autoprimenet.is_current(work, settings):
            return False
        # An interval that is shorter than it need be does no harm: no reason for a restart.
        match = _INTERVAL_SET.search(work.read(_SETTINGS))
        longest = _choose_interval(settings.checkpoint, self._find_exponents(work, settings))
        return bool(match) and match[2] == f"{settings.checkpoint:g}" and int(match[1]) <= longest

    def ensure_files(self, work: WorkDirectory, settings: Settings) -> None:
        """Write the settings, only what differs; a table that others tuned is kept."""
        if self.is_current(work, settings):
            return
        table = work.read(_TRANSFORMS)
        if table != make_table() and is_ours(table):
            work.write(_TRANSFORMS, make_table())
        interval = _choose_interval(settings.checkpoint, self._find_exponents(work, settings))
        ours = f"CheckInterval = {interval} # for {settings.checkpoint:g} min"
        kept = [s for s in work.read(_SETTINGS).splitlines() if not _INTERVAL_LINE.match(s)]
        work.write(_SETTINGS, "\n".join([ours, *kept]) + "\n")
        if not autoprimenet.is_current(work, settings):
            autoprimenet.ensure_files(work, settings)

    def add_work(self, work: WorkDirectory, settings: Settings, *, running: bool) -> None:
        """List what is neither done nor listed; the program reads the list between two tests."""
        there = work.read(_WORK_LIST)
        if not running and not work.has(_WORK_LIST):
            # It was killed after it had removed the list, before it had renamed the next one.
            there = work.read(_NEXT_LIST)
            work.write(_WORK_LIST, there)
        done = self.read_results(work).exponents
        missing = find_missing(settings.work, done, parse_work_list(there))
        if missing:
            # In place: a list that is put in the place of another could bring back what the
            # program took from that one in between.
            work.append(_WORK_LIST, "".join(map(_make_work_line, missing)))

    def choose_memory(self, work: Iterable[Assignment], *, asks: bool = False) -> int:
        """Return how many bytes its container needs.

        Measured: 1.9 bytes for each unit of a Lucas-Lehmer test's exponent. A PRP test takes 2 to
        4 times that (its help.txt).
        """
        handed_out = [Assignment(HANDED_OUT, Kind.PRP)] if asks else []
        needs = (
            each.exponent * (8 if each.kind is Kind.PRP else 3) for each in (*work, *handed_out)
        )
        return max(256 * 2**20, 64 * 2**20 + max(needs, default=0))

    def choose_disk(self, settings: Settings) -> int:
        """Return 0: its files are as long as the numbers."""
        return 0

    def choose_cores(self, cores: Sequence[int]) -> tuple[str, ...]:
        """Return what wins over the image's own `-cpu 0`.

        Mlucas pins its worker to one core, and never leaves that to the kernel. It gets the last
        one, as the first serve most interrupts.
        """
        return ("-cpu", str(max(cores)))

    def _find_exponents(self, work: WorkDirectory, settings: Settings) -> list[int]:
        listed = parse_work_list(work.read(_WORK_LIST))
        return [*listed, *(each.exponent for each in settings.work)]

    def read_work(self, work: WorkDirectory) -> list[int]:
        listed = parse_work_list(work.read(_WORK_LIST))
        done = self.read_results(work).exponents
        return [exponent for exponent in listed if exponent not in done]

    def read_progress(self, work: WorkDirectory, log: Sequence[str]) -> Progress | None:
        """Return where the work is; None when there is none left."""
        todo = self.read_work(work)
        if not todo:
            return None
        exponent = todo[0]
        return parse_report(work.read(f"p{exponent}.stat"), exponent)

    def read_results(self, work: WorkDirectory) -> Results:
        """Return what was found so far; a prime stands only in its status file."""
        reported = read_json_results(work.read(_RESULTS, LONG))
        primes, known = set(reported.primes), reported.exponents
        exponents = {
            match[0]: exponent
            for match in map(_STAT_FILE.fullmatch, work.names())
            if match and (exponent := int(match[1])) not in known
        }
        for name, text in work.scan(exponents, _STAT_END):
            primes |= parse_primes(text) & {exponents[name]}
        return make_results(primes, reported.composites, reported.probable, reported.unfactored)

    def find_unsaved(self, log: Sequence[str], exit_code: int) -> str:
        """Return nothing: where it can't write, it ends."""
        return ""

    def find_outage(self, log: Sequence[str]) -> str:
        """Return since when AutoPrimeNet has not reached PrimeNet; empty if it does."""
        return autoprimenet.find_outage(log)

    def match_savefiles(self, exponent: int) -> re.Pattern[str]:
        """Return what its p110503, its q110503 and their backups look like."""
        return re.compile(rf"[pq]{exponent}(?!\.stat)(\.\w+)?")


def parse_work_list(text: str) -> list[int]:
    """Return the exponents in a work list, in its order."""
    lines = (_WORK_LINE.match(line) or _PRP_LINE.match(line) for line in text.splitlines())
    return [exponent for match in lines if match and is_exponent(exponent := int(match[1]))]


def parse_report(text: str, exponent: int) -> Progress:
    """Return the last report on an exponent in a status file; iteration 0 if there is none."""
    # A Lucas-Lehmer test takes p - 2 squarings.
    iterations = max(exponent - 2, 1)
    last = None
    for match in _REPORT.finditer(text):
        if int(match[1]) == exponent:
            last = match
    if last is None:
        return Progress(exponent, 0, iterations)
    return Progress(exponent, min(int(last[2]), iterations), iterations, read_speed(last[3]))


def parse_primes(text: str) -> set[int]:
    """Return the exponents that a status file declares prime."""
    return {int(exponent) for exponent in _PRIME.findall(text)}


def _choose_interval(minutes: float, exponents: Iterable[int]) -> int:
    """Return how many iterations may lie between two checkpoints, for the largest exponent."""
    iterations = minutes * 60_000 / estimate_speed(max(exponents, default=1))
    return next((each for each in _INTERVALS if each <= iterations), _INTERVALS[-1])


def _make_work_line(assignment: Assignment) -> str:
    # The 32 digits are an assignment's id; there is no server here that gave one.
    if assignment.kind is Kind.PRP:
        return f"PRP={'0' * 32},1,2,{assignment.exponent},-1,{_FACTORED},0\n"
    return f"Test={'0' * 32},{assignment.exponent},{_FACTORED},1\n"
