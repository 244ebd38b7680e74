"""What a unit's search should be: what its program is to do, and in which container."""

from __future__ import annotations

import math
import os
import posixpath
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from config import Config
from cpu import Parent
from dockerhost import Container, ContainerSpec, Engine, Image, Mount, Proxies, make_printable
from engines import ADAPTERS, ENGINE_LABEL, PRIMENET_LABEL, Adapter, PrimeNet, Settings
from limits import format_cpuset, read_cores
from untrusted import read_label
from work import KNOWN_PRIMES, Assignment, merge_work, read_orders
from workdir import OWNER, WorkDirectory

WORK = Path("/var/lib/mprime")
# On each container of a unit.
UNIT_LABEL = "mprime.unit"
_UNIT = re.compile(r"[a-z][a-z0-9-]*/[0-9]{1,18}")
_INSIDE = "/work"  # where a container finds its work directory
# On the container of a search that asks PrimeNet for work.
SERVER_LABEL = "mprime.primenet"


@dataclass(frozen=True)
class Desired:
    """The search that a unit wants on its machine.

    Attributes:
        unit: the unit's name, such as mprime/0.
        charm: the charm's directory, with the Dockerfiles in it.
        archive: an image that docker save wrote, if the operator gave one.
        no_archive: why Juju handed out none; empty if it did.
        proxies: what to fetch an image through.
        report: called with a short text before each step that takes time.
    """

    unit: str
    config: Config
    charm: Path
    archive: Path | None = None
    no_archive: str = ""
    proxies: Proxies = field(default_factory=Proxies)
    report: Callable[[str], None] = field(default=lambda _: None, compare=False)

    @property
    def name(self) -> str:
        """The unit's name as containers and files have it."""
        return name_of(self.unit)


def name_of(unit: str) -> str:
    """Return a unit's name as containers and files have it: mprime-0 for mprime/0."""
    return unit.replace("/", "-")


def trial_of(unit: str) -> str:
    """Return what the container and the directory of a unit's tests of the machine are called."""
    return f"{name_of(unit)}.trial"


@dataclass(frozen=True)
class Plan:
    """How a search runs: what its program is to do, in which container, under which group."""

    adapter: Adapter
    settings: Settings
    parent: Parent
    spec: ContainerSpec


def make_plan(desired: Desired, engine: Engine, image: Image) -> Plan:
    """Return how the search of a unit runs with an image.

    Raises:
        DockerHostError: the engine does not answer.
        OSError: the machine's groups, or the file of orders, can't be read.
        ValueError: an exponent is to be tested in two ways.
    """
    config, kind = desired.config, engine.read_cgroups()
    adapter = ADAPTERS[image.labels[ENGINE_LABEL]]
    # Programs number the cores from 0 to how many there are; one beyond that is refused.
    here = config.cpuset or read_cores(kind.version)
    cores = sorted(c for c in here if c < (os.cpu_count() or 1)) or [0]
    work = declare_work(desired)
    memory = config.memory_limit or adapter.choose_memory(work, asks=bool(config.primenet_user))
    primenet = None
    if config.primenet_user:
        primenet = PrimeNet(
            config.primenet_user,
            # PrimeNet keeps 20 characters.
            config.computer_name or socket.gethostname()[:20],
            config.work_preference,
            desired.proxies.http,
            read_label(image.labels, PRIMENET_LABEL),
        )
    # Half a core's time is not worth two threads.
    threads = min(len(cores), math.ceil(config.cpus)) if config.cpus else len(cores)
    settings = Settings(
        work, config.checkpoint_minutes, memory, threads, primenet, config.disk_limit
    )
    parent = Parent(desired.unit, kind)
    return Plan(
        adapter, settings, parent, _specify(desired, image, adapter, settings, cores, parent)
    )


def declare_work(desired: Desired) -> tuple[Assignment, ...]:
    """Return what the option worktodo lists, and then what actions ordered.

    Raises:
        OSError: the file of orders can't be read.
        ValueError: an exponent is to be tested in two ways.
    """
    config = desired.config
    by_default = () if config.primenet_user else KNOWN_PRIMES
    return merge_work(config.worktodo or by_default, read_orders(find_orders(desired.unit)))


