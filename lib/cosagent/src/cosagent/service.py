"""The service of systemd that runs a charm's exporter, for as long as somebody scrapes it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hostkit import code, systemd


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

    def ensure(self) -> None:
        """Ensure that it runs, also after a boot; restart it if it or the charm has changed.

        Raises:
            OSError: it does not start, such as where the port is taken; systemd has logged why.
        """
        systemd.ensure(_name(self.unit), self.describe(), enable=True, restart=True)

    def describe(self) -> str:
        """Return its unit file."""
        return _SERVICE.format(
            unit=self.unit,
            code=code.digest(self.charm),
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
    systemd.remove(_name(unit))


def _name(unit: str) -> str:
    return f"{unit.replace('/', '-')}-metrics.service"


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
