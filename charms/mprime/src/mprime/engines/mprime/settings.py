"""mprime's settings, prime.txt, which it reads when it starts and rewrites while it runs.

Their names are those of its sources (readIniFiles in commonc.c, getProxyInfo in primenet.c) and
of its undoc.txt.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from urllib.parse import SplitResult, unquote, urlsplit

from harvest import ini
from mprime.engines.protocol import HANDED_OUT, PrimeNet, Settings
from mprime.engines.transforms import estimate_speed

# A setting of ours, which it passes over and keeps: which settings were written last.
_MARK = "CharmSettings"
# It hides a proxy's password under this text, so that nobody reads it over a shoulder.
_MASK = b"/cgi-bin/pnHttp.exe"
_LONGEST_PASSWORD = 24  # bytes; it cuts off what is beyond, and says nothing
# Iterations between two reports; its own choice is the greatest.
_REPORTS = (10_000, 5_000, 2_000, 1_000, 500, 200, 100, 50, 20, 10)
_TELL = 10.0  # seconds between two reports, at most
_TELL_TRIAL = 1.0
_FASTER = 4  # than Mlucas without vector instructions, on whatever processor; measured: 8 times
_RETRY = 10  # minutes


def explain_proxy(proxy: str) -> str:
    """Return why a proxy's URL can't be used; empty if it can, or there is none."""
    url = urlsplit("")
    try:
        url = _split_proxy(proxy)
        is_url = not proxy or bool(url.hostname and url.port != 0)
    except ValueError:
        is_url = False
    if not is_url:
        return "the model's http-proxy is not a URL; give one such as http://proxy.example:3128"
    length = len(unquote(url.password or "").encode())
    if length > _LONGEST_PASSWORD:
        return (
            f"the model's http-proxy: its password has {length} bytes, and mprime uses "
            f"{_LONGEST_PASSWORD} of them; give a shorter one"
        )
    return ""


def has_settings(text: str, settings: Settings) -> bool:
    """Return whether a settings file is as it was last written for these settings.

    One with more reports than it takes does no harm.
    """
    lines = set(text.splitlines())
    return any(
        _format_mark(choose_settings(settings, reports)) in lines
        for reports in _list_intervals(settings)
    )


def merge_settings(text: str, settings: Settings) -> str:
    """Return a settings file with these settings; all else in it is kept."""
    wanted = choose_settings(settings, next(_list_intervals(settings)))
    key, _, value = _format_mark(wanted).partition("=")
    return ini.merge(text, {**wanted, "": {**wanted[""], key: value}})


def choose_settings(settings: Settings, reports: int) -> ini.Wanted:
    """Return what should stand in the file. None takes a key out.

    Args:
        settings: what the program is to do.
        reports: iterations between two of them.
    """
    primenet = settings.primenet
    return {
        "": {
            # Without this it asks questions, and ends.
            "StressTester": "0",
            "UsePrimenet": str(int(primenet is not None)),
            "V5UserID": primenet.user if primenet else None,
            "ComputerID": primenet.computer if primenet else None,
            "WorkPreference": _format_number(primenet.work_preference or None)
            if primenet
            else None,
            # It waits for 70 minutes by itself.
            "NetworkRetryTime2": str(_RETRY) if primenet else None,
            # It counts cores by itself, and does not see the container's share of them.
            "NumCores": str(settings.cores),
            "NumWorkers": "1",
            # It writes this key itself when it first starts, and keeps to it.
            "CoresPerTest": str(settings.cores),
            # What later versions call it; an earlier version of the charm wrote it.
            "CoresPerWorker": None,
            # MiB for factoring: the container's, but for what a test itself takes.
            "Memory": str(max(settings.memory // 4 // 2**20, 8)),
            # GB that a PRP test may lay aside for its proof; 6 by its own choice.
            "WorkerDiskSpace": f"{settings.disk / 1e9:.3f}" if settings.disk else None,
            # Whole minutes, one at least.
            "DiskWriteTime": str(max(int(settings.checkpoint), 1)),
            "OutputIterations": str(reports),
            # Its exit code is 0 whether it is out of work or was told to stop. So it waits, and
            # the engine starts it again whenever it ends.
            "ExitWhenOutOfWork": str(int(settings.trial)),
        },
        "PrimeNet": _choose_proxy(primenet),
    }


def scramble(password: str) -> str:
    """Return a proxy's password as mprime keeps it; that hides it from nobody who looks.

    The same as `scramble` in its primenet.c, which replaces a plain one in the file.
    """
    data = password.encode()
    return "".join(f"{b ^ _MASK[i % len(_MASK)]:02X}" for i, b in enumerate(data))


def _list_intervals(settings: Settings) -> Iterator[int]:
    """Yield how many iterations may lie between two reports, the longest first."""
    exponents = [each.exponent for each in settings.work]
    if settings.primenet:
        exponents.append(HANDED_OUT)
    milliseconds = estimate_speed(max(exponents, default=1)) / _FASTER
    most = 1000 * (_TELL_TRIAL if settings.trial else _TELL) / milliseconds
    fitting = [each for each in _REPORTS if each <= most]
    yield from fitting or _REPORTS[-1:]


def _format_mark(wanted: ini.Wanted) -> str:
    return f"{_MARK}={hashlib.sha256(json.dumps(wanted).encode()).hexdigest()}"


def _choose_proxy(primenet: PrimeNet | None) -> dict[str, str | None]:
    if primenet is None or not primenet.proxy:
        return dict.fromkeys(("ProxyHost", "ProxyUser", "ProxyPass", "ProxyMask"))
    url = _split_proxy(primenet.proxy)
    password = unquote(url.password or "")
    return {
        # It takes port 8080 where none is named; for a URL that is port 80.
        "ProxyHost": f"{url.hostname or ''}:{url.port or 80}",
        "ProxyUser": unquote(url.username or "") or None,
        "ProxyPass": scramble(password) if password else None,
        "ProxyMask": "1" if password else None,
    }


def _split_proxy(proxy: str) -> SplitResult:
    return urlsplit(proxy if "//" in proxy else f"//{proxy}")


def _format_number(value: int | None) -> str | None:
    return None if value is None else str(value)
