"""What Juju 4.0.15 does otherwise than its documentation says, a function for each.

Seen on a controller; charms have to live with it, so the local model does the same.
"""

from __future__ import annotations

from localmodel.state import Unit


def loses_stop(unit: Unit) -> bool:
    """Whether a dying unit goes without `stop` and `remove`.

    A subordinate that is in no relation any more is taken for dead while its `stop` waits for its
    turn. A peer relation, which ends without a hook, keeps it alive for long enough.
    """
    return unit.principal is not None and not unit.local.relations
