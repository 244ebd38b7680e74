"""Gives back what a unit has of its machine, where Juju can't be asked for anything any more."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

from cosagent import service
from dockerhost import DockerHostError
from harvest.reconcile import remove
from harvest.unit import Unit
from harvest.workload import Workload


def give_back(workload: Workload[Any, Any], name: str, *, work: bool = False) -> int:
    """Remove a unit's container, and say on standard error what failed; return the exit status.

    Args:
        workload: what the charm runs.
        name: the unit's, such as mprime/0.
        work: whether its work goes too.
    """
    unit = Unit(workload.name, name)
    status = 0
    for step in (lambda: service.remove(name), lambda: remove(workload, unit, work=work)):
        try:
            step()
        except (DockerHostError, OSError) as error:
            print(f"not all of {name} could be removed: {error}", file=sys.stderr)
            status = 1
    return status


def run(workload: Workload[Any, Any]) -> NoReturn:
    """Do what a charm's src/orphan.py is for, and exit. See `hostkit.orphans`."""
    sys.exit(give_back(workload, sys.argv[1], work="--work" in sys.argv[2:]))
