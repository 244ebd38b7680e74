"""What a unit calls its own on its machine: its container, and files out of that one's reach."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dockerhost import Container, Engine
from harvest.workdir import WorkDirectory

ROOT = Path("/var/lib")


@dataclass(frozen=True)
class Unit:
    """A unit of a charm.

    Attributes:
        charm: the charm's name, such as mprime.
        name: the unit's, such as mprime/0.
    """

    charm: str
    name: str
    # What names look like: labels, which anybody can write, become folders' names.
    _pattern: ClassVar[re.Pattern[str]] = re.compile(r"[a-z][a-z0-9-]*/[0-9]{1,18}")

    @property
    def application(self) -> str:
        """The application's name, such as mprime for mprime/0, whatever its charm is called."""
        return self.name.partition("/")[0]

    @property
    def id(self) -> str:
        """The unit's name as containers and files have it: mprime-0 for mprime/0."""
        return self.name.replace("/", "-")

    @property
    def trial(self) -> str:
        """What the container and the directory of a trial are called."""
        return f"{self.id}.trial"

    @property
    def label(self) -> str:
        """On each container of the charm's units: whose it is."""
        return f"{self.charm}.unit"

    @property
    def folder(self) -> Path:
        """Where the charm's units of this machine have their work."""
        return ROOT / self.charm

    @property
    def work(self) -> WorkDirectory:
        """The unit's work directory, which may not be there yet."""
        return WorkDirectory(self.folder / self.id)

    @property
    def trial_work(self) -> WorkDirectory:
        """The work directory of a trial."""
        return WorkDirectory(self.folder / self.trial)

    @property
    def hold(self) -> Path:
        """The file that is there while an operator holds the unit's container.

        It outlives the container, and is out of its reach.
        """
        return self.find_file("hold")

    def find_file(self, kind: str) -> Path:
        """Return a file that belongs to the work, out of the container's reach."""
        return self.folder / f"{self.id}.{kind}"

    def is_held(self, container: Container | None = None) -> bool:
        """Return whether an operator holds the unit's container.

        That one, if there is one, has the restart policy `no` then, as no other has. What an
        earlier version of a charm held has that alone.
        """
        return self.hold.exists() or (container is not None and container.restart == "no")

    def owns(self, container: Container) -> bool:
        """Return whether a container is the unit's, or that of its trial.

        A label alone tells nothing: an image hands its own on, `docker commit` copies a
        container's, and anybody can give one. So the name and the work directory must be the
        unit's too.
        """
        return (
            container.spec_digest is not None
            and container.labels.get(self.label) == self.name
            and bool(self._pattern.fullmatch(self.name))
            and container.name in (self.id, self.trial)
            and str(self.folder / container.name) in {each.source for each in container.mounts}
        )

    def find_container(self, engine: Engine) -> Container | None:
        """Return the unit's container; None if there is none, or it is of others.

        Raises:
            DockerHostError: the engine does not answer.
        """
        there = engine.inspect(self.id)
        return there if there and self.owns(there) else None

    def remove_container(self, engine: Engine, name: str) -> None:
        """Remove a container of the unit; one of others that has its name is left alone.

        Raises:
            DockerHostError: the engine refused, or does not answer.
        """
        there = engine.inspect(name)
        if there and self.owns(there):
            engine.remove(name)

    def end_trial(self, engine: Engine) -> None:
        """Clear away what a trial left, and let the unit's own container go on.

        Raises:
            DockerHostError: the engine refused, or does not answer.
            OSError: the directory can't be removed.
        """
        self.remove_container(engine, self.trial)
        if self.find_container(engine):
            engine.thaw(self.id)
        self.trial_work.remove()
