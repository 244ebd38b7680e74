"""The unit of systemd that brings a fan up at boot, before an engine starts its containers.

An engine that started earlier would make a bridge of the fan's name itself.
"""

from __future__ import annotations

from pathlib import Path

from hostkit import systemd

_SERVICE = """\
# Made by the charm of {unit}. A change made here is undone.
[Unit]
Description=The fan of {unit}
Wants=network-online.target
After=network-online.target lxd.socket snap.lxd.daemon.unix.socket
Before=docker.service snap.docker.dockerd.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={python} -E -s {program} {unit}

[Install]
WantedBy=multi-user.target
"""


def ensure(unit: str, charm: Path) -> None:
    """Ensure that systemd brings a unit's fan up whenever the machine boots.

    Raises:
        OSError: systemd failed, or the file can't be written.
    """
    text = _SERVICE.format(
        unit=unit,
        python=charm / "venv/bin/python",
        program=charm / "src/boot.py",
    )
    systemd.ensure(_name(unit), text, start=False, enable=True)


def remove(unit: str) -> None:
    """Leave a unit's fan down after a boot.

    Raises:
        OSError: systemd failed.
    """
    systemd.remove(_name(unit))


def _name(unit: str) -> str:
    return f"{unit.replace('/', '-')}-boot.service"
