"""Which of a charm's units that share a machine works: the others stand by.

Where the charm's applications work apart, as each has a program of its own, that counts for the
units of each.

They agree without talking, since each reads the same from the machine: whose container its
engine has, and which units still live here. Juju runs one hook at a time on a machine, so two
don't look at once. If both found nobody anyway, the next hook sees both, and one unit
gives way.
"""

from __future__ import annotations

from dockerhost import Engine
from harvest.unit import Unit
from hostkit.agents import lives_here, order


def find_worker(engine: Engine, unit: Unit, *, apart: bool = False) -> str | None:
    """Return which other unit works on this machine, if one does; clear away what is left of
    units that are gone.

    Where this unit and another have a container both, the one that comes first in order works.

    Args:
        engine: this machine's.
        unit: who asks.
        apart: whether units of the charm's other applications don't count.

    Raises:
        DockerHostError: the engine refused, or does not answer.
    """
    workers: set[str] = set()
    for container in engine.list_containers(unit.label):
        owner = Unit(unit.charm, container.labels[unit.label])
        if not owner.owns(container):
            continue
        if owner != unit and not lives_here(owner.name):
            engine.remove(container.name)
        elif container.name == owner.id and (not apart or owner.application == unit.application):
            workers.add(owner.name)
    first = min(workers - {unit.name}, key=order, default=None)
    if first and (unit.name not in workers or order(first) < order(unit.name)):
        return first
    return None
