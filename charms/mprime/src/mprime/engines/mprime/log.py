"""What mprime tells in its output, when it is run with -d.

Not all of it was seen on 30.19 build 20. Reports of P-1 factoring (`_STAGE`) are as that version's
public forerunners have them in ecm.c. Of its errors of writing, `Error writing intermediate file`
stands in the public sources of many versions (WRITEFILEERR in commonb.c); the other wordings that
`_NOT_SAVED` takes are derived from it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mprime.engines.mprime.worklist import Entry
from mprime.engines.protocol import Progress, Task, read_speed

# For every kind of test, the number after the slash is the exponent.
_REPORT = re.compile(
    r"Iteration: (\d{1,10}) ?/ ?(\d{1,10}) \[ *[\d.]{1,8}%\]"
    r"(?:.{0,20}?ms/iter: *([\d.]{1,20}))?"
)
_STOP = re.compile(r"\bStopping .{0,40}?\bM(\d{1,10}) at iteration (\d{1,10}) \[")
_START = re.compile(r"\bStarting .{0,60}?\bM(\d{1,10})\b")
_FACTORING = re.compile(
    r"\bTrial factoring M(\d{1,10}) to (2\^\d{1,3}) is (\d{1,3}\.?\d{0,4})% complete"
)
_STAGE = re.compile(r"\bM(\d{1,10}) stage (\d) is (\d{1,3}\.?\d{0,4})% complete")
# It checks for errors all the time, and says so. That it can't bind a thread to a core, as on a
# container's cpuset, is none: the kernel keeps it on the cores that it may use.
FAILURE = re.compile(
    r"\berror\b(?![- ]check| setting affinity)|\bfail|\bunable|not found|\bIllegal line\b"
    r"|\bhardware failure\b",
    re.IGNORECASE,
)
# It lays aside its proof's residues when a PRP test starts, and dies of SIGFPE where the disk has
# no room for them. That was seen; a container's engine tells of it as 128 + 8.
_SIGFPE = 136
_BEGINS = re.compile(r"\bMersenne number primality test program version\b")
_NOT_SAVED = re.compile(r"Error (?:writing|opening|creating) [^:]{0,40}file:? .{0,60}")
_WORKS = re.compile(r"\[Comm thread [^\]]{1,30}\] Done communicating with server")
_GAVE_UP = re.compile(
    r"\[Comm thread ([A-Z][a-z]{2} +\d{1,2} \d\d:\d\d)[^\]]{0,9}\]"
    r" *Will try contacting server again"
)


def parse_log(log: Sequence[str], entry: Entry) -> Progress:
    """Return the last report on the number that is worked on; nothing is done if there is none.

    Args:
        log: lines of its output.
        entry: the first line of its work list.
    """
    for line in reversed(log):
        if found := _read_report(line):
            # One on another number is of earlier work.
            if found.exponent == entry.exponent:
                return found
            break
        if (start := _START.search(line)) and int(start[1]) == entry.exponent:
            break
    steps = max(entry.exponent - 2, 1) if entry.task is Task.TEST else 0
    return Progress(entry.exponent, 0, steps, task=entry.task, step=entry.step)


def find_outage(log: Sequence[str]) -> str:
    """Return since when PrimeNet has been out of reach, in the program's own words, such as
    `Nov 27 22:43`; empty if it is not.
    """
    since = ""
    for line in log:
        if _WORKS.search(line):
            since = ""
        elif (match := _GAVE_UP.search(line)) and not since:
            since = match[1]
    return since


def find_unsaved(log: Sequence[str], exit_code: int = 0) -> str:
    """Return why work could not be saved: how the program died, or the last line since its start
    in which it tells so; empty if it could. It does not tell that it can save again.
    """
    if exit_code == _SIGFPE:
        return (
            f"it died of SIGFPE (exit code {_SIGFPE}), as a PRP test does where the disk has no "
            "room for its proof; free some, or give a lower disk-limit"
        )
    for line in reversed(log):
        if match := _NOT_SAVED.search(line):
            return match[0].strip()
        if _BEGINS.search(line):
            break
    return ""


def _read_report(line: str) -> Progress | None:
    if match := _REPORT.search(line):
        done, exponent = int(match[1]), max(int(match[2]), 1)
        return Progress(exponent, min(done, exponent), exponent, read_speed(match[3]))
    if match := _STOP.search(line):
        exponent = max(int(match[1]), 1)
        return Progress(exponent, min(int(match[2]), exponent), exponent)
    if match := _FACTORING.search(line):
        return _make_part(match[1], match[3], Task.TRIAL_FACTORING, f"to {match[2]}")
    if match := _STAGE.search(line):
        return _make_part(match[1], match[3], Task.P_MINUS_1, f"stage {match[2]}")
    return None


def _make_part(exponent: str, percent: str, task: Task, step: str) -> Progress:
    # The program tells no steps of these: their hundredths of a per cent stand for them.
    done = min(round(float(percent) * 100), 10_000)
    return Progress(int(exponent), done, 10_000, task=task, step=step)
