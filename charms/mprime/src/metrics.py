"""What a search looks like to Prometheus: read from the machine when it asks, and not before."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

import cgroups
import mprime
from cpu import NotInForceError, Parent, Policy
from dockerhost import Cgroups, Container, ContainerSpec, DockerHostError, Engine
from engines import ADAPTERS, Task
from mprime import Search
from plan import find_work
from workdir import WorkDirectory


@dataclass(frozen=True)
class Reading:
    """A search and its container at one moment.

    Attributes:
        restarts: how often the engine has started the container again by itself.
        cpu_seconds: processor time that the container took since it started; None while it does
            not run.
        checkpoint_age: seconds since the search last saved its work; None before it does.
        in_force: whether the kernel treats the container as its policy says; None while it does
            not run.
    """

    search: Search
    restarts: int
    cpu_seconds: float | None
    checkpoint_age: float | None
    in_force: bool | None


class SearchCollector:
    """The metrics of a unit's search, for a registry of prometheus_client.

    Args:
        unit: the unit's name, such as mprime/0.
        policy: how its search is to compete for the processors.
    """

    def __init__(self, unit: str, policy: Policy):
        self.unit = unit
        self.policy = policy
        self._cgroups: Cgroups | None = None

    def collect(self) -> Iterator[Metric]:
        """Read the machine, and yield each metric. What can't be known is left out."""
        try:
            reading = self._read()
        except (DockerHostError, OSError):
            yield _gauge("docker_up", "Whether the Docker Engine answers.", 0)
            return
        yield _gauge("docker_up", "Whether the Docker Engine answers.", 1)
        if reading:
            yield from _describe_container(reading, self.policy)
            yield from _describe_search(reading)
        else:
            yield _gauge("running", _RUNNING, 0)

    def _read(self) -> Reading | None:
        search, engine = mprime.observe(self.unit), Engine()
        container = engine.inspect(mprime.name_of(self.unit))
        if search is None or container is None:
            return None
        # An engine keeps to its way for as long as it runs, and the answer is costly.
        self._cgroups = self._cgroups or engine.read_cgroups()
        return Reading(
            search=search,
            restarts=container.restarts,
            cpu_seconds=read_cpu_seconds(container.pid, self._cgroups.version),
            checkpoint_age=self._read_checkpoint_age(search),
            in_force=self._verify(container, self._cgroups),
        )

    def _verify(self, container: Container, kind: Cgroups) -> bool | None:
        if not container.pid:
            return None
        limits = ContainerSpec(
            name=container.name,
            image=container.image,
            memory=container.memory,
            cpus=container.cpu_quota / 100_000,
        )
        try:
            Parent(self.unit, kind).verify(self.policy, container.pid, limits)
        except NotInForceError:
            return False
        return True

    def _read_checkpoint_age(self, search: Search) -> float | None:
        if search.progress is None:
            return None
        savefile = ADAPTERS[search.engine].match_savefiles(search.progress.exponent)
        return read_checkpoint_age(find_work(self.unit), savefile, time.time())


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
        work: where the search saves.
        savefile: what the names of its savefiles look like.
        now: the time, in seconds since the epoch.

    Raises:
        OSError: the directory can't be read.
    """
    written = [
        (work.path / name).lstat().st_mtime for name in work.names() if savefile.fullmatch(name)
    ]
    return max(now - max(written), 0.0) if written else None


_RUNNING = "Whether the search's container runs."


def _describe_container(reading: Reading, policy: Policy) -> Iterator[Metric]:
    search = reading.search
    info = GaugeMetricFamily(
        "mprime_search_info", "The search program.", labels=["engine", "version"]
    )
    info.add_metric([search.engine, search.version], 1)
    yield info
    yield _gauge("running", _RUNNING, search.state == "running")
    yield _gauge("paused", "Whether an operator holds the search.", search.paused)
    yield _counter(
        "restarts", "How often the engine started the search again by itself.", reading.restarts
    )
    if reading.cpu_seconds is not None:
        yield _counter("cpu_seconds", "Processor time that it took.", reading.cpu_seconds)
    if reading.in_force is not None:
        family = GaugeMetricFamily(
            "mprime_cpu_policy_in_force",
            "Whether the kernel treats the search as cpu-policy and the limits say.",
            labels=["policy"],
        )
        family.add_metric([policy.value], reading.in_force)
        yield family


def _describe_search(reading: Reading) -> Iterator[Metric]:
    progress, results = reading.search.progress, reading.search.results
    yield _counter("primes_found", "Mersenne primes found.", len(results.primes))
    yield _counter(
        "probable_primes_found", "Numbers that passed a PRP test.", len(results.probable)
    )
    yield _counter("composites_found", "Numbers shown not to be prime.", len(results.composites))
    yield _gauge("out_of_work", "Whether there is nothing left to test.", progress is None)
    if reading.search.space is not None:
        yield _gauge(
            "disk_free_bytes", "What is left of the disk with its work.", reading.search.space
        )
    yield _gauge("saves_work", "Whether it can save its work.", not reading.search.unsaved)
    if reading.search.asks:
        yield _gauge(
            "primenet_up", "Whether PrimeNet is in reach.", not reading.search.out_of_reach
        )
    if reading.checkpoint_age is not None:
        yield _gauge(
            "checkpoint_age_seconds", "Time since it saved its work.", reading.checkpoint_age
        )
    if progress is None:
        return
    yield _gauge("exponent", "p of the number 2^p - 1 that is worked on.", progress.exponent)
    task = GaugeMetricFamily("mprime_task_info", "What is done with the number.", labels=["task"])
    task.add_metric([progress.task.value], 1)
    yield task
    if progress.iterations:
        yield _gauge("progress_ratio", "How much of it is done.", progress.percent / 100)
    if progress.task is not Task.TEST:
        return
    yield _gauge("iterations", "Iterations that the test takes.", progress.iterations)
    yield _gauge("iterations_done", "Iterations done so far.", progress.iteration)
    if progress.ms_per_iteration and progress.seconds_left is not None:
        speed = 1000 / progress.ms_per_iteration if reading.search.state == "running" else 0
        yield _gauge("iterations_per_second", "Speed as the program last told.", speed)
        yield _gauge(
            "remaining_seconds",
            "Time to the end of the test at this speed.",
            progress.seconds_left,
        )


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"mprime_{name}", text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(f"mprime_{name}", text, value=value)
