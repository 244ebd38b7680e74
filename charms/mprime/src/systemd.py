"""The units that the charm gives this machine's systemd."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

UNITS = Path("/etc/systemd/system")
_SYSTEMCTL = "/usr/bin/systemctl"
_TIMEOUT = 60  # seconds


def settle(name: str, text: str) -> None:
    """Let there be a unit that runs.

    What runs already goes on, with the settings that systemd can change meanwhile.

    Args:
        name: the unit file's, such as mprime_0.slice.
        text: what the file says.

    Raises:
        OSError: systemd failed, or the file can't be written.
    """
    file = UNITS / name
    if not file.exists() or file.read_text() != text:
        _write(file, text)
    # A hook that was killed may have written the file and no more.
    shown = call("show", "--property=NeedDaemonReload", "--property=ActiveState", name)
    if "NeedDaemonReload=yes" in shown:
        call("daemon-reload")
    if "ActiveState=active" not in shown:
        call("start", name)


def remove(name: str) -> None:
    """Stop a unit and remove its file, if there is one.

    Raises:
        OSError: systemd failed.
    """
    file = UNITS / name
    if file.exists():
        call("stop", name)
        file.unlink()
        call("daemon-reload")


def call(*words: str) -> str:
    """Return what systemctl says.

    Raises:
        OSError: it failed, or took more than a minute.
    """
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
