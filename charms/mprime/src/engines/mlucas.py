"""Mlucas 20: its work list, its reports, its results."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engines.base import WORK, Progress, Results, make_results, read_json_results
from workdir import WorkDirectory

_WORK_LIST = "worktodo.ini"
_SETTINGS = "mlucas.ini"
_TRANSFORMS = "mlucas.cfg"
_RESULTS = "results.txt"

# A stop loses what was done since the last checkpoint; 1000 iterations is the least it allows.
_SETTINGS_TEXT = "CheckInterval = 1000\n"

# Transforms that its self-test found to be accurate, for the lengths that WORK needs. Without the
# line for its length, an exponent costs a self-test, or ends the program. That is why 11K, which
# 216091 asks for and which proves too inaccurate, is here: from it the program moves on to 12K.
_TRANSFORM_TABLE = (
    (6, (6, 16, 32)),
    (11, (11, 16, 32)),
    (12, (6, 32, 32)),
    (40, (10, 8, 16, 16)),
    (64, (8, 16, 16, 16)),
    (72, (18, 8, 16, 16)),
    (80, (10, 16, 16, 16)),
    (160, (10, 16, 32, 16)),
    (352, (176, 8, 8, 16)),
    (384, (24, 8, 8, 8, 16)),
    (704, (176, 8, 16, 16)),
    (768, (192, 8, 16, 16)),
)
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


class Mlucas:
    """The adapter for Mlucas, which works offline and takes a few MiB."""

    name = "mlucas"
    memory = 256 * 1024 * 1024
    stop_signal = "SIGTERM"
    # It saves nothing when it ends: it goes on from its last checkpoint.
    stop_timeout = 5

    def prepare(self, work: WorkDirectory) -> None:
        """Write the settings and the work list that are missing; never touch what is there."""
        work.add(_TRANSFORMS, _make_transforms())
        work.add(_SETTINGS, _SETTINGS_TEXT)
        # Last: with a work list there, everything is. Where work was done before, an empty one
        # keeps the program from failing for want of it.
        fresh = not self.read_results(work).exponents
        lines = [_make_work_line(exponent) for exponent in WORK if fresh]
        work.add(_WORK_LIST, "".join(lines))

    def choose_core(self, core: int) -> tuple[str, ...]:
        """Return what wins over the image's own `-cpu 0`.

        Mlucas pins its worker to one core, and never leaves that to the kernel.
        """
        return ("-cpu", str(core))

    def read_work(self, work: WorkDirectory) -> list[int]:
        """Return the exponents that are still to be done, the next one first."""
        listed = parse_work_list(work.read(_WORK_LIST))
        done = self.read_results(work).exponents
        return [exponent for exponent in listed if exponent not in done]

    def read_progress(self, work: WorkDirectory, log: Sequence[str]) -> Progress | None:
        """Return where the test is; None when there is no work left."""
        todo = self.read_work(work)
        if not todo:
            return None
        exponent = todo[0]
        return parse_report(work.read(f"p{exponent}.stat"), exponent)

    def read_results(self, work: WorkDirectory) -> Results:
        """Return what was found so far; a prime stands only in its status file."""
        reported = read_json_results(work.read(_RESULTS))
        primes = set(reported.primes)
        for name in work.names():
            if (match := _STAT_FILE.fullmatch(name)) and int(match[1]) not in primes:
                primes |= parse_primes(work.read(name)) & {int(match[1])}
        return make_results(primes, {c.exponent: c.residue for c in reported.composites})


def parse_work_list(text: str) -> list[int]:
    """Return the exponents in a work list, in its order."""
    lines = (_WORK_LINE.match(line) or _PRP_LINE.match(line) for line in text.splitlines())
    return [int(match[1]) for match in lines if match]


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
    try:
        speed = float(last[3])
    except ValueError:
        speed = None
    return Progress(exponent, min(int(last[2]), iterations), iterations, speed)


def parse_primes(text: str) -> set[int]:
    """Return the exponents that a status file declares prime."""
    return {int(exponent) for exponent in _PRIME.findall(text)}


def _make_work_line(exponent: int) -> str:
    # The 32 digits are an assignment's id; there is no server here that gave one.
    return f"Test={'0' * 32},{exponent},{_FACTORED},1\n"


def _make_transforms() -> str:
    lines = ["20.1.1"]  # it refuses the table of another version
    for length, radices in _TRANSFORM_TABLE:
        padded = "".join(f"{radix:3d}" for radix in (*radices, *(0,) * (10 - len(radices))))
        # Only length and radices count; the program wants the other fields to be there.
        lines.append(
            f"{length:10d}  msec/iter = {0.02 * length:7.2f}"
            f"  ROE[avg,max] = [0.250000000, 0.312500000]  radices = {padded}"
        )
    return "\n".join(lines) + "\n"
