"""Where things lie on the host."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from localmodel.errors import LocalModelError

# Names what is this instance's own on the host: folders, network namespace, control groups,
# units. Another name, in `LOCALMODEL_NAME`, makes another instance beside it.
NAME = os.environ.get("LOCALMODEL_NAME", "localmodel")

# The longest path of a socket, in bytes: 108 with the NUL that ends it (unix(7)).
MAX_SOCKET = 107


@dataclass(frozen=True)
class Paths:
    """The two folders that everything of ours lies under.

    Attributes:
        home: what outlives the host's reboot: state, root file systems, machines, charms.
        run: what does not: sockets and the lock.
    """

    home: Path
    run: Path

    @property
    def database(self) -> Path:
        return self.home / "state.db"

    @property
    def charms(self) -> Path:
        return self.home / "charms"

    @property
    def resources(self) -> Path:
        return self.home / "resources"

    @property
    def templates(self) -> Path:
        return self.home / "templates"

    @property
    def machines(self) -> Path:
        return self.home / "machines"

    def sockets(self, machine: str) -> Path:
        """Return where the sockets of the hook tools of a machine's units are."""
        return self.run / "machines" / machine

    @property
    def longest_app(self) -> int:
        """How long the name of an application may be, for its units' sockets to have a path.

        It leaves room for machines and units with numbers of four digits.
        """
        longest = self.sockets("juju-123456-9999") / "unit--9999.socket"
        return MAX_SOCKET - len(os.fsencode(longest))

    @property
    def lock(self) -> Path:
        return self.run / "lock"


def find_paths() -> Paths:
    """Return the folders of this instance; `LOCALMODEL_HOME` and `LOCALMODEL_RUN` move them.

    Raises: LocalModelError if the instance's name can't name a folder and a network namespace.
    """
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,30}", NAME):
        raise LocalModelError(
            f"LOCALMODEL_NAME {NAME!r}: give up to 31 lower-case letters, digits and hyphens,"
            " a letter first"
        )
    return Paths(
        home=Path(os.environ.get("LOCALMODEL_HOME", f"/var/lib/{NAME}")),
        run=Path(os.environ.get("LOCALMODEL_RUN", f"/run/{NAME}")),
    )
