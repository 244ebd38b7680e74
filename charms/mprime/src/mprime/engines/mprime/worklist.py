"""mprime's work list: what is in it, and how to read it while the program rewrites it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass

from harvest.workdir import WorkDirectory
from mprime.assignments import Assignment, Kind, is_exponent
from mprime.engines.protocol import Task

WORK_LIST = "worktodo.txt"
# What it takes into its work list while it runs, and removes.
ADDITIONS = "worktodo.add"
# The program begins every list with this line, also one with no work.
HEADER = "[Worker #1]\n"
_FACTORED = 99  # bits of trial factoring that it is told were done, so that it does none

# Seconds. Soon after each start it truncates the list and writes it a line at a time, which takes
# up to a second or so. A list that was written longer ago is whole.
_WRITES = 2.0
_PAUSE = 0.25
_PATIENCE = 5.0

# Lines whose number is given by its exponent alone, and those that give it as k,b,n,c.
_BY_EXPONENT = {"test": Task.TEST, "doublecheck": Task.TEST, "factor": Task.TRIAL_FACTORING}
_BY_FORMULA = {
    "prp": Task.TEST,
    "prpdc": Task.TEST,
    "pfactor": Task.P_MINUS_1,
    "pminus1": Task.P_MINUS_1,
    "pplus1": Task.P_PLUS_1,
    "ecm2": Task.ECM,
    "cert": Task.CERTIFICATION,
}
_ID = re.compile(r"N/A|[0-9A-Fa-f]{32}")
_EXPONENT = re.compile(r"[0-9]{1,10}")


@dataclass(frozen=True)
class Entry:
    """A line of the work list.

    Attributes:
        exponent: p of the number 2^p - 1 that it is about.
        step: what the line says besides, such as `to 2^66`; may be empty.
    """

    exponent: int
    task: Task = Task.TEST
    step: str = ""


def read_list(work: WorkDirectory, *, sure: bool = False) -> tuple[list[Entry], bool]:
    """Return what is in the work list, and whether it is whole. Raises OSError.

    Args:
        work: where the list is.
        sure: wait until nobody has written for a while. Otherwise, of a list that is being
            written, two reads that agree will do; but a program that the machine leaves no time
            may stop in the middle.
    """
    text = work.read(WORK_LIST)
    deadline = time.monotonic() + _PATIENCE
    whole = _is_stable(work, text)
    while not whole and time.monotonic() < deadline:
        time.sleep(_PAUSE)
        before, text = text, work.read(WORK_LIST)
        agree = not sure and text == before and text.startswith(HEADER)
        whole = agree or _is_stable(work, text)
    return parse_work_list(text), whole


def parse_work_list(text: str) -> list[Entry]:
    """Return the entries of a work list, in its order; lines of other kinds are left out."""
    return [entry for entry in map(_parse_line, text.splitlines()) if entry]


def find_tests(entries: Iterable[Entry]) -> list[int]:
    """Return the exponents of the numbers that are to be tested."""
    return [entry.exponent for entry in entries if entry.task is Task.TEST]


def make_line(assignment: Assignment) -> str:
    """Return the line that orders a test."""
    if assignment.kind is Kind.PRP:
        return f"PRP=N/A,1,2,{assignment.exponent},-1,{_FACTORED},0\n"
    return f"Test=N/A,{assignment.exponent},{_FACTORED},1\n"


def _is_stable(work: WorkDirectory, text: str) -> bool:
    """Return whether a list that was just read needs no second look."""
    try:
        written = (work.path / WORK_LIST).lstat().st_mtime
    except FileNotFoundError:
        return True
    return bool(text) and not 0 <= time.time() - written < _WRITES


def _parse_line(line: str) -> Entry | None:
    keyword, _, rest = line.strip().partition("=")
    keyword = keyword.lower()
    if keyword not in _BY_EXPONENT and keyword not in _BY_FORMULA:
        return None
    fields = rest.split(",")
    if _ID.fullmatch(fields[0]):
        fields.pop(0)
    # Such as FFT2=4480K, which a line may have before its number.
    while fields and "=" in fields[0]:
        fields.pop(0)
    if keyword in _BY_EXPONENT:
        task, number = _BY_EXPONENT[keyword], fields[0] if fields else ""
    elif len(fields) >= 4 and (fields[:2], fields[3].strip()) == (["1", "2"], "-1"):
        task, number = _BY_FORMULA[keyword], fields[2]
    else:
        return None
    if not _EXPONENT.fullmatch(number) or not is_exponent(int(number)):
        return None
    if task is Task.TEST and '"' in rest:
        # With known factors it tests what is left of the number without them.
        task = Task.COFACTOR
    step = ""
    if task is Task.TRIAL_FACTORING and len(fields) > 2 and re.fullmatch("[0-9]{1,3}", fields[2]):
        step = f"to 2^{fields[2]}"
    return Entry(int(number), task, step)
