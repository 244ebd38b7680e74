"""What a unit looks like to Prometheus: read from the machine when it asks, and not before."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from dockerhost import Cgroups, Container, ContainerSpec, DockerHostError, Engine
from harvest.policy import NotInForceError, Parent, Policy
from harvest.reconcile import Seen, observe
from harvest.unit import Unit
from harvest.workdir import WorkDirectory
from harvest.workload import D, Workload
from hostkit import cgroups


class UnitCollector(Generic[D]):
    """The metrics of a unit, for a registry of prometheus_client.

    Args:
        workload: what the charm runs.
        name: the unit's, such as mprime/0.
        policy: how its container is to compete for the processors.
        describe: makes the charm's own metrics of what was seen.
    """

    def __init__(
        self,
        workload: Workload[Any, D],
        name: str,
        policy: Policy,
        describe: Callable[[Seen[D]], Iterable[Metric]] = lambda _: (),
    ):
        self.unit = Unit(workload.name, name)
        self.policy = policy
        self._workload = workload
        self._describe = describe
        self._prefix = workload.prefix
        self._cgroups: Cgroups | None = None

    def collect(self) -> Iterator[Metric]:
        """Read the machine, and yield each metric. What can't be known is left out."""
        engine_up = (f"{self._prefix}_docker_up", "Whether the Docker Engine answers.")
        try:
            seen = observe(self._workload, self.unit)
            found = list(self._describe_seen(seen) if seen else self._describe_none())
        except (DockerHostError, OSError):
            yield gauge(*engine_up, 0)
            return
        yield gauge(*engine_up, 1)
        yield from found

    def _describe_none(self) -> Iterator[Metric]:
        yield gauge(f"{self._prefix}_running", self._running, 0)

    def _describe_seen(self, seen: Seen[D]) -> Iterator[Metric]:
        prefix, noun, container = self._prefix, self._workload.noun, seen.container
        engine = Engine()
        # An engine keeps to its way for as long as it runs, and the answer is costly.
        self._cgroups = self._cgroups or engine.read_cgroups()
        yield gauge(f"{prefix}_running", self._running, container.state == "running")
        yield gauge(f"{prefix}_paused", f"Whether an operator has paused the {noun}.", seen.paused)
        yield counter(
            f"{prefix}_restarts",
            f"How often the engine restarted the {noun} by itself.",
            container.restarts,
        )
        if (seconds := read_cpu_seconds(container.pid, self._cgroups.version)) is not None:
            yield counter(f"{prefix}_cpu_seconds", "Processor time that it took.", seconds)
        if container.pid:
            yield gauge(
                f"{prefix}_cpu_policy_in_force",
                f"Whether the kernel enforces cpu-policy and the limits on the {noun}.",
                self._is_in_force(container, self._cgroups),
                policy=self.policy.value,
            )
        yield gauge(f"{prefix}_has_work", "Whether it has work left.", seen.report.busy)
        yield gauge(
            f"{prefix}_refused",
            "Whether its program does not do what the options ask for.",
            bool(seen.report.refused),
        )
        yield gauge(
            f"{prefix}_disk_free_bytes", "What is left of the disk with its work.", seen.space
        )
        yield gauge(
            f"{prefix}_saves_work", "Whether it can save its work.", not seen.report.unsaved
        )
        savefiles = seen.report.savefiles
        age = savefiles and read_checkpoint_age(self.unit.work, savefiles, time.time())
        if age is not None:
            yield gauge(f"{prefix}_checkpoint_age_seconds", "Time since it saved its work.", age)
        yield from self._describe(seen)

    def _is_in_force(self, container: Container, kind: Cgroups) -> bool:
        limits = ContainerSpec(
            name=container.name,
            image=container.image,
            memory=container.memory,
            cpus=container.cpu_quota / 100_000,
        )
        try:
            Parent(self.unit.name, kind).verify(self.policy, container.pid, limits)
        except NotInForceError:
            return False
        return True

    @property
    def _running(self) -> str:
        return f"Whether the {self._workload.noun}'s container runs."


def gauge(name: str, text: str, value: float, **labels: str) -> Metric:
    """Return a value that may rise and fall."""
    family = GaugeMetricFamily(name, text, labels=[*labels])
    family.add_metric([*labels.values()], value)
    return family


def counter(name: str, text: str, value: float) -> Metric:
    """Return a value that only rises."""
    return CounterMetricFamily(name, text, value=value)


def read_cpu_seconds(pid: int, version: int) -> float | None:
    """Return the processor time that a process's control group took; None if there is none.

    Args:
        pid: of a container's first process; 0 for one that does not run.
        version: of the control groups.

    Raises:
        OSError: the groups can't be read.
    """
    controller = "cpu" if version == 2 else "cpuacct"
    path = cgroups.find_group(pid, controller, version) if pid else None
    root = cgroups.find_hierarchy(controller, version)
    if path is None or root is None:
        return None
    group = root / path.lstrip("/")
    if version == 1:
        text = cgroups.read(group / "cpuacct.usage")
        return int(text) / 1e9 if text else None
    match = re.search(r"^usage_usec (\d+)$", cgroups.read(group / "cpu.stat"), re.MULTILINE)
    return int(match[1]) / 1e6 if match else None


def read_checkpoint_age(
    work: WorkDirectory, savefile: re.Pattern[str], now: float
) -> float | None:
    """Return the seconds since the newest savefile was written; None if there is none.

    Args:
        work: where the program saves.
        savefile: what the names of its savefiles look like.
        now: the time, in seconds since the epoch.

    Raises:
        OSError: the directory can't be read.
    """
    written = [
        (work.path / name).lstat().st_mtime for name in work.names() if savefile.fullmatch(name)
    ]
    return max(now - max(written), 0.0) if written else None
