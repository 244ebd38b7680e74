"""The charm's own options, beside those that harvest checks."""

from __future__ import annotations

import pydantic

from harvest.limits import parse_size
from harvest.options import Options
from mprime.assignments import Assignment, parse_worktodo

_MINUTES = (0.01, 60.0)
_NAME_LIMIT = 20  # characters; what PrimeNet keeps of a user's and of a computer's name


class Config(Options):
    """The charm's options."""

    primenet_user: str = ""
    computer_name: str = ""
    work_preference: int = 0
    disk_limit: int = 0
    worktodo: tuple[Assignment, ...] = ()
    checkpoint_minutes: float = 5
    metrics_port: int = 9634

    @pydantic.field_validator("disk_limit", mode="before")
    @classmethod
    def _check_disk_limit(cls, value: str) -> int:
        return parse_size(value) if value.strip() else 0

    @pydantic.field_validator("primenet_user", "computer_name")
    @classmethod
    def _check_name(cls, value: str) -> str:
        name = value.strip()
        if len(name) > _NAME_LIMIT or not name.isprintable():
            raise ValueError(
                f"{value!r} is not a name; give up to {_NAME_LIMIT} characters, one line"
            )
        return name

    @pydantic.field_validator("worktodo", mode="before")
    @classmethod
    def _check_worktodo(cls, value: str) -> tuple[Assignment, ...]:
        return parse_worktodo(value)

    @pydantic.field_validator("checkpoint_minutes")
    @classmethod
    def _check_checkpoint_minutes(cls, value: float) -> float:
        least, most = _MINUTES
        if not least <= value <= most:
            raise ValueError(f"{value:g} is out of range; give {least:g} to {most:g}")
        return value
