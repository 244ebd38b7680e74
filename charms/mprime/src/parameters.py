"""The actions' parameters, typed and checked; what is wrong is a ValueError that names it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from work import Assignment, Kind, parse_exponents

_DIRECTORY = re.compile(r"[a-z][a-z0-9-]*[/-][0-9]{1,9}(?:\.[0-9]{1,9})?")


@dataclass(frozen=True)
class AddWork:
    """What to test besides: exponents, such as `M216091,756839`, and by which test."""

    exponents: str
    type: str = Kind.LL.value

    def __post_init__(self) -> None:
        """Check it. Raises ValueError."""
        kinds = [kind.value for kind in Kind]
        if self.type not in kinds:
            raise ValueError(f"parameter type: {self.type!r} is not one of: {', '.join(kinds)}")
        if not self.work:
            raise ValueError("parameter exponents: names none")

    @property
    def work(self) -> tuple[Assignment, ...]:
        """What was asked for. Raises ValueError."""
        try:
            exponents = parse_exponents(self.exponents)
        except ValueError as error:
            raise ValueError(f"parameter exponents: {error}") from error
        return tuple(Assignment(exponent, Kind(self.type)) for exponent in exponents)


@dataclass(frozen=True)
class Benchmark:
    """How long to measure, in seconds."""

    seconds: int = 30

    def __post_init__(self) -> None:
        """Check it. Raises ValueError."""
        _check_range("seconds", self.seconds, 5, 3600)


@dataclass(frozen=True)
class StressTest:
    """How long to test the machine, in minutes."""

    minutes: float = 10

    def __post_init__(self) -> None:
        """Check it. Raises ValueError."""
        _check_range("minutes", self.minutes, 0.1, 1440)


@dataclass(frozen=True)
class Logs:
    """How many lines to show."""

    lines: int = 100

    def __post_init__(self) -> None:
        """Check it. Raises ValueError."""
        _check_range("lines", self.lines, 1, 1000)


@dataclass(frozen=True)
class AdoptWork:
    """Whose work to adopt: a unit that is gone, or a directory of /var/lib/mprime."""

    source: str

    def __post_init__(self) -> None:
        """Check it. Raises ValueError."""
        if not _DIRECTORY.fullmatch(self.source):
            raise ValueError(
                f"parameter source: {self.source!r} is neither a unit nor a directory's name; "
                "give one such as mprime/0 or mprime-0"
            )

    @property
    def directory(self) -> str:
        """The directory's name in /var/lib/mprime."""
        return self.source.replace("/", "-")


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if isinstance(value, bool) or not least <= value <= most:
        raise ValueError(
            f"parameter {name}: {value!r} is out of range; give {least:g} to {most:g}"
        )
