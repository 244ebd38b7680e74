"""The proxies through which the engine fetches images.

The engine reads them when it starts, so a change takes a restart, which stops its containers.
That is done only to an engine that runs no containers but ours. One that has proxies already is
left alone. After Docker's documentation, "Daemon proxy configuration", and systemd.exec(5).

A proxy's address may hold a password, and systemd tells everybody what a unit's `Environment=` is.
So the addresses stand in a file that only root can read, and the unit names that.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from dockerhost import service
from dockerhost.engine import Engine
from dockerhost.errors import ProxyError
from hostkit import files

UNITS = Path("/etc/systemd/system")
PROC = Path("/proc")
_DROP_IN = "dockerhost-proxy.conf"
_ADDRESSES = "dockerhost-proxy.env"
_HEAD = "# Placed by dockerhost. A change made here is undone.\n"
# Tells from an engine's environment whether it was started with the file, and with which.
_STAMP = "DOCKERHOST_PROXIES"
_ASSIGNMENT = re.compile(r'^Environment="(\w+)=(.*)"$', re.MULTILINE)


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


def ensure_proxies(
    engine: Engine, proxies: Proxies, report: Callable[[str], None] | None = None
) -> str:
    """Ensure that the engine fetches through these proxies, or through none.

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
    unit = service.find_unit()
    if not proxies:
        if _remove_files(unit):
            service.reload_units()
            if not engine.runs_others():
                _restart(unit, report)
        return ""
    wanted = proxies.environment
    has = _read_environment(service.find_process(unit))
    if has.items() >= wanted.items():
        return ""
    if not _locate(unit).exists() and engine.has_proxies():
        return ""
    if has.get(_STAMP) == _hash(wanted):
        return (
            "the Docker Engine does not use the proxies, as other settings of its unit come after "
            f"{_locate(unit)}; see systemctl cat {unit}"
        )
    if engine.runs_others():
        return (
            "the Docker Engine does not use the proxies, and a restart would stop others' "
            f"containers: set them for {unit}, and restart it at a suitable time"
        )
    _write_files(unit, wanted)
    service.reload_units()
    _restart(unit, report)
    return ""


def ensure_proxies_private() -> bool:
    """Move addresses that an earlier release wrote into the unit, where everybody can read them.

    Returns:
        Whether there were any. The engine goes on with them.

    Raises:
        ProxyError: a file can't be read or written.
        InstallError: systemd failed.
    """
    unit = service.find_unit()
    try:
        found = _ASSIGNMENT.findall(_locate(unit).read_text())
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ProxyError(f"{_locate(unit)}: {error.strerror}") from error
    if not found:
        return False
    unquoted = {k: re.sub(r"\\(.)", r"\1", v).replace("%%", "%") for k, v in found}
    _write_files(unit, unquoted)
    service.reload_units()
    return True


def remove_proxies() -> bool:
    """Remove what `ensure_proxies` placed; return whether there was anything.

    An engine that runs goes on with them until its next start.

    Raises:
        ProxyError: the file can't be removed.
        InstallError: systemd failed.
    """
    removed = _remove_files(service.find_unit())
    if removed:
        service.reload_units()
    return removed


def _restart(unit: str, report: Callable[[str], None] | None) -> None:
    if report:
        report("restarting the Docker Engine, for its proxies")
    service.start(unit, again=True)


def _read_environment(pid: int) -> dict[str, str]:
    """Return what a process was started with; nothing if it is gone."""
    try:
        variables = (PROC / str(pid) / "environ").read_bytes().decode(errors="replace")
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in variables.split("\0") if "=" in line)


def _quote(name: str, value: str) -> str:
    """Return an assignment as systemd's `EnvironmentFile=` has it."""
    if not value.isprintable():
        raise ProxyError(
            f"the proxy setting {name} has a line break or another character that does not print; "
            "give an address such as http://proxy.example.com:3128"
        )
    for special in ("\\", '"'):
        value = value.replace(special, f"\\{special}")
    return f'{name}="{value}"\n'


def _hash(wanted: Mapping[str, str]) -> str:
    return hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()


def _locate(unit: str) -> Path:
    return UNITS / f"{unit}.d" / _DROP_IN


def _write_files(unit: str, wanted: Mapping[str, str]) -> None:
    """Place the addresses, and then what names their file."""
    drop_in = _locate(unit)
    addresses = drop_in.with_name(_ADDRESSES)
    lines = "".join(_quote(*each) for each in (*wanted.items(), (_STAMP, _hash(wanted))))
    # With a hyphen: an engine starts without the file, too.
    named = f"{_HEAD}[Service]\nEnvironmentFile=-{addresses}\n"
    _write(addresses, _HEAD + lines, 0o600)
    _write(drop_in, named, 0o644)


def _remove_files(unit: str) -> bool:
    drop_in = _locate(unit)
    removed = [_remove(drop_in), _remove(drop_in.with_name(_ADDRESSES))]
    return any(removed)


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


def _write(file: Path, text: str, mode: int) -> None:
    """Write a file whole."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write(file, text, mode=mode)
    except OSError as error:
        raise ProxyError(f"{file}: {error.strerror}") from error
