"""The adapter for GIMPS's mprime."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from harvest.workdir import LONG, WorkDirectory
from mprime.assignments import Assignment, Kind
from mprime.engines.mprime.log import FAILURE, find_outage, find_unsaved, parse_log
from mprime.engines.mprime.settings import explain_proxy, has_settings, merge_settings
from mprime.engines.mprime.worklist import (
    ADDITIONS,
    HEADER,
    WORK_LIST,
    find_tests,
    make_line,
    parse_work_list,
    read_list,
)
from mprime.engines.protocol import (
    Progress,
    Results,
    Settings,
    Task,
    find_missing,
    read_json_results,
)

_SETTINGS = "prime.txt"
_RESULTS = "results.json.txt"
_PROCESSORS = Path("/proc/cpuinfo")
_LEAST = 5  # it refuses 2 and 3
# Where the largest transforms end that it has for a processor, by the flag that it takes.
_GREATEST = {"avx512f": 1_169_000_000, "fma": 922_700_000, "avx": 920_800_000}
_GREATEST_SSE2 = 595_800_000
# What a PRP test lays aside for its proof: 2^power residues of as many bits as the exponent says.
# This was 2^8 for M100000007, where 2^9 passes the limit, and 2^9 for M82589933.
_GREATEST_POWER = 9
_DISK = 6_000_000_000  # bytes; its own limit


class Mprime:
    """The adapter for mprime, which is faster, x86 only, and takes more memory."""

    name = "mprime"
    # Its exit code is 0 also when it was told to stop, such as by an engine that is restarted. And
    # it does not end by itself: without work it waits.
    restart = "unless-stopped"
    stop_signal = "SIGTERM"
    # It does not end during a Jacobi check, which took 52 s on a slow machine. Systemd gives the
    # engine 90 s to stop, and the engine waits 5 s longer than its containers may take.
    stop_timeout = 60
    benchmark = 6972593
    failure = FAILURE

    def explain(self, settings: Settings) -> str:
        if settings.primenet and (problem := explain_proxy(settings.primenet.proxy)):
            return problem
        problems = map(self.explain_work, settings.work)
        return next((problem for problem in problems if problem), "")

    def explain_work(self, assignment: Assignment) -> str:
        greatest = _find_greatest()
        if _LEAST <= assignment.exponent <= greatest:
            return ""
        return (
            f"M{assignment.exponent}: mprime tests exponents from {_LEAST} to {greatest} "
            "on this machine's processor"
        )

    def owns(self, work: WorkDirectory) -> bool:
        return work.has(WORK_LIST) or work.has(_SETTINGS)

    def is_current(self, work: WorkDirectory, settings: Settings) -> bool:
        """Return whether these settings are the last that were written for the program.

        What it has changed of them since, it keeps.
        """
        return has_settings(work.read(_SETTINGS), settings)

    def ensure_files(self, work: WorkDirectory, settings: Settings) -> None:
        """Write the settings, only what differs; what it wrote there itself is kept."""
        if not self.is_current(work, settings):
            work.write(_SETTINGS, merge_settings(work.read(_SETTINGS), settings))

    def add_work(self, work: WorkDirectory, settings: Settings, *, running: bool) -> None:
        """List what is neither done nor listed; it fetches what is added while it runs."""
        entries, whole = read_list(work, sure=running)
        if running and not whole:
            return  # what seems to be missing may be about to be written
        listed = find_tests([*entries, *parse_work_list(work.read(ADDITIONS))])
        missing = find_missing(settings.work, self.read_results(work).exponents, listed)
        lines = "".join(map(make_line, missing))
        if not running:
            if begins := not work.read(WORK_LIST):
                lines = HEADER + lines
            if lines or begins:
                work.append(WORK_LIST, lines)
        elif lines:
            # If there are additions that it has not taken yet, the next call adds these.
            work.add(ADDITIONS, lines)

    def choose_memory(self, work: Iterable[Assignment], *, asks: bool = False) -> int:
        """Return how many bytes its container needs.

        Measured: 45 MB for M57885161, 174 MB for a PRP test of M82589933; factoring takes as much
        as `Memory` in the settings besides.
        """
        return 1024 * 2**20

    def choose_disk(self, settings: Settings) -> int:
        limit = settings.disk or _DISK
        tests = [each.exponent for each in settings.work if each.kind is Kind.PRP]
        sizes = ((p << power) // 8 for p in tests for power in range(_GREATEST_POWER + 1))
        most = max((size for size in sizes if size <= limit), default=0)
        # What PrimeNet hands out is not known beforehand; the limit is, if there is one.
        return max(most, settings.disk if settings.primenet else 0)

    def choose_cores(self, cores: Sequence[int]) -> tuple[str, ...]:
        """Return nothing: it looks for the cores that it may use by itself."""
        return ()

    def read_work(self, work: WorkDirectory) -> list[int]:
        done = self.read_results(work).exponents
        entries = [*read_list(work)[0], *parse_work_list(work.read(ADDITIONS))]
        return [exponent for exponent in find_tests(entries) if exponent not in done]

    def read_progress(self, work: WorkDirectory, log: Sequence[str]) -> Progress | None:
        """Return where the work is; None when there is none left. It reports to its log."""
        done = self.read_results(work).exponents
        for entry in (*read_list(work)[0], *parse_work_list(work.read(ADDITIONS))):
            if entry.task is not Task.TEST or entry.exponent not in done:
                return parse_log(log, entry)
        return None

    def read_results(self, work: WorkDirectory) -> Results:
        return read_json_results(work.read(_RESULTS, LONG))

    def find_unsaved(self, log: Sequence[str], exit_code: int) -> str:
        return find_unsaved(log, exit_code)

    def find_outage(self, log: Sequence[str]) -> str:
        return find_outage(log)

    def match_savefiles(self, exponent: int) -> re.Pattern[str]:
        # By what it does with the number: a test, trial factoring, P-1, P+1, ECM, a certification.
        return re.compile(rf"[pfmnec]{name_savefile(exponent)}(?:\.bu\d{{0,2}})?")


def name_savefile(exponent: int) -> str:
    """Return an exponent as mprime's savefiles have it: seven characters below 80,000,000."""
    if exponent >= 80_000_000:
        return str(exponent)
    millions = exponent // 1_000_000
    digits = list(f"{exponent % 10_000_000:07d}")
    if millions >= 61:
        digits[:3] = digits[1], digits[2], chr(ord("B") + millions - 61)
    elif millions >= 35:
        digits[:2] = digits[1], chr(ord("A") + millions - 35)
    elif millions >= 10:
        digits[0] = chr(ord("A") + millions - 10)
    return "".join(digits)


def _find_greatest() -> int:
    """Return the greatest exponent that the program tests on this machine's processor."""
    text = _PROCESSORS.read_text(errors="replace")
    match = re.search(r"^flags\s*:(.*)$", text, re.MULTILINE)
    flags: set[str] = set(match[1].split()) if match else set()
    return next((most for flag, most in _GREATEST.items() if flag in flags), _GREATEST_SSE2)
