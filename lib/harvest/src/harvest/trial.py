"""A trial: the unit's own program in a container like the unit's, beside it, while that is frozen.

It has a directory of its own, and the same limits and group. Should an action be killed meanwhile,
the next hook clears the trial away and lets the unit's container go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from dockerhost import Container, ContainerSpec, Engine, Mount
from harvest.reconcile import Plan
from harvest.tasks import TaskError
from harvest.untrusted import read_log
from harvest.workdir import WorkDirectory
from harvest.workload import Desired

_POLL = 0.5  # seconds
_TELL = 15.0  # seconds between two reports


@contextmanager
def trying(desired: Desired[Any], engine: Engine, plan: Plan) -> Generator[Trial, None, None]:
    """Freeze the unit's container for a trial of its program, and clear up.

    Raises:
        DockerHostError: the engine refused, or does not answer.
        NotInForceError: the container did not get the unit's limits.
        OSError: a file or a control group can't be written.
    """
    unit = desired.unit
    directory = WorkDirectory(unit.trial_work.path, plan.job.user)
    (mount,) = plan.spec.mounts
    spec = replace(
        plan.spec,
        name=unit.trial,
        mounts=(Mount(str(directory.path), mount.target),),
        network="none",
        restart="no",
    )
    try:
        engine.freeze(unit.id)
        plan.parent.ensure(desired.config.cpu_policy)
        yield Trial(engine, spec, directory)
    finally:
        unit.end_trial(engine)


class Trial:
    """A container beside the unit's, with a directory of its own.

    Attributes:
        work: that directory.
    """

    def __init__(self, engine: Engine, spec: ContainerSpec, work: WorkDirectory):
        self.work = work
        self._engine, self._spec = engine, spec
        self._told = time.monotonic()

    def start(self, ensure_files: Callable[[WorkDirectory], None]) -> None:
        """Run the program from the beginning, once its directory is prepared."""
        self._engine.remove(self._spec.name)
        self.work.remove()
        self.work.ensure()
        ensure_files(self.work)
        self._engine.ensure(self._spec)

    @property
    def has_ended(self) -> bool:
        """Whether the program has. Raises TaskError if somebody removed the container."""
        return self._inspect().state != "running"

    def await_end(self, seconds: float, report: Callable[[], None]) -> int:
        """Wait until the program has ended, and return its exit code.

        Args:
            seconds: how long, at most.
            report: called when it is time to tell how it goes.

        Raises:
            TaskError: it has not ended, or somebody removed the container.
        """
        deadline = time.monotonic() + seconds
        while (there := self._inspect()).state == "running":
            left = deadline - time.monotonic()
            if left <= 0:
                raise TaskError(f"it did not end within {seconds:.0f} s; try again later")
            self.wait(left)
            if self.is_due():
                report()
        return there.exit_code

    def wait(self, left: float) -> None:
        """Wait a moment, for as many seconds as are left at most."""
        time.sleep(max(min(_POLL, left), 0))

    def is_due(self) -> bool:
        """Return whether it is time to tell how it goes."""
        due = time.monotonic() - self._told >= _TELL
        if due:
            self._told = time.monotonic()
        return due

    def read_log(self) -> list[str]:
        """Return the last lines that the program wrote."""
        return read_log(self._engine, self._spec.name)

    def last_line(self) -> str:
        """Return the last line that is not empty, or that there is none."""
        return next((line[:120] for line in reversed(self.read_log()) if line), "it wrote nothing")

    def _inspect(self) -> Container:
        there = self._engine.inspect(self._spec.name)
        if there is None:
            raise TaskError(f"somebody removed the container {self._spec.name}")
        return there
