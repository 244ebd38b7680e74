"""Packages of the distribution."""

from __future__ import annotations

import time

from hostkit import programs

_TIMEOUT = 900  # seconds
_PAUSE = 2  # seconds until another look whether others are done


def ensure_packages(*packages: str) -> None:
    """Install packages; wait while another package manager works.

    Raises:
        OSError: apt failed; the text has its reason.
    """
    # A hook that was killed may have left packages half configured, which apt refuses to repair.
    _run_when_free("/usr/bin/dpkg", "--configure", "-a")
    install_them = ("/usr/bin/apt-get", "--yes", "--no-install-recommends", "install", *packages)
    try:
        _run_when_free(*install_them)
    except OSError:
        # The package lists may be missing or too old.
        _run_when_free("/usr/bin/apt-get", "--quiet", "update")
        _run_when_free(*install_them)


def _run_when_free(program: str, *arguments: str) -> None:
    """Run a package manager; wait while another one works, such as a killed hook's."""
    deadline = time.monotonic() + _TIMEOUT
    while True:
        try:
            programs.run(program, *arguments, timeout=_TIMEOUT)
            return
        except OSError as error:
            # apt's own waiting does not cover its lists, and dpkg has none.
            if " lock" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)
