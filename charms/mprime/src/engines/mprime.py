"""GIMPS's mprime 30: its work list, its reports, its results."""

from __future__ import annotations

import re
from collections.abc import Sequence

from engines.base import WORK, Progress, Results, read_json_results
from workdir import WorkDirectory

_WORK_LIST = "worktodo.txt"
_SETTINGS = "prime.txt"
_RESULTS = "results.json.txt"

# Without StressTester it asks questions and ends. It counts cores by itself and does not see the
# container's share of them, so one is named. At the end of the work list it ends.
_SETTINGS_TEXT = """\
StressTester=0
UsePrimenet=0
NumCores=1
NumWorkers=1
CoresPerWorker=1
Memory=256
DiskWriteTime=5
ExitWhenOutOfWork=1
"""

_WORK_LINE = re.compile(
    r"^\s*(?:Test|DoubleCheck)=(?:(?:N/A|[0-9A-Fa-f]{32}),)?(\d{1,10})(?:,|\s*$)"
)
_PRP_LINE = re.compile(r"^\s*PRP(?:DC)?=(?:(?:N/A|[0-9A-Fa-f]{32}),)?1,2,(\d{1,10}),-1\b")
_START = re.compile(r"(?:test|Resuming|Starting)\b.*?\bM(\d{1,10})\b")
_REPORT = re.compile(
    r"Iteration: (\d{1,10}) ?/ ?(\d{1,10}) \[ *[\d.]+%\]"
    r"(?:.*?ms/iter: *([\d.]{1,20}))?"
)


class Mprime:
    """The adapter for mprime, which is faster, x86 only, and takes more memory."""

    name = "mprime"
    # Its transforms and tables for the exponents that GIMPS hands out today take 100 to 400 MB,
    # and P-1 as much as `Memory` in its settings besides.
    memory = 1024 * 1024 * 1024
    stop_signal = "SIGTERM"
    # It waits 5 s for its workers to save.
    stop_timeout = 15

    def prepare(self, work: WorkDirectory) -> None:
        """Write the settings and the work list that are missing; never touch what is there."""
        work.add(_SETTINGS, _SETTINGS_TEXT)
        fresh = not self.read_results(work).exponents
        lines = [f"Test=N/A,{exponent},60,1\n" for exponent in WORK if fresh]
        work.add(_WORK_LIST, "".join(lines))

    def choose_core(self, core: int) -> tuple[str, ...]:
        """Return nothing: it looks for the cores that it may use by itself."""
        return ()

    def read_work(self, work: WorkDirectory) -> list[int]:
        """Return the exponents that are still to be done, the next one first."""
        done = self.read_results(work).exponents
        listed = parse_work_list(work.read(_WORK_LIST))
        return [exponent for exponent in listed if exponent not in done]

    def read_progress(self, work: WorkDirectory, log: Sequence[str]) -> Progress | None:
        """Return where the test is; None when there is no work left. It reports to its log."""
        todo = self.read_work(work)
        return parse_log(log, todo[0]) if todo else None

    def read_results(self, work: WorkDirectory) -> Results:
        """Return what was found so far."""
        return read_json_results(work.read(_RESULTS))


def parse_work_list(text: str) -> list[int]:
    """Return the exponents in a work list, in its order."""
    lines = (_WORK_LINE.match(line) or _PRP_LINE.match(line) for line in text.splitlines())
    return [int(match[1]) for match in lines if match]


def parse_log(log: Sequence[str], exponent: int) -> Progress:
    """Return the last report on an exponent in the program's output; iteration 0 if none."""
    found = Progress(exponent, 0, max(exponent - 2, 1))
    for line in reversed(log):
        if match := _REPORT.search(line):
            done, total = int(match[1]), max(int(match[2]), 1)
            try:
                speed = float(match[3]) if match[3] else None
            except ValueError:
                speed = None
            return Progress(exponent, min(done, total), total, speed)
        # A report before this line belongs to an earlier exponent.
        if (start := _START.search(line)) and int(start[1]) == exponent:
            break
    return found
