"""What Juju 4.0.15 does otherwise than its documentation says, a function for each.

Seen on a controller; charms have to live with it, so the local model does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from localmodel.state import Application, Unit


def loses_stop(unit: Unit) -> bool:
    """Whether a dying unit goes without `stop` and `remove`.

    A subordinate that is in no relation any more is taken for dead while its `stop` waits for its
    turn. A peer relation, which ends without a hook, keeps it alive for long enough.
    """
    return unit.principal is not None and not unit.local.relations


def sees_beyond_its_container(unit: Unit, other: Application) -> bool:
    """Whether a unit sees all of an application in a container-scoped relation.

    A subordinate gets hooks for principals on other machines, and of other applications.
    """
    return unit.principal is not None and not other.subordinate
