"""GIMPS's mprime 30: its settings, its work list, its reports, its results.

The settings' names are those of its sources (readIniFiles in commonc.c, getProxyInfo in
primenet.c) and of its undoc.txt. It reads them when it starts, and rewrites the file when it runs.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from urllib.parse import SplitResult, unquote, urlsplit

from engines import ini
from engines.base import (
    PrimeNet,
    Progress,
    Results,
    Settings,
    find_missing,
    read_json_results,
    read_speed,
)
from work import Assignment, Kind, is_exponent
from workdir import LONG, WorkDirectory

_WORK_LIST = "worktodo.txt"
# What it takes into its work list while it runs, and removes.
_ADDITIONS = "worktodo.add"
_SETTINGS = "prime.txt"
_RESULTS = "results.json.txt"
_GREATEST = 1_169_000_000  # the largest transforms of its AVX-512 code end there
_FACTORED = 99  # bits of trial factoring that it is told were done, so that it does none
# A setting of ours, which it passes over and keeps: which settings were written last.
_MARK = "CharmSettings"
# It hides a proxy's password under this text, lest somebody read it over a shoulder.
_MASK = b"/cgi-bin/pnHttp.exe"

_WORK_LINE = re.compile(
    r"^\s*(?:Test|DoubleCheck)=(?:(?:N/A|[0-9A-Fa-f]{32}),)?(\d{1,10})(?:,|\s*$)"
)
_PRP_LINE = re.compile(r"^\s*PRP(?:DC)?=(?:(?:N/A|[0-9A-Fa-f]{32}),)?1,2,(\d{1,10}),-1\b")
_START = re.compile(r"(?:test|Resuming|Starting)\b.{0,80}?\bM(\d{1,10})\b")
_REPORT = re.compile(
    r"Iteration: (\d{1,10}) ?/ ?(\d{1,10}) \[ *[\d.]+%\]"
    r"(?:.*?ms/iter: *([\d.]{1,20}))?"
)


class Mprime:
    """The adapter for mprime, which is faster, x86 only, and takes more memory."""

    name = "mprime"
    stop_signal = "SIGTERM"
    # It waits 5 s for its workers to save.
    stop_timeout = 15
    benchmark = 6972593

    def explain(self, settings: Settings) -> str:
        """Return why the program can't do what the settings ask for; empty if it can."""
        if settings.primenet and not _is_url(settings.primenet.proxy):
            return "the model's http-proxy is no URL; give one such as http://proxy.example:3128"
        return next(filter(None, map(self.explain_work, settings.work)), "")

    def explain_work(self, assignment: Assignment) -> str:
        """Return why the program can't do an assignment; empty if it can."""
        if assignment.exponent <= _GREATEST:
            return ""
        return f"M{assignment.exponent}: mprime tests exponents up to {_GREATEST}"

    def owns(self, work: WorkDirectory) -> bool:
        """Return whether this program has worked in a directory."""
        return work.has(_WORK_LIST) or work.has(_SETTINGS)

    def is_current(self, work: WorkDirectory, settings: Settings) -> bool:
        """Return whether these settings are the last that were written for the program.

        What it has changed of them since, it keeps.
        """
        mark = f"{_MARK}={_hash(_choose_settings(settings))}"
        return mark in work.read(_SETTINGS).splitlines()

    def prepare(self, work: WorkDirectory, settings: Settings) -> None:
        """Write the settings, only what differs; what it wrote there itself is kept."""
        if not self.is_current(work, settings):
            wanted = _choose_settings(settings)
            marked = {**wanted, "": {**wanted[""], _MARK: _hash(wanted)}}
            work.write(_SETTINGS, ini.merge(work.read(_SETTINGS), marked))

    def add_work(self, work: WorkDirectory, settings: Settings, *, running: bool) -> None:
        """List what is neither done nor listed; it fetches what is added while it runs."""
        additions = work.read(_ADDITIONS)
        listed = parse_work_list(work.read(_WORK_LIST) + "\n" + additions)
        missing = find_missing(settings.work, self.read_results(work).exponents, listed)
        lines = "".join(map(_make_work_line, missing))
        if not running:
            if lines or not work.has(_WORK_LIST):
                work.append(_WORK_LIST, lines)
        elif lines:
            # If there are additions that it has not taken yet, the next call adds these.
            work.add(_ADDITIONS, lines)

    def choose_memory(self, work: Iterable[Assignment]) -> int:
        """Return how many bytes its container needs for the assignments.

        Transforms and tables for what GIMPS hands out take 100 to 400 MB, and factoring takes as
        much as `Memory` in the settings besides.
        """
        return 1024 * 2**20

    def choose_cores(self, cores: Sequence[int]) -> tuple[str, ...]:
        """Return nothing: it looks for the cores that it may use by itself."""
        return ()

    def read_work(self, work: WorkDirectory) -> list[int]:
        """Return the exponents that are still to be done, the next one first."""
        done = self.read_results(work).exponents
        listed = parse_work_list(work.read(_WORK_LIST) + "\n" + work.read(_ADDITIONS))
        return [exponent for exponent in listed if exponent not in done]

    def read_progress(self, work: WorkDirectory, log: Sequence[str]) -> Progress | None:
        """Return where the test is; None when there is no work left. It reports to its log."""
        todo = self.read_work(work)
        return parse_log(log, todo[0]) if todo else None

    def read_results(self, work: WorkDirectory) -> Results:
        """Return what was found so far."""
        return read_json_results(work.read(_RESULTS, LONG))