def find_work(unit: str) -> WorkDirectory:
    """Return a unit's work directory, which may not be there yet."""
    return WorkDirectory(WORK / name_of(unit))


def find_trial(unit: str) -> WorkDirectory:
    """Return the directory of a unit's tests of the machine."""
    return WorkDirectory(WORK / trial_of(unit))


def find_orders(unit: str) -> Path:
    """Return the file with what actions ordered, out of the container's reach."""
    return WORK / f"{name_of(unit)}.orders"


def find_hold(unit: str) -> Path:
    """Return the file that is there while an operator holds a unit's search.

    It outlives the container, and is out of its reach.
    """
    return WORK / f"{name_of(unit)}.hold"


def is_held(unit: str, container: Container | None = None) -> bool:
    """Return whether an operator holds a unit's search.

    Its container, if there is one, has the restart policy `no` then, as no other has. What an
    earlier version of the charm held has that alone.
    """
    return find_hold(unit).exists() or (container is not None and container.restart == "no")


def is_of(container: Container, unit: str) -> bool:
    """Return whether a container is a unit's search, or its test of the machine.

    A label alone tells nothing: an image hands its own on, `docker commit` copies a container's,
    and anybody can give one. So the name and the work directory must be the unit's too.
    """
    return (
        container.spec_digest is not None
        and container.labels.get(UNIT_LABEL) == unit
        and bool(_UNIT.fullmatch(unit))
        and container.name in (name_of(unit), trial_of(unit))
        and any(
            (mount.source, mount.target) == (str(WORK / container.name), _INSIDE)
            for mount in container.mounts
        )
    )


def find_container(unit: str, engine: Engine) -> Container | None:
    """Return the container of a unit's search; None if there is none, or it is of others.

    Raises:
        DockerHostError: the engine does not answer.
    """
    there = engine.inspect(name_of(unit))
    return there if there and is_of(there, unit) else None


def remove_container(unit: str, engine: Engine, name: str) -> None:
    """Remove a container of a unit; one of others that has its name is left alone.

    Raises:
        DockerHostError: the engine refused, or does not answer.
    """
    there = engine.inspect(name)
    if there and is_of(there, unit):
        engine.remove(name)


def find_volumes(image: Image) -> list[str]:
    """Return where a container of an image could write besides its work directory."""
    paths = [make_printable(path, 100) for path in image.volumes]
    return [path for path in paths if posixpath.normpath(path) != _INSIDE]


def end_trial(unit: str, engine: Engine) -> None:
    """Clear away what tests of the machine left, and let the search go on.

    Raises:
        DockerHostError: the engine refused, or does not answer.
        OSError: the directory can't be removed.
    """
    remove_container(unit, engine, trial_of(unit))
    if find_container(unit, engine):
        engine.thaw(name_of(unit))
    find_trial(unit).remove()


def _specify(
    desired: Desired,
    image: Image,
    adapter: Adapter,
    settings: Settings,
    cores: list[int],
    parent: Parent,
) -> ContainerSpec:
    """Return the container of a search: no privileges, one writable directory, and no network
    but to reach PrimeNet, or one that the operator names.
    """
    config = desired.config
    return ContainerSpec(
        name=desired.name,
        image=image.id,
        command=adapter.choose_cores(cores),
        user=f"{OWNER}:{OWNER}",
        mounts=(Mount(str(WORK / desired.name), _INSIDE),),
        network=config.network or ("bridge" if settings.primenet else "none"),
        memory=settings.memory,
        pids_limit=64,
        oom_score_adj=1000,  # if the machine runs out of memory, this goes first
        cpus=config.cpus,
        # Programs lay out their threads when they start: another set takes another container.
        cpuset=format_cpuset(config.cpuset),
        cgroup_parent=parent.reference,
        restart=adapter.restart,
        stop_signal=adapter.stop_signal,
        stop_timeout=adapter.stop_timeout,
        labels={UNIT_LABEL: desired.unit} | ({SERVER_LABEL: ""} if settings.primenet else {}),
    )
