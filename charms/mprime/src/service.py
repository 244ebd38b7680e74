"""The service of systemd that serves a unit's metrics, for as long as somebody scrapes them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import systemd
from cpu import Policy


@dataclass(frozen=True)
class Service:
    """What serves the metrics of a unit.

    Attributes:
        unit: the unit's name, such as mprime/0.
        policy: how its search is to compete for the processors.
        port: where it listens on the loopback address.
        charm: the charm's directory, which keeps its path when the charm is refreshed.
    """

    unit: str
    policy: Policy
    port: int
    charm: Path

    def settle(self) -> None:
        """Let it run, now and after a boot; start it anew if it or the charm has changed.

        Raises:
            OSError: it does not start, such as where the port is taken; systemd has logged why.
        """
        name = _name_of(self.unit)
        text = self.describe()
        # Stopped before its file changes: a hook that is killed in between leaves nothing that
        # runs with the old file, so the next one starts it.
        if (systemd.UNITS / name).exists() and not systemd.says(name, text):
            systemd.call("stop", name)
        systemd.settle(name, text)

    def describe(self) -> str:
        """Return its unit file."""
        return _SERVICE.format(
            unit=self.unit,
            code=_digest(self.charm / "src"),
            python=self.charm / "venv/bin/python",
            program=self.charm / "src/exporter.py",
            policy=self.policy.value,
            port=self.port,
        )


def remove(unit: str) -> None:
    """Stop what serves a unit's metrics, and remove it, if there is any.

    Raises:
        OSError: systemd failed.
    """
    name = _name_of(unit)
    if (systemd.UNITS / name).exists():
        systemd.call("disable", name)
        systemd.remove(name)


def _name_of(unit: str) -> str:
    return f"{unit.replace('/', '-')}-metrics.service"


def _digest(source: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(source.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:12]


# Root without its privileges: the engine's socket is root's, and the work directory the
# container's. What is left is to read both.
_SERVICE = """\
# Made by the charm of {unit}, whose code is {code}. A change made here is undone.
[Unit]
Description=Metrics of {unit}
After=docker.service

[Service]
Type=notify
ExecStart={python} -E -s {program} {unit} {policy} {port}
Restart=on-failure
RestartSec=10
CapabilityBoundingSet=CAP_DAC_READ_SEARCH
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
TasksMax=8

[Install]
WantedBy=multi-user.target
"""
