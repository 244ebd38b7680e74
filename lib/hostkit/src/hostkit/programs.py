"""Running this machine's programs to their end."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from hostkit.text import make_printable

_TIMEOUT = 60  # seconds
_LIMIT = 300  # characters of a reason


def run(program: str, *arguments: str, timeout: float = _TIMEOUT) -> str:
    """Run a program, and return what it wrote.

    Args:
        program: by its absolute path.
        arguments: as they are; no shell reads them.
        timeout: seconds.

    Raises:
        OSError: it is not there, failed, or took too long; the text says which and why, in one
            line.
    """
    done = call(program, *arguments, timeout=timeout)
    if done.returncode:
        reason = find_reason(done.stderr or done.stdout)
        words = (Path(program).name, *_leave_options(arguments))
        raise OSError(f"{' '.join(words)}: {reason}")
    return done.stdout


def call(
    program: str, *arguments: str, timeout: float = _TIMEOUT
) -> subprocess.CompletedProcess[str]:
    """Run a program, and return how it ended, for those whose failure is an answer, too.

    Raises:
        OSError: it is not there, or took too long.
    """
    try:
        return subprocess.run(
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
        words = " ".join(_leave_options(arguments))
        raise OSError(f"{program}: did not end within {timeout:g} s ({words})") from error
    except OSError as error:
        raise OSError(f"{program}: {error.strerror}") from error


def find_reason(output: str) -> str:
    """Return why a program failed: apt's first error, or all that it said."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("E: ") for line in lines if line.startswith("E: ")][:1]
    return make_printable(" ".join(errors or lines), _LIMIT) or "it failed and did not say why"


def _leave_options(arguments: tuple[str, ...]) -> list[str]:
    """Return arguments without those that are options."""
    return [each for each in arguments if not each.startswith("-")]
