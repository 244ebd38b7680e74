"""The service of systemd that runs a charm's exporter, for as long as somebody scrapes it."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

UNITS = Path("/etc/systemd/system")
_SYSTEMCTL = "/usr/bin/systemctl"
_TIMEOUT = 60  # seconds


@dataclass(frozen=True)
class Service:
    """What serves the metrics of a unit, or is to.

    Attributes:
        unit: the unit's name, such as fan/0.
        charm: the charm's directory, which keeps its path when the charm is refreshed.
        arguments: those of the charm's src/exporter.py.
        rights: settings of systemd.exec(5) that this exporter needs beside those below, or in
            their place, such as CapabilityBoundingSet=CAP_NET_ADMIN.
    """

    unit: str
    charm: Path
    arguments: Sequence[str]
    rights: Sequence[str]

    def settle(self) -> None:
        """Let it run, now and after a boot; start it anew if it or the charm has changed.

        Raises:
            OSError: it does not start, such as where the port is taken; systemd has logged why.
        """
        file = _locate(self.unit)
        text = self.describe()
        if file.exists() and file.read_text() != text:
            # Before its file changes: a hook that is killed in between leaves nothing that runs
            # with the old file, so the next one starts it.
            _call("stop", file.name)
        if not file.exists() or file.read_text() != text:
            _write(file, text)
        # A hook that was killed may have written the file and no more.
        properties = ("NeedDaemonReload", "ActiveState", "UnitFileState")
        shown = _call("show", *(f"--property={each}" for each in properties), file.name)
        if "NeedDaemonReload=yes" in shown:
            _call("daemon-reload")
        if "UnitFileState=enabled" not in shown:
            _call("enable", file.name)
        if "ActiveState=active" not in shown:
            _call("start", file.name)

    def describe(self) -> str:
        """Return its unit file."""
        return _SERVICE.format(
            unit=self.unit,
            code=_digest(self.charm / "src"),
            python=self.charm / "venv/bin/python",
            program=self.charm / "src/exporter.py",
            arguments=" ".join(self.arguments),
            rights="\n".join(self.rights),
        )


def remove(unit: str) -> None:
    """Stop what serves a unit's metrics, and remove it, if there is any.

    Raises:
        OSError: systemd failed.
    """
    file = _locate(unit)
    if file.exists():
        _call("disable", "--now", file.name)
        file.unlink()
        _call("daemon-reload")


def _locate(unit: str) -> Path:
    return UNITS / f"{unit.replace('/', '-')}-metrics.service"


def _digest(source: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(source.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


def _call(*words: str) -> str:
    try:
        done = subprocess.run(
            [_SYSTEMCTL, *words],
            check=False,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise OSError(f"systemctl {' '.join(words)} did not end within {_TIMEOUT} s") from error
    if done.returncode:
        said = " ".join((done.stderr or done.stdout).split())
        raise OSError(f"systemctl {' '.join(words)}: {said}")
    return done.stdout


def _write(file: Path, text: str) -> None:
    handle, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "w") as stream:
            stream.write(text)
            os.fchmod(handle, 0o644)
            stream.flush()
            os.fsync(handle)
        Path(draft).replace(file)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


_SERVICE = """\
# Made by the charm of {unit}, whose code is {code}. A change made here is undone.
[Unit]
Description=Metrics of {unit}

[Service]
Type=notify
ExecStart={python} -E -s {program} {arguments}
Restart=on-failure
RestartSec=10
CapabilityBoundingSet=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
RestrictAddressFamilies=AF_UNIX AF_INET
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077
Nice=10
CPUWeight=10
MemoryMax=128M
TasksMax=32
{rights}

[Install]
WantedBy=multi-user.target
"""
