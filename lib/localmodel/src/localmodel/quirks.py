"""What Juju 4.0.15 does otherwise than its documentation says, a function for each.

Seen on a controller; charms have to live with it, so the local model does the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from localmodel.charms import Option
    from localmodel.state import Application, Model, Unit


def loses_stop(unit: Unit) -> bool:
    """Return whether a dying unit goes without `stop` and `remove`.

    A subordinate that is in no relation any more is taken for dead while its `stop` waits for its
    turn. A peer relation, which ends without a hook, keeps it alive for long enough.
    """
    return unit.principal is not None and not unit.local.relations


def sees_beyond_its_container(unit: Unit, other: Application) -> bool:
    """Return whether a unit sees all of an application in a container-scoped relation.

    A subordinate gets hooks for principals on other machines, and of other applications.
    """
    return unit.principal is not None and not other.subordinate


def forgets_application(kind: str, other: Application | None) -> bool:
    """Return whether a hook is not told which application it is about.

    `relation-broken` sometimes comes without; here, where the other application is removed.
    """
    return kind == "relation-broken" and (other is None or other.life == "dying")


def publishes_docker_bridge(model: Model) -> bool:
    """Return whether units are told the address of Docker's bridge as their own.

    Juju 4 does not leave out what a machine's agent finds there
    (https://github.com/juju/juju/issues/22923), unless it is to leave out all that agents find.
    """
    return not model.is_set("ignore-machine-addresses")


def misses_reset(values: Mapping[str, object], reset: Sequence[str]) -> bool:
    """Return whether no unit is told of a change of options.

    What is only reset fires no `config-changed`. The next hook, such as `update-status`, sees it.
    """
    return bool(reset) and not values


def tells_twice(values: Mapping[str, object]) -> bool:
    """Return whether a change of options fires `config-changed` twice."""
    return bool(values)


def refuses_text(option: Option) -> bool:
    """Return whether `deploy --config NAME=VALUE` can't set an option; a file or `config` can.

    The words reach the controller as texts, and a text is never a float.
    """
    return option.type == "float"


def ignores_force_units() -> bool:
    """Return whether `refresh --force-units` leaves a unit in error on the code that it has.

    Status shows the new revision; the unit runs it once it is resolved, as without the option.
    """
    return True
