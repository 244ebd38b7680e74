"""The unit of systemd that brings a fan up at boot, before an engine starts its containers.

An engine that started earlier would make a bridge of the fan's name itself.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

UNITS = Path("/etc/systemd/system")
_SYSTEMCTL = "/usr/bin/systemctl"
_TIMEOUT = 60  # seconds

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


def enable(unit: str, charm: Path) -> None:
    """Let this machine bring a unit's fan up whenever it boots.

    Raises:
        OSError: systemd failed, or the file can't be written.
    """
    file = _locate(unit)
    text = _SERVICE.format(
        unit=unit,
        python=charm / "venv/bin/python",
        program=charm / "src/boot.py",
    )
    if not file.exists() or file.read_text() != text:
        draft = file.with_suffix(".new")
        draft.write_text(text)
        draft.chmod(0o644)
        draft.replace(file)
        _call("daemon-reload")
    # A hook that was killed may have written the file and no more.
    if not (UNITS / "multi-user.target.wants" / file.name).exists():
        _call("enable", file.name)


def disable(unit: str) -> None:
    """Leave a unit's fan down after a boot.

    Raises:
        OSError: systemd failed.
    """
    file = _locate(unit)
    if file.exists():
        _call("disable", file.name)
        file.unlink()
        _call("daemon-reload")


def _locate(unit: str) -> Path:
    return UNITS / f"{unit.replace('/', '-')}-boot.service"


def _call(*words: str) -> None:
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
