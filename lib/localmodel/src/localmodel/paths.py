"""Where things lie on the host."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


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
    """The folders of this host; ``LOCALMODEL_HOME`` and ``LOCALMODEL_RUN`` move them."""
    return Paths(
        home=Path(os.environ.get("LOCALMODEL_HOME", "/var/lib/localmodel")),
        run=Path(os.environ.get("LOCALMODEL_RUN", "/run/localmodel")),
    )
