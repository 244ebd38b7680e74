"""The units that live on this machine: each has a folder of its agent here while it does."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from pathlib import Path

AGENTS = Path("/var/lib/juju/agents")


def folder_of(unit: str) -> Path:
    """Return where the agent of a unit, such as mprime/0, keeps its files."""
    return AGENTS / f"unit-{unit.replace('/', '-')}"


def lives_here(unit: str) -> bool:
    """Return whether a unit exists on this machine."""
    return folder_of(unit).is_dir()


def unit_of(folder: Path) -> str:
    """Return whose an agent's folder is, such as mprime/0 for unit-mprime-0."""
    application, _, number = folder.name.removeprefix("unit-").rpartition("-")
    return f"{application}/{number}"


def application_of(unit: str) -> str:
    """Return a unit's application, such as mprime for mprime/0."""
    return unit.partition("/")[0]


def has_principal(applications: Iterable[str]) -> bool:
    """Return whether the application of this unit's principal is among some.

    A subordinate lives by its relation to its principal. But Juju 4.0.15 also tells it of
    relations to other applications, and of their end; the environment tells which is its own.
    """
    return application_of(os.environ.get("JUJU_PRINCIPAL_UNIT", "")) in applications


def order(unit: str) -> tuple[str, int]:
    """Return a key by which units sort: by application, then by number."""
    application, _, number = unit.partition("/")
    return application, int(number) if re.fullmatch(r"[0-9]{1,18}", number) else 0
