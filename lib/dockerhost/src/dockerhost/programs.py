"""Running a program of the host's, and its reason in one line when it fails."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from dockerhost.errors import InstallError, explain


def run(program: str, *arguments: str, timeout: float) -> str:
    """Run a program to its end and return what it wrote.

    Raises:
        InstallError: it is not there, failed, or took longer than `timeout` seconds.
    """
    what = f"{Path(program).name} {' '.join(a for a in arguments if not a.startswith('-'))}"
    try:
        done = subprocess.run(
            [program, *arguments],
            check=False,
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            timeout=timeout,
            env={**os.environ, "DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8"},
        )
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"{what} did not end within {timeout:.0f} s") from error
    except OSError as error:
        raise InstallError(f"{program}: {error.strerror}") from error
    if done.returncode:
        raise InstallError(f"{what}: {_last_words(done.stderr or done.stdout)}")
    return done.stdout.strip()


def _last_words(output: str) -> str:
    """Return the line in which a program says why it failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("E: ")] or lines
    return explain(errors[0].removeprefix("E: ") if errors else "it failed and did not say why")