def scramble(password: str) -> str:
    """Return a proxy's password as mprime keeps it; that hides it from nobody who looks.

    The same as `scramble` in its primenet.c, which replaces a plain one in the file.
    """
    data = password.encode()
    return "".join(f"{b ^ _MASK[i % len(_MASK)]:02X}" for i, b in enumerate(data))


def _choose_settings(settings: Settings) -> ini.Wanted:
    primenet = settings.primenet
    return {
        "": {
            # Without this it asks questions, and ends.
            "StressTester": "0",
            "UsePrimenet": str(int(primenet is not None)),
            "V5UserID": primenet.user if primenet else None,
            "ComputerID": primenet.computer if primenet else None,
            "WorkPreference": _number(primenet.work_preference) if primenet else None,
            # It counts cores by itself, and does not see the container's share of them.
            "NumCores": str(settings.cores),
            "NumWorkers": "1",
            "CoresPerWorker": str(settings.cores),
            # MiB for factoring: the container's, but for what a test itself takes.
            "Memory": str(max(settings.memory // 4 // 2**20, 8)),
            # Whole minutes, one at least.
            "DiskWriteTime": str(max(int(settings.checkpoint), 1)),
            # Without a server nothing more comes, and the container's end says so.
            "ExitWhenOutOfWork": str(int(primenet is None)),
        },
        "PrimeNet": _choose_proxy(primenet),
    }


def _hash(wanted: ini.Wanted) -> str:
    return hashlib.sha256(json.dumps(wanted).encode()).hexdigest()


def _choose_proxy(primenet: PrimeNet | None) -> dict[str, str | None]:
    if primenet is None or not primenet.proxy:
        return dict.fromkeys(("ProxyHost", "ProxyUser", "ProxyPass", "ProxyMask"))
    url = _split(primenet.proxy)
    password = unquote(url.password or "")
    return {
        # It takes port 8080 where none is named; for a URL that is port 80.
        "ProxyHost": f"{url.hostname or ''}:{url.port or 80}",
        "ProxyUser": unquote(url.username or "") or None,
        "ProxyPass": scramble(password) if password else None,
        "ProxyMask": "1" if password else None,
    }


def _is_url(proxy: str) -> bool:
    """Return whether a proxy's URL can be read; one that is not set can."""
    try:
        return not proxy or bool(_split(proxy).hostname and (_split(proxy).port or 80))
    except ValueError:
        return False


def _split(proxy: str) -> SplitResult:
    return urlsplit(proxy if "//" in proxy else f"//{proxy}")


def _number(value: int | None) -> str | None:
    return None if value is None else str(value)


def _make_work_line(assignment: Assignment) -> str:
    if assignment.kind is Kind.PRP:
        return f"PRP=N/A,1,2,{assignment.exponent},-1,{_FACTORED},0\n"
    return f"Test=N/A,{assignment.exponent},{_FACTORED},1\n"


def parse_work_list(text: str) -> list[int]:
    """Return the exponents in a work list, in its order."""
    lines = (_WORK_LINE.match(line) or _PRP_LINE.match(line) for line in text.splitlines())
    return [exponent for match in lines if match and is_exponent(exponent := int(match[1]))]


def parse_log(log: Sequence[str], exponent: int) -> Progress:
    """Return the last report on an exponent in the program's output; iteration 0 if none."""
    found = Progress(exponent, 0, max(exponent - 2, 1))
    for line in reversed(log):
        if match := _REPORT.search(line):
            done, total = int(match[1]), max(int(match[2]), 1)
            return Progress(exponent, min(done, total), total, read_speed(match[3]))
        # A report before this line belongs to an earlier exponent.
        if (start := _START.search(line)) and int(start[1]) == exponent:
            break
    return found
