"""Packages of the distribution."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from types import ModuleType

from hostkit import charmhelp, programs

_TIMEOUT = 900  # seconds
_PAUSE = 2  # seconds until another look whether others are done
_OPTIONS = ["--no-install-recommends", "--option=Dpkg::Options::=--force-confold"]


def ensure_packages(*packages: str) -> None:
    """Install those packages that are missing; wait while another package manager works.

    Raises:
        OSError: apt failed; the text has its reason.
    """
    # A hook that was killed may have left packages half configured, which apt refuses to repair.
    _call_when_free(lambda: programs.run("/usr/bin/dpkg", "--configure", "-a", timeout=_TIMEOUT))
    try:
        fetch = charmhelp.load_fetch()
        try:
            _call_when_free(lambda: _install_missing(fetch, packages))
        except OSError:
            # The package lists may be missing or too old.
            _call_when_free(lambda: _update(fetch))
            _call_when_free(lambda: _install_missing(fetch, packages))
    except subprocess.CalledProcessError as error:
        # What charmhelpers asks of the system before apt-get is not to fail a hook either.
        raise OSError(f"installing {' '.join(packages)}: {error}") from error


def _install_missing(fetch: ModuleType, packages: Sequence[str]) -> None:
    missing = fetch.filter_installed_packages(packages)
    if not missing:
        return
    # With fatal=True it would try eleven times whatever the reason, such as a misspelt name, for
    # nearly two minutes, and raise an error without the reason. So look what came of it.
    said = _collect_output(lambda: fetch.apt_install(missing, options=_OPTIONS))
    installed = fetch.apt_cache().dpkg_list(missing)
    if left := [package for package in missing if package not in installed]:
        raise OSError(f"apt-get install {' '.join(left)}: {programs.find_reason(said)}")


def _update(fetch: ModuleType) -> None:
    said = _collect_output(fetch.apt_update)
    if any(line.startswith("E: ") for line in said.splitlines()):
        raise OSError(f"apt-get update: {programs.find_reason(said)}")


def _collect_output(function: Callable[[], object]) -> str:
    """Return what the programs that a function starts write to this process's output."""
    with tempfile.TemporaryFile() as file:
        own = {stream: os.dup(stream) for stream in (1, 2)}
        sys.stdout.flush()
        try:
            for stream in own:
                os.dup2(file.fileno(), stream)
            function()
        finally:
            sys.stderr.flush()
            for stream, copy in own.items():
                os.dup2(copy, stream)
                os.close(copy)
        file.seek(0)
        return file.read().decode(errors="replace")


def _call_when_free(step: Callable[[], object]) -> None:
    """Run a package manager; wait while another one works, such as a killed hook's."""
    deadline = time.monotonic() + _TIMEOUT
    while True:
        try:
            step()
            return
        except OSError as error:
            # apt's own waiting does not cover its lists, and dpkg has none.
            if " lock" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)
