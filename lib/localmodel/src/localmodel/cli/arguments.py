"""What the verbs of the command line take, and how that is read."""

from __future__ import annotations

import argparse
import re
from collections.abc import Sequence
from typing import Any

from localmodel.errors import LocalModelError

Argument = tuple[tuple[str, ...], dict[str, Any]]


def arg(*flags: str, **options: Any) -> Argument:
    """An argument, as argparse's add_argument takes it."""
    return flags, options


def flag(*flags: str, **options: Any) -> Argument:
    return flags, {"action": "store_true", **options}


def ignored(*flags: str, value: bool = False) -> Argument:
    """An option of Juju's that means nothing here, taken so that its clients work unchanged."""
    extra: dict[str, Any] = {} if value else {"action": "store_true"}
    return flags, {"help": argparse.SUPPRESS, **extra}


MODEL = arg("-m", "--model", help="the model to work on")


def form(*choices: str) -> Argument:
    return arg("--format", choices=choices, default=choices[0], help="output format")


def parse_settings(words: Sequence[str]) -> dict[str, str]:
    """Read `KEY=VALUE` words. Raises: LocalModelError."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise LocalModelError(f'expected "key=value", got "{word}"')
        found[key] = value
    return found


def split_values(values: Sequence[str] | None) -> list[str]:
    """Return values that may be given several times, or once with commas."""
    return [part for value in values or () for part in value.split(",") if part]


# The longest span that clocks can wait for, in seconds: a hundred years.
LONGEST_SPAN = 100 * 365 * 86400.0


def read_span(option: str, text: str) -> float:
    """Return the seconds of a span such as `30s` or `1m30s`, a hundred years at most.

    Raises: LocalModelError that names the option.
    """
    parts = re.findall(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h)", text, re.ASCII)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise LocalModelError(f'{option} "{text}": give a span such as 30s, 5m or 1m30s')
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    return min(sum(float(number) * units[unit] for number, unit in parts), LONGEST_SPAN)
