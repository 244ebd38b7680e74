"""Gives back what a unit has of its machine, where Juju can't be asked for anything any more."""

from __future__ import annotations

import sys

import mprime
from cosagent import service


def release(unit: str, *, work: bool = False) -> int:
    """Remove a unit's search, and say on standard error what failed; return the exit status.

    Args:
        unit: its name, such as mprime/0.
        work: whether its work goes too.
    """
    status = 0
    for step in (lambda: service.remove(unit), lambda: mprime.remove(unit, work=work)):
        try:
            step()
        except (mprime.DockerHostError, OSError) as error:
            print(f"not all of {unit} could be removed: {error}", file=sys.stderr)
            status = 1
    return status
