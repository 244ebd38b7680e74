"""The parameters of actions, typed and checked; what is wrong is a ValueError that names it."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DIRECTORY = re.compile(r"[a-z][a-z0-9-]*[/-][0-9]{1,9}(?:\.[0-9]{1,9})?")


@dataclass(frozen=True)
class Logs:
    """How many lines to show."""

    lines: int = 100

    def __post_init__(self) -> None:
        """Check it. Raises ValueError."""
        check_range("lines", self.lines, 1, 1000)


@dataclass(frozen=True)
class AdoptWork:
    """Whose work to adopt: a unit that is gone, or a directory in the folder of all work."""

    source: str

    def __post_init__(self) -> None:
        """Check it. Raises ValueError."""
        if not _DIRECTORY.fullmatch(self.source):
            raise ValueError(
                f"parameter source: {self.source!r} is neither a unit nor a directory's name; "
                "give one such as NAME/0 or NAME-0"
            )

    @property
    def directory(self) -> str:
        """The directory's name in the folder of all work."""
        return self.source.replace("/", "-")


def check_range(name: str, value: float, least: float, most: float) -> None:
    """Check a number. Raises ValueError, with what is allowed."""
    if isinstance(value, bool) or not least <= value <= most:
        raise ValueError(
            f"parameter {name}: {value!r} is out of range; give {least:g} to {most:g}"
        )
