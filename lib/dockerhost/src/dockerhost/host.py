"""Getting a Docker Engine onto this host, and getting it to answer."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import docker
import docker.errors
import requests.exceptions

from dockerhost.errors import EngineUnavailableError, InstallError, explain

SOCKET = "unix:///var/run/docker.sock"
# Debian's and Ubuntu's docker.io, docker-ce, and the snap.
DAEMONS = ("/usr/bin/dockerd", "/usr/sbin/dockerd", "/snap/bin/docker.dockerd")
# docker.io only recommends these: the engine needs certificates to reach a registry, and
# apparmor_parser wherever the kernel has AppArmor.
_PACKAGES = ("docker.io", "ca-certificates", "apparmor")
_SYSTEMCTL = "/usr/bin/systemctl"
_PING_TIMEOUT = 5  # seconds
_APT_TIMEOUT = 900  # seconds
_START_TIMEOUT = 60  # seconds


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
    if _answers():
        return False
    say = report or (lambda _: None)
    if not any(Path(daemon).exists() for daemon in DAEMONS):
        say("installing docker.io")
        install_packages(*_PACKAGES)
    say("starting the Docker Engine")
    start(find_unit())
    return True


def find_unit() -> str:
    """Return the name of the engine's systemd unit, as it is installed."""
    snap = Path(DAEMONS[-1]).exists() and not any(Path(d).exists() for d in DAEMONS[:-1])
    return "snap.docker.dockerd.service" if snap else "docker.service"


def find_process(unit: str) -> int:
    """Return the number of a systemd unit's main process; 0 while it has none.

    Raises:
        InstallError: systemd failed.
    """
    said = _run(_SYSTEMCTL, "show", "--property=MainPID", "--value", unit, timeout=_START_TIMEOUT)
    return int(said or 0)


def reload_units() -> None:
    """Let systemd read its files again. Raises InstallError."""
    _run(_SYSTEMCTL, "daemon-reload", timeout=_START_TIMEOUT)


def start(unit: str, *, again: bool = False) -> None:
    """Start the engine, or restart it, and wait until it answers.

    Raises:
        InstallError: systemd failed.
        EngineUnavailableError: it was started and does not answer.
    """
    _run(_SYSTEMCTL, "restart" if again else "start", unit, timeout=_START_TIMEOUT)
    deadline = time.monotonic() + _START_TIMEOUT
    while not _answers():
        if time.monotonic() > deadline:
            raise EngineUnavailableError(
                f"the Docker Engine was started and does not answer; see journalctl --unit {unit}"
            )
        time.sleep(0.2)


def _answers() -> bool:
    try:
        # It asks for the engine's version.
        docker.APIClient(base_url=SOCKET, timeout=_PING_TIMEOUT, version="auto").close()
    except (docker.errors.DockerException, requests.exceptions.RequestException):
        return False
    return True


def install_packages(*packages: str) -> None:
    """Install packages of the distribution; wait while another package manager works.

    Raises:
        InstallError: apt failed.
    """
    # A hook that was killed may have left packages half configured, which apt refuses to mend.
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
            _run(program, *arguments, timeout=_APT_TIMEOUT)
            return
        except InstallError as error:
            # apt's own waiting does not cover its lists, and dpkg has none.
            if " lock" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(2)


def _run(program: str, *arguments: str, timeout: float) -> str:
    what = f"{Path(program).name} {' '.join(a for a in arguments if not a.startswith('-'))}"
    try:
        done = subprocess.run(
            [program, *arguments],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"{what} did not end within {timeout:.0f} s") from error
    except OSError as error:
        raise InstallError(f"{program}: {error.strerror}") from error
    if done.returncode:
        raise InstallError(f"{what}: {_last_words(done.stderr or done.stdout)}")
    return done.stdout.strip()


def _last_words(output: str) -> str:
    """Return the line in which a program says why it failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E: ")] or lines
    return explain(errors[0].removeprefix("E: ") if errors else "it failed and did not say why")
