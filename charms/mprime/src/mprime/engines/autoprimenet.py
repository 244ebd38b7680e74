"""AutoPrimeNet, which talks to PrimeNet for Mlucas: its settings, and what it tells.

An image that holds it runs it beside Mlucas in the same container, as `images/mlucas-primenet`
does. It is given its settings in `prime.ini`, whose keys it keeps and rewrites. What is here
follows its public source (tdulcet/AutoPrimeNet on GitHub: `attr_to_copy`, `SUPPORTED`, and how it
logs); it was not run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence

from harvest import ini
from harvest.workdir import WorkDirectory
from mprime.engines.protocol import PrimeNet, Settings

NAME = "autoprimenet"  # as an image's label `mersenne.primenet` gives it

_SETTINGS = "prime.ini"
_SECTION = "PrimeNet"
_MARK = "CharmSettings"  # a key of ours, which it keeps: which settings were written last
_MARKED = re.compile(rf"^{_MARK}\s*=\s*([0-9a-f]{{64}})\s*$", re.IGNORECASE | re.MULTILINE)
# Whether the image is to run it, and through which proxy: `off`, `direct` or a URL.
_SWITCH = "primenet.txt"
# The kinds of work, by their number at PrimeNet, that are tests of whole numbers.
_PREFERENCES = (100, 101, 102, 104, 150, 151, 152, 153, 154)
_FAILED = re.compile(
    r"\[MainThread (\d{4}-\d\d-\d\d \d\d:\d\d)[^\]]{0,8}\]\s+(?:ERROR|CRITICAL): "
    r"(?:HTTPS?ConnectionPool\(host='v5\.mersenne\.org'|Error while registering)"
)
_ENDED = re.compile(r"^AutoPrimeNet ended with \d{1,3}$")  # of the image's entry point


def explain(primenet: PrimeNet) -> str:
    """Return why it can't do what the settings ask for; empty if it can."""
    preference = primenet.work_preference
    if preference in (0, *_PREFERENCES):
        return ""
    allowed = ", ".join(map(str, _PREFERENCES))
    return f"option work-preference: mlucas does not do {preference}; give one of: {allowed}"


def is_current(work: WorkDirectory, settings: Settings) -> bool:
    """Return whether these settings are the last that were written for it."""
    if (work.read(_SWITCH).strip() or "off") != _choose_switch(settings):
        return False
    match = _MARKED.search(work.read(_SETTINGS))
    return settings.primenet is None or (
        match is not None
        and match[1] == _hash_keys(_choose_keys(settings.primenet, settings.memory))
    )


def ensure_files(work: WorkDirectory, settings: Settings) -> None:
    """Write its settings; what it wrote there itself is kept, such as who it is to PrimeNet."""
    if settings.primenet:
        keys = _choose_keys(settings.primenet, settings.memory)
        wanted = {_SECTION: {**keys, _MARK: _hash_keys(keys)}}
        work.write(_SETTINGS, ini.merge(work.read(_SETTINGS), wanted))
    work.write(_SWITCH, f"{_choose_switch(settings)}\n")


def find_outage(log: Sequence[str]) -> str:
    """Return since when PrimeNet has been out of reach, in its own words, such as
    `2026-11-27 22:43`; empty if it is not.
    """
    since, fails = "", False
    for line in log:
        if match := _FAILED.search(line):
            since, fails = since or match[1], True
        elif _ENDED.search(line):
            since, fails = since if fails else "", False
    return since


def _choose_switch(settings: Settings) -> str:
    return settings.primenet.proxy or "direct" if settings.primenet else "off"


def _choose_keys(primenet: PrimeNet, memory: int) -> dict[str, str | None]:
    preference = primenet.work_preference
    return {
        "username": primenet.user,
        "ComputerID": primenet.computer,
        "WorkPreference": str(preference) if preference else None,
        "workfile": "worktodo.ini",
        "resultsfile": "results.txt",
        "mlucas": "True",
        "NumWorkers": "1",
        "Memory": str(memory // 2**20),  # MiB; it would tell PrimeNet of the whole machine's
        "version_check": "False",
    }


def _hash_keys(keys: dict[str, str | None]) -> str:
    return hashlib.sha256(json.dumps(keys).encode()).hexdigest()
