"""Which of the units that share a machine works: the others stand by.

They agree without talking, since each reads the same from the machine: whose container its
engine has, and which units still live here. Juju runs one hook at a time on a machine, so two
don't look at once. Where both found nobody all the same, the next hook sees both, and one unit
gives way.
"""

from __future__ import annotations

from dockerhost import Engine
from hostkit.agents import lives_here, order
from plan import UNIT_LABEL, is_of, name_of


def find_worker(engine: Engine, unit: str) -> str | None:
    """Return which other unit works on this machine, if one does; clear away what is left of
    units that are gone.

    Where this unit and another have a container both, the one that comes first in order works.

    Raises:
        DockerHostError: the engine refused, or does not answer.
    """
    workers = set()
    for container in engine.list_containers(UNIT_LABEL):
        owner = container.labels[UNIT_LABEL]
        if not is_of(container, owner):
            continue
        if owner != unit and not lives_here(owner):
            engine.remove(container.name)
        elif container.name == name_of(owner):
            workers.add(owner)
    first = min(workers - {unit}, key=order, default=None)
    if first and (unit not in workers or order(first) < order(unit)):
        return first
    return None
