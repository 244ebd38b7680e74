"""The charm's own options, beside those that harvest checks."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, SecretStr, ValidationInfo

from harvest.options import Options, split_command
from harvest.workdir import OWNER
from hostkit.text import make_printable

# What programs take for a request to end; SIGKILL would let none save its work.
_SIGNALS = ("SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGUSR1", "SIGUSR2", "SIGWINCH")
_LONGEST = 60  # seconds; a hook that waits longer would keep the machine's other hooks waiting
_LAST = 2**32 - 2  # number of a user or group; Linux takes the one beyond for none
_USER = re.compile(r"([0-9]{1,10})(?::([0-9]{1,10}))?", re.ASCII)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_KERNEL = ("/dev/", "/proc/", "/sys/")  # what a container has there is the kernel's own
_PATH, _SHOWN = 200, 40  # characters, at most: of a path, and of what was given


def parse_environment(text: str) -> dict[str, str]:
    """Return the variables in lines NAME=value, as a file for `docker run --env-file` has them.

    A value is all that follows the first =, quotes included. Lines that are empty or begin with #
    are passed over. Raises ValueError.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        stripped = line.removesuffix("\r").lstrip()
        if not stripped or stripped.startswith("#"):
            continue
        name, equals, value = stripped.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise ValueError(
                f"line {number}, {_show(stripped)}, is not NAME=value; give one variable a line, "
                "its name of letters, digits and _"
            )
        if name in found:
            raise ValueError(f"line {number} gives {_show(name)} again; give each variable once")
        found[name] = value
    return found


def name_variables(secret: Mapping[str, str], others: ValidationInfo) -> dict[str, SecretStr]:
    """Return the variables of a secret: its keys in capitals, with _ for -.

    Raises ValueError, which tells no value.
    """
    found: dict[str, SecretStr] = {}
    for key, value in secret.items():
        name = key.upper().replace("-", "_")
        if not _NAME.fullmatch(name) or "\0" in value:
            raise ValueError(
                f"the secret's {_show(key)} can't be a variable; "
                "give keys such as account-key, which becomes ACCOUNT_KEY, and text without NUL"
            )
        if name in found or name in others.data.get("environment", {}):
            raise ValueError(f"{name} is given twice; give it here or in the option environment")
        found[name] = SecretStr(value)
    return found


def parse_user(text: str) -> tuple[int, int]:
    """Return the numbers of user and group in UID:GID, or in UID for both. Raises ValueError."""
    if not text.strip():
        return OWNER
    match = _USER.fullmatch(text.strip())
    user, group = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 0 < user <= _LAST or group > _LAST:
        raise ValueError(
            f"{_show(text)} is not a user, or is root; give numbers, UID or UID:GID, "
            f"from 1 to {_LAST}, or leave it empty for {OWNER[0]}:{OWNER[1]}"
        )
    return user, group


def check_path(text: str) -> str:
    """Return the absolute path of a directory that may be mounted. Raises ValueError."""
    plain = text == posixpath.normpath(text) and text.isprintable() and len(text) <= _PATH
    if not plain or not re.match("/[^/]", text) or f"{text}/".startswith(_KERNEL):
        raise ValueError(
            f"{_show(text)} can't be the work directory; give an absolute path such as /work, "
            f"without . and .., of {_PATH} characters at most, and not in {', '.join(_KERNEL)}"
        )
    return text


def check_timeout(seconds: int) -> int:
    """Return what a program gets to save its work. Raises ValueError."""
    if not 1 <= seconds <= _LONGEST:
        raise ValueError(f"{seconds} is out of range; give 1 to {_LONGEST} seconds")
    return seconds


def _show(text: str) -> str:
    return repr(make_printable(text, _SHOWN))


def _choose(*allowed: str) -> AfterValidator:
    def check(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"{_show(text)} is not one of: {', '.join(filter(None, allowed))}")
        return text

    return AfterValidator(check)


class Config(Options):
    """The charm's options."""

    command: Annotated[tuple[str, ...], BeforeValidator(split_command)] = ()
    environment: Annotated[Mapping[str, str], BeforeValidator(parse_environment)] = {}
    environment_secret: Annotated[Mapping[str, SecretStr], BeforeValidator(name_variables)] = {}
    work_path: Annotated[str, AfterValidator(check_path)] = "/work"
    user: Annotated[tuple[int, int], BeforeValidator(parse_user)] = OWNER
    restart: Annotated[str, _choose("unless-stopped", "on-failure")] = "unless-stopped"
    stop_signal: Annotated[str, _choose("", *_SIGNALS)] = ""
    stop_timeout: Annotated[int, AfterValidator(check_timeout)] = 10
    metrics_port: int = 9637
