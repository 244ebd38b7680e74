"""Gives back what a unit has of its machine, where Juju can't be asked for anything any more."""

from __future__ import annotations

import sys
from ipaddress import IPv4Network

from cosagent import service
from fan import machine
from fan.system import System
from hostkit.text import explain


def give_back(unit: str, overlay: IPv4Network | None = None, system: System | None = None) -> int:
    """Take a unit's fan down, and say on standard error what failed; return the exit status.

    Args:
        unit: its name, such as fan/0.
        overlay: its fan's, where the unit's own folder is gone, which would tell.
        system: the machine; None: the one that this runs on.
    """
    status = 0
    for step in (
        lambda: service.remove(unit),
        lambda: machine.give_back(system or System(), unit, overlay),
    ):
        try:
            step()
        except machine.TROUBLE as error:
            print(f"not all of {unit} could be removed: {explain(error)}", file=sys.stderr)
            status = 1
    return status
