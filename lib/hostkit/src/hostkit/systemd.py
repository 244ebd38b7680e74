"""The units that charms give this machine's systemd."""

from __future__ import annotations

import re
from pathlib import Path

from hostkit import files, programs

UNITS = Path("/etc/systemd/system")
_SYSTEMCTL = "/usr/bin/systemctl"
_TIMEOUT = 60  # seconds


def ensure(
    name: str, text: str, *, start: bool = True, enable: bool = False, restart: bool = False
) -> None:
    """Ensure that there is a unit with this text.

    Args:
        name: its file's name, such as mprime_0.slice.
        text: what the file says.
        start: ensure that it runs.
        enable: ensure that it starts at boot, too.
        restart: a unit that runs with another text is stopped first; otherwise it goes on, with
            the settings that systemd can change meanwhile.

    Raises:
        OSError: systemd failed, or the file can't be written.
    """
    file = UNITS / name
    there = file.read_text() if file.exists() else None
    if there != text:
        if restart and there is not None:
            # Before its file changes: a hook that is killed in between leaves nothing that runs
            # with the old file, so the next one starts it.
            call("stop", name)
        files.write(file, text)
    elif enable and not start and _is_enabled(name, text):
        return  # all that systemd reads when the machine boots
    # A hook that was killed may have written the file and no more.
    properties = ("NeedDaemonReload", "ActiveState", "UnitFileState")
    shown = call("show", *(f"--property={each}" for each in properties), name)
    if "NeedDaemonReload=yes" in shown:
        call("daemon-reload")
    if enable and "UnitFileState=enabled" not in shown:
        call("enable", name)
    if start and "ActiveState=active" not in shown:
        call("start", name)


def _is_enabled(name: str, text: str) -> bool:
    """Return whether a unit has the links that `systemctl enable` makes."""
    targets = re.findall(r"^WantedBy=(\S+)$", text, re.MULTILINE)
    return all((UNITS / f"{target}.wants" / name).is_symlink() for target in targets)


def remove(name: str) -> None:
    """Stop a unit, and remove its file, if there is one.

    Raises:
        OSError: systemd failed.
    """
    file = UNITS / name
    if file.exists():
        starts_at_boot = "[Install]" in file.read_text()
        call(*(("disable", "--now") if starts_at_boot else ("stop",)), name)
        file.unlink()
        call("daemon-reload")


def call(*words: str, timeout: float = _TIMEOUT) -> str:
    """Return what systemctl says.

    Raises:
        OSError: it failed, or took longer than `timeout` seconds.
    """
    return programs.run(_SYSTEMCTL, *words, timeout=timeout)
