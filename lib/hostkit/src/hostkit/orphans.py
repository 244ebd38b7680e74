"""Gives back what a unit has on its machine when Juju removes the unit without running a hook.

Then nothing of the unit is left to run: its folder is gone, with the charm in it. So systemd
watches the folder of all agents, and runs the charm's src/orphan.py from a copy. See the README.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

from hostkit import agents, code, files, systemd

COPIES = Path("/var/lib/hostkit")
_STAMP = "code"

_SERVICE = """\
# Made by the charm of {unit}. A change made here is undone.
[Unit]
Description=Give back what {unit} had on this machine
ConditionPathExists=!{folder}
After=network-online.target docker.service snap.docker.dockerd.service
StartLimitIntervalSec=0

[Service]
Type=oneshot
ExecStart={python} -E -s {program} {arguments}
Restart=on-failure
RestartSec=60
"""

_PATH = """\
# Made by the charm of {unit} ({digest}). A change made here is undone.
[Unit]
Description=Notice that {unit} is gone
Wants={service}

[Path]
PathChanged={agents}

[Install]
WantedBy=multi-user.target
"""


def ensure_watch(unit: str, charm: Path, arguments: Sequence[str]) -> None:
    """Ensure that the charm's src/orphan.py runs once the unit is gone from this machine.

    Args:
        unit: such as mprime/0.
        charm: the charm's folder.
        arguments: those of orphan.py after the unit's name; without white space.

    Raises:
        OSError: a file can't be written, or systemd failed.
    """
    copy = _ensure_copy(unit, charm)
    name = _name(unit)
    service = _SERVICE.format(
        unit=unit,
        folder=agents.folder_of(unit),
        python=copy / "venv/bin/python",
        program=copy / "src/orphan.py",
        arguments=" ".join([unit, *arguments]),
    )
    file = systemd.UNITS / f"{name}.service"
    if not file.exists() or file.read_text() != service:
        files.write(file, service)
    # The digest makes the two change together, so one look at the path unit tells about both.
    digest = hashlib.sha256(service.encode()).hexdigest()[:12]
    path = _PATH.format(unit=unit, digest=digest, service=file.name, agents=agents.AGENTS)
    systemd.ensure(f"{name}.path", path, enable=True)


def remove_watch(unit: str) -> None:
    """Remove what `ensure_watch` made, if there is any.

    Raises:
        OSError: systemd failed, or a file can't be removed.
    """
    name = _name(unit)
    # The copy is last, and the unit that starts it last but one: a kill leaves what runs again.
    (systemd.UNITS / f"{name}.service").unlink(missing_ok=True)
    systemd.remove(f"{name}.path")
    copy = _locate(unit)
    if copy.exists():
        shutil.rmtree(copy)


def _ensure_copy(unit: str, charm: Path) -> Path:
    """Return a copy of a charm's code that outlives the charm."""
    copy, digest = _locate(unit), code.digest(charm)
    stamp = copy / _STAMP
    if stamp.exists() and stamp.read_text() == digest:
        return copy
    COPIES.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = copy.with_suffix(".new")
    for folder in (draft, copy):
        if folder.exists():
            shutil.rmtree(folder)
    draft.mkdir()
    skip = shutil.ignore_patterns("__pycache__")
    for part in code.PARTS:
        if (charm / part).is_dir():
            shutil.copytree(charm / part, draft / part, symlinks=True, ignore=skip)
    files.write(draft / _STAMP, digest)
    draft.rename(copy)
    return copy


def _locate(unit: str) -> Path:
    return COPIES / unit.replace("/", "-")


def _name(unit: str) -> str:
    return f"{unit.replace('/', '-')}-orphan"
