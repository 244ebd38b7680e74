"""The proxies through which the engine fetches images.

The engine reads them when it starts, so a change takes a restart, which stops its containers.
That is done only to an engine that runs no containers but ours. One that has proxies already is
left alone. After Docker's documentation, "Daemon proxy configuration", and systemd.exec(5).
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dockerhost import host
from dockerhost.engine import Engine
from dockerhost.errors import ProxyError

UNITS = Path("/etc/systemd/system")
PROC = Path("/proc")
_FILE = "dockerhost-proxy.conf"
_HEAD = "# Placed by dockerhost. A change made here is undone.\n[Service]\n"


@dataclass(frozen=True)
class Proxies:
    """Through which proxies to reach the outside, as the usual environment variables say it.

    Attributes:
        http: for http://, such as http://proxy.example.com:3128; empty: none.
        https: for https://.
        no_proxy: hosts and networks that are reached without, between commas.
    """

    http: str = ""
    https: str = ""
    no_proxy: str = ""

    def __bool__(self) -> bool:
        """Whether there is one at all."""
        return bool(self.http or self.https)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of a program that is to use them; none if there is no proxy."""
        if not self:
            return {}
        names = {"HTTP_PROXY": self.http, "HTTPS_PROXY": self.https, "NO_PROXY": self.no_proxy}
        return {name: value for name, value in names.items() if value}

    @property
    def build_arguments(self) -> dict[str, str]:
        """The same for a build, whose programs read either spelling; it keeps none of it."""
        return {
            spelling: value
            for name, value in self.environment.items()
            for spelling in (name, name.lower())
        }


def settle_proxies(
    engine: Engine, proxies: Proxies, report: Callable[[str], None] | None = None
) -> str:
    """Let the engine fetch through these proxies, or through none; change only what differs.

    Args:
        engine: this host's.
        proxies: those it should use.
        report: called with a short text before each step that takes time.

    Returns:
        Why the engine does not use them; empty if it does, or has proxies of its own.

    Raises:
        ProxyError: a proxy has characters that no address has, or its file can't be written.
        InstallError, EngineUnavailableError: the engine did not come back.
    """
    unit = host.find_unit()
    file = _locate(unit)
    if not proxies:
        if _remove(file):
            host.reload_units()
            if not engine.runs_others():
                _restart(unit, report)
        return ""
    wanted = proxies.environment
    if _read_environment(host.find_process(unit)).items() >= wanted.items():
        return ""
    if not file.exists() and engine.has_proxies():
        return ""
    if engine.runs_others():
        return (
            "the Docker Engine does not use the proxies, and a restart would stop others' "
            f"containers: set them for {unit}, and restart that when it suits"
        )
    _write(file, _HEAD + "".join(f'Environment="{_quote(k, v)}"\n' for k, v in wanted.items()))
    host.reload_units()
    _restart(unit, report)
    return ""


def forget_proxies() -> bool:
    """Take back what `settle_proxies` placed; return whether there was anything.

    An engine that runs goes on with them until its next start.

    Raises:
        ProxyError: the file can't be removed.
        InstallError: systemd failed.
    """
    removed = _remove(_locate(host.find_unit()))
    if removed:
        host.reload_units()
    return removed


def _restart(unit: str, report: Callable[[str], None] | None) -> None:
    if report:
        report("restarting the Docker Engine, for its proxies")
    host.start(unit, again=True)


def _read_environment(pid: int) -> dict[str, str]:
    """Return what a process was started with; nothing if it is gone."""
    try:
        variables = (PROC / str(pid) / "environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in variables.split("\0") if "=" in line)


def _quote(name: str, value: str) -> str:
    """Return an assignment as it stands between the quotes of systemd's `Environment=`."""
    if not value.isprintable():
        raise ProxyError(
            f"the proxy setting {name} has a line break or another character that does not print; "
            "give an address such as http://proxy.example.com:3128"
        )
    for special in ("\\", '"'):
        value = value.replace(special, f"\\{special}")
    return f"{name}={value.replace('%', '%%')}"


def _locate(unit: str) -> Path:
    return UNITS / f"{unit}.d" / _FILE


def _remove(file: Path) -> bool:
    try:
        file.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ProxyError(f"{file}: {error.strerror}") from error
    with suppress(OSError):  # the folder holds someone else's files, and stays
        file.parent.rmdir()
    return True


def _write(file: Path, text: str) -> None:
    """Write a file whole, for root alone: a proxy's address may hold a password."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
        try:
            with os.fdopen(handle, "w") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).replace(file)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise ProxyError(f"{file}: {error.strerror}") from error
