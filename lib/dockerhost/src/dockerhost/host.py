"""Getting a Docker Engine onto this host, and getting it to answer."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from dockerhost import service
from dockerhost.connection import connect
from dockerhost.errors import EngineUnavailableError, InstallError, installing
from hostkit import programs

# docker.io only recommends these: the engine needs certificates to reach a registry, and
# apparmor_parser wherever the kernel has AppArmor.
_PACKAGES = ("docker.io", "ca-certificates", "apparmor")
_APT_TIMEOUT = 900  # seconds


def install(report: Callable[[str], None] | None = None) -> bool:
    """Make sure that a Docker Engine answers; return whether anything had to be done.

    An engine that answers on the socket is taken as it is, whoever installed it. One that is
    installed is started. Otherwise Debian's or Ubuntu's `docker.io` is installed.

    Args:
        report: called with a short text before each step that takes time.

    Raises:
        InstallError: apt or systemd failed.
        EngineUnavailableError: the engine was started and does not answer.
    """
    try:
        connect().close()
        return False
    except EngineUnavailableError:
        pass
    say = report or (lambda _: None)
    if not any(Path(daemon).exists() for daemon in service.DAEMONS):
        say("installing docker.io")
        install_packages(*_PACKAGES)
    say("starting the Docker Engine")
    service.start(service.find_unit())
    return True


def install_packages(*packages: str) -> None:
    """Install packages of the distribution; wait while another package manager works.

    Raises:
        InstallError: apt failed.
    """
    # A hook that was killed may have left packages half configured, which apt refuses to repair.
    _run_when_free("/usr/bin/dpkg", "--configure", "-a")
    install_them = ("/usr/bin/apt-get", "--yes", "--no-install-recommends", "install", *packages)
    try:
        _run_when_free(*install_them)
    except InstallError:
        # The package lists may be missing or too old.
        _run_when_free("/usr/bin/apt-get", "--quiet", "update")
        _run_when_free(*install_them)


def _run_when_free(program: str, *arguments: str) -> None:
    """Run a package manager; wait while another one works, such as a killed hook's."""
    deadline = time.monotonic() + _APT_TIMEOUT
    while True:
        try:
            with installing():
                programs.run(program, *arguments, timeout=_APT_TIMEOUT)
            return
        except InstallError as error:
            # apt's own waiting does not cover its lists, and dpkg has none.
            if " lock" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(2)
