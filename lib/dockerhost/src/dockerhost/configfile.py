"""The engine's file of settings, daemon.json: read with what is wrong with it; written whole.

A file keeps its owner, group and mode. A symbolic link stays one: what it points to is written.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from dockerhost.errors import DaemonError
from hostkit import files

_COMMENT = re.compile(r"\s*(//|/\*|#)")
_FIX = "correct or remove it"


def read(file: Path) -> str | None:
    """Return a file's text, unchanged; None if there is no file.

    Raises:
        DaemonError: it can't be read, or is not text.
    """
    with _naming(file):
        try:
            # What is not a regular file, such as a FIFO, may never end.
            if not stat.S_ISREG(file.stat().st_mode):
                raise DaemonError(f"{file} is not a regular file; {_FIX}")
            return file.read_bytes().decode()
        except FileNotFoundError:
            return None


def parse(file: Path, text: str | None) -> dict[str, Any]:
    """Return the settings in a file's text; none if there is no file.

    Raises:
        DaemonError: the engine could not read it; the text says what is wrong, and where.
    """
    if text is None:
        return {}
    if fault := _find_fault(text):
        raise DaemonError(f"{file} {fault}; {_FIX}")
    return json.loads(text)


def explain_fault(file: Path) -> str:
    """Return why the engine can't read a file; empty if it can."""
    try:
        parse(file, read(file))
    except DaemonError as error:
        return str(error)
    return ""


def write(file: Path, text: str, *, like: Path | None = None) -> None:
    """Write a file whole.

    Args:
        file: where; the file that it points to, if it is a symbolic link.
        like: whose owner, group and mode it gets, such as those of what it is a copy of; its own
            if there is none. A new file is root's, and everybody may read it.

    Raises:
        DaemonError: it can't be written.
    """
    with _naming(file):
        target = file.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        rights = next((each.stat() for each in (like, target) if each and each.exists()), None)
        if rights:
            owner = (rights.st_uid, rights.st_gid)
            files.write(target, text, mode=stat.S_IMODE(rights.st_mode), owner=owner)
        else:
            files.write(target, text)


def remove(file: Path) -> None:
    """Remove a file, and its folder if that is empty then; what a symbolic link points to.

    Raises:
        DaemonError: it can't be removed.
    """
    with _naming(file):
        if not file.exists():
            return
        file.resolve().unlink(missing_ok=True)
    with suppress(OSError):  # the folder holds a link or someone else's files, and stays
        file.parent.rmdir()


def copy_permissions(file: Path, like: Path) -> None:
    """Give a file the owner, group and mode of another, where they differ.

    Raises:
        DaemonError: they can't be changed.
    """
    with _naming(file):
        if not like.exists():
            return
        wanted, there = like.stat(), file.stat()
        if (wanted.st_uid, wanted.st_gid) != (there.st_uid, there.st_gid):
            os.chown(file, wanted.st_uid, wanted.st_gid)
        if wanted.st_mode != there.st_mode:
            file.chmod(stat.S_IMODE(wanted.st_mode))


def format_settings(settings: Mapping[str, Any]) -> str:
    """Return settings as a file's text."""
    return json.dumps(settings, indent=4) + "\n"


def _find_fault(text: str) -> str:
    if text.startswith("\ufeff"):
        return "begins with a byte order mark (line 1, column 1), which is not JSON"
    if not text.strip():
        return "is empty; it must contain a JSON object, such as {}"
    try:
        settings = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        if _COMMENT.match(text, error.pos):
            return f"has a comment ({where}), and JSON has none"
        return f"is not JSON: {error.msg[:1].lower()}{error.msg[1:]} ({where})"
    except RecursionError:
        return "is nested too deeply"
    if not isinstance(settings, dict):
        return "is not a JSON object, such as {}"
    return ""


@contextmanager
def _naming(file: Path) -> Generator[None, None, None]:
    """Turn a file system error into one that names the file."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise DaemonError(
            f"{file} is not UTF-8 text ({error.reason} at byte {error.start}); {_FIX}"
        ) from error
    except OSError as error:
        raise DaemonError(f"{file}: {error.strerror}") from error
    except RuntimeError as error:  # Path.resolve() says so before Python 3.13
        raise DaemonError(f"{file} is a symbolic link to itself; {_FIX}") from error
