"""Getting a Docker Engine onto this host, and getting it to answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dockerhost import service
from dockerhost.connection import connect
from dockerhost.errors import EngineUnavailableError, installing
from hostkit import apt

# Docker's own, which no distribution has: it is on offer where somebody added its repository.
_DOCKERS_OWN, _DISTRIBUTIONS = "docker-ce", "docker.io"
# Both only recommend these: the engine needs certificates to reach a registry, and
# apparmor_parser wherever the kernel has AppArmor.
_PACKAGES = ("ca-certificates", "apparmor")


def ensure_engine(report: Callable[[str], None] | None = None) -> bool:
    """Ensure that a Docker Engine answers; return whether anything had to be done.

    An engine that answers on the socket, or did in the last half minute, is taken as it is,
    whoever installed it. One that is installed is started. Otherwise `docker-ce` is installed
    where one of apt's sources has it, Docker's repository or a mirror of that, and else Debian's
    or Ubuntu's `docker.io`.

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

    def report_step(what: str) -> None:
        if report:
            report(what)

    if not any(Path(daemon).exists() for daemon in service.DAEMONS):
        with installing():
            engine = _DOCKERS_OWN if apt.is_offered(_DOCKERS_OWN) else _DISTRIBUTIONS
            report_step(f"installing {engine}")
            apt.ensure_packages(engine, *_PACKAGES)
    report_step("starting the Docker Engine")
    service.start(service.find_unit())
    return True
