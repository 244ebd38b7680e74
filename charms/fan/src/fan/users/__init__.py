"""Who gets onto the fan of a machine: a module each, all with the same four functions.

A new one, such as another container engine, is a module here and its name in one of the tuples.
Everything about the fan goes through these in their order, and taking it down in reverse.
"""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Protocol

from fan.plan import Plan
from fan.system import System
from fan.users import dhcp, docker, lxd


class User(Protocol):
    """What each module here has. All but `list_users` raise what `machine.TROUBLE` lists."""

    def check(self, system: System, wanted: Plan, /) -> None:
        """Refuse what can't be brought about, before anything is changed."""

    def ensure(
        self, system: System, wanted: Plan, made: bool, report: Callable[[str], None], /
    ) -> None:
        """Bring about what the options say; where they say no, give back what there was.

        Args:
            wanted: the fan, and who has which part of it.
            made: whether this reconcile made or changed the fan's devices.
            report: called with a short text before each step that takes time.
        """

    def give_back(self, system: System, overlay: IPv4Network, /) -> None:
        """Leave everything as it was before the fan of this overlay."""

    def list_users(self, system: System, wanted: Plan, /) -> tuple[str, ...]:
        """Return the names of the containers that have addresses of the fan."""
        ...


# Their bridge may be the fan's: before the fan comes, and after it goes.
OWNERS: tuple[User, ...] = (lxd,)
# On the fan's bridge, also at boot, before any engine starts.
EARLY: tuple[User, ...] = (dhcp,)
# On the fan's bridge, through an engine that is up.
LATE: tuple[User, ...] = (docker,)
ALL = (*OWNERS, *EARLY, *LATE)
