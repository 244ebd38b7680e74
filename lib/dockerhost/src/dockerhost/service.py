"""The engine's systemd unit: finding it, starting it, and why it does not start."""

from __future__ import annotations

import hashlib
import re
import time
from contextlib import suppress
from pathlib import Path

from dockerhost import configfile, connection
from dockerhost.connection import greet
from dockerhost.errors import (
    EngineSilentError,
    EngineUnavailableError,
    InstallError,
    explain,
    installing,
)
from hostkit import programs, systemd

# Debian's and Ubuntu's docker.io, docker-ce, and the snap.
DAEMONS = ("/usr/bin/dockerd", "/usr/sbin/dockerd", "/snap/bin/docker.dockerd")
CONFIG = Path("/etc/docker/daemon.json")
# The snap's engine can't read /etc.
_SNAP_CONFIG = Path("/var/snap/docker/current/config/daemon.json")
_JOURNALCTL = "/usr/bin/journalctl"
_TIMEOUT = 60  # seconds for an engine that starts to listen
_START_TIMEOUT = 20  # seconds for an engine that was not running; a hook is not to hang on it
_SILENCE = 10  # seconds for an engine that listens and does not answer
_CONFIG_OPTION = re.compile(r"--config-file[=\s]+[\"']?([^\s\"']+)")
_ENVIRONMENT_FILE = re.compile(r"^(.+?) \(ignore_errors=(?:yes|no)\)$", re.MULTILINE)
_OPTIONS = ("ExecStart", "Environment", "EnvironmentFiles", "FragmentPath", "DropInPaths")
_JOURNAL_TRIALS = 10
_CHATTER = re.compile(r"\blevel=(debug|info|warning)\b|^\s*$")
_LOG_MESSAGE = re.compile(r"\bmsg=\"((?:[^\"\\]|\\.)*)\"")


def find_unit() -> str:
    """Return the name of the engine's systemd unit, as it is installed."""
    snap = Path(DAEMONS[-1]).exists() and not any(Path(d).exists() for d in DAEMONS[:-1])
    return "snap.docker.dockerd.service" if snap else "docker.service"


def find_process(unit: str) -> int:
    """Return the number of a systemd unit's main process; 0 while it has none.

    Raises:
        InstallError: systemd failed.
    """
    return int(_show(unit, "MainPID")["MainPID"] or 0)


def find_config(unit: str) -> Path:
    """Return the file that the engine reads its settings from when it starts next.

    Raises:
        InstallError: systemd failed.
    """
    if unit.startswith("snap."):
        return _SNAP_CONFIG
    options = _show(unit, *_OPTIONS)
    command = options["ExecStart"]
    # What stands in a variable counts if the command has one; the last one counts, as for dockerd.
    places = [command] if "$" not in command else [command, *_read_environment(options)]
    named = [name for place in places for name in _CONFIG_OPTION.findall(place)]
    return Path(named[-1]) if named else CONFIG


def hash_options(unit: str) -> str:
    """Return a hash of all that decides how the engine starts, but its own file of settings.

    Raises:
        InstallError: systemd failed.
    """
    options = _show(unit, *_OPTIONS)
    files = [options["FragmentPath"], *options["DropInPaths"].split()]
    texts = [*map(_read, files), *_read_environment(options)]
    for program in DAEMONS:  # another release may take what this one refuses
        if Path(program).exists():
            status = Path(program).stat()
            texts.append(f"{program} {status.st_size} {status.st_mtime_ns}")
    return hashlib.sha256("\0".join(texts).encode()).hexdigest()


def reload_units() -> None:
    """Make systemd read its files again. Raises InstallError."""
    with installing():
        systemd.call("daemon-reload")


def start(unit: str, *, again: bool = False) -> None:
    """Start the engine, or restart it, and wait until it answers.

    However often that was done of late: systemd's limit of starts counts from here again.

    Raises:
        InstallError: systemd failed, or the engine ended; the text has the engine's reason.
        EngineUnavailableError: it was started and does not answer.
    """
    began = time.time()
    _reset_start_limit(unit)
    try:
        with installing():
            if again:
                systemd.call("restart", unit)
            else:
                systemd.call("start", unit, timeout=_START_TIMEOUT)
    except InstallError as error:
        reason = _find_reason(unit, began)
        raise InstallError(f"{unit} does not start: {reason}" if reason else str(error)) from error
    deadline = time.monotonic() + _TIMEOUT
    patience = time.monotonic() + _SILENCE
    while True:
        connection.reset_silence()
        try:
            greet()
            return
        except EngineSilentError:
            if time.monotonic() > patience:
                raise
        except EngineUnavailableError as error:
            if time.monotonic() > deadline:
                raise EngineUnavailableError(
                    "the Docker Engine was started but does not answer; "
                    f"see journalctl --unit {unit}"
                ) from error
        time.sleep(0.2)


def _reset_start_limit(unit: str) -> None:
    """Reset systemd's counters of starts and failures of a unit and of its socket.

    See systemctl(1), reset-failed: that sets the counters of starts to zero, too.
    """
    for each in (unit, *_show(unit, "TriggeredBy")["TriggeredBy"].split()):
        with suppress(OSError):  # it is not loaded, and has failed at nothing
            systemd.call("reset-failed", each)


def _find_reason(unit: str, since: float) -> str:
    """Return why the engine did not start: what is wrong with its file, or else its last words."""
    try:
        if fault := configfile.explain_fault(find_config(unit)):
            return fault
        for _ in range(_JOURNAL_TRIALS):
            said = programs.run(
                *(_JOURNALCTL, "--quiet", "--no-pager", "--output=cat", "--lines=50"),
                *(f"--since=@{int(since)}", f"_SYSTEMD_UNIT={unit}"),
            )
            # What it writes while it ends as it should is not a reason.
            if lines := [line for line in said.splitlines() if not _CHATTER.search(line)]:
                message = _LOG_MESSAGE.search(lines[-1])
                return explain(message[1] if message else lines[-1])
            time.sleep(0.2)  # the journal has its words a little later than systemd its end
    except (InstallError, OSError):
        pass  # it is the first failure that counts
    return ""


def _show(unit: str, *names: str) -> dict[str, str]:
    """Return properties of a unit; a property that stands there several times, line by line."""
    with installing():
        said = systemd.call("show", f"--property={','.join(names)}", unit)
    found: dict[str, str] = {}
    for line in said.splitlines():
        name, _, value = line.partition("=")
        found[name] = f"{found[name]}\n{value}" if name in found else value
    return {name: found.get(name, "") for name in names}


def _read_environment(options: dict[str, str]) -> list[str]:
    """Return what a unit's variables are set from, without comments."""
    files = _ENVIRONMENT_FILE.findall(options["EnvironmentFiles"])
    texts = [options["Environment"], *map(_read, files)]
    return [re.sub(r"^\s*[#;].*$", "", text, flags=re.MULTILINE) for text in texts]


def _read(name: str) -> str:
    try:
        return Path(name).read_text(errors="replace") if name else ""
    except OSError:
        return ""
