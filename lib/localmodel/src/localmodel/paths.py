"""Where things lie on the host."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from localmodel.errors import LocalModelError

#: Names what is this instance's own on the host: folders, network namespace, control groups,
#: units. Another name, in ``LOCALMODEL_NAME``, makes another instance beside it.
NAME = os.environ.get("LOCALMODEL_NAME", "localmodel")


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

    @property
    def lock(self) -> Path:
        return self.run / "lock"


def default_paths() -> Paths:
    """The folders of this instance; ``LOCALMODEL_HOME`` and ``LOCALMODEL_RUN`` move them.

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
