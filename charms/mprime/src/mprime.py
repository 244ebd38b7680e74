"""The search on this machine: what it should be, making it so, and how it stands."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import dockerhost
from config import Config
from cpu import NotInForceError, Parent, remove_parent
from dockerhost import (
    Container,
    ContainerSpec,
    Credentials,
    DockerHostError,
    Engine,
    Image,
    Mount,
    Proxies,
)
from engines import ADAPTERS, ENGINE_LABEL, VERSION_LABEL, Adapter, Progress, Results
from image import Source, obtain, sweep
from limits import explain_excess, format_cpuset, read_cores
from neighbours import UNIT_LABEL, find_worker
from workdir import OWNER, WorkDirectory

WORK = Path("/var/lib/mprime")
# A program that ends by itself this soon, in seconds, with work left, did not work at all.
_TOO_SOON = 10.0
# Mlucas writes much after the line that says why it ends.
_FAILURE = re.compile(r"\bERR_|\berror\b|\bassert|\bfail|\bunable|not found", re.IGNORECASE)


@dataclass(frozen=True)
class Search:
    """A search as it stands.

    Attributes:
        state: of its container, as the engine names it: running, restarting, exited and so on.
        progress: None when it is out of work.
        last_words: the last line in which the program told of a failure, or its last line.
        paused: whether an operator holds it.
    """

    engine: str
    version: str
    state: str
    progress: Progress | None
    results: Results
    last_words: str = ""
    paused: bool = False


@dataclass(frozen=True)
class Observed:
    """What a reconcile found in the end.

    Attributes:
        problem: why the machine is not as desired, in one line; empty if it is.
        worker: the unit that works on this machine while this one stands by; empty if none does.
        search: None while there is none.
    """

    problem: str = ""
    worker: str = ""
    search: Search | None = None


@dataclass(frozen=True)
class Desired:
    """The search that a unit wants on its machine.

    Attributes:
        unit: the unit's name, such as mprime/0.
        images: where the Dockerfiles are that the charm carries.
        archive: an image that docker save wrote, if the operator gave one.
        no_archive: why Juju handed out none; empty if it did.
        proxies: what to fetch an image through.
        report: called with a short text before each step that takes time.
    """

    unit: str
    config: Config
    images: Path
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


def reconcile(desired: Desired, *, resume: bool = False) -> Observed:
    """Change on this machine what differs from what is desired, and return how it stands.

    It may be killed anywhere and run again. Trouble with the engine, a registry or the disk is
    returned as the observed `problem`; it is not raised.

    Args:
        desired: what the unit wants.
        resume: let a search go on that an operator holds; otherwise it is left alone.
    """
    problem = ""
    try:
        dockerhost.install(desired.report)
        engine = Engine()
        if worker := find_worker(engine, desired.unit):
            _give_way(desired.unit, engine)
            return Observed(worker=worker)
        there = engine.inspect(desired.name)
        if resume or not (there and _is_held(there)):
            problem = _advance(desired, engine)
    except (DockerHostError, NotInForceError, OSError) as error:
        problem = _explain(error)
    try:
        return Observed(problem, search=observe(desired.unit))
    except (DockerHostError, OSError) as error:
        return Observed(problem or _explain(error))


def pause(unit: str) -> None:
    """Let a unit's search save its work and end, until it is resumed.

    Neither a hook nor the engine nor a reboot starts it again. The engine remembers that, since
    a search on hold has the restart policy `no`, which no other has.

    Raises:
        DockerHostError: the engine refused, or does not answer.
    """
    Engine().hold(name_of(unit))


def observe(unit: str) -> Search | None:
    """Return a unit's search as it stands; None if there is none.

    Raises:
        DockerHostError: the engine does not answer.
        OSError: the work directory can't be read.
    """
    engine, name = Engine(), name_of(unit)
    container = engine.inspect(name)
    if container is None or container.spec_digest is None:
        return None
    adapter = ADAPTERS[container.labels[ENGINE_LABEL]]
    work = WorkDirectory(WORK / name)
    log = engine.logs(name)
    return Search(
        engine=adapter.name,
        version=container.labels.get(VERSION_LABEL, ""),
        state=container.state,
        paused=_is_held(container),
        progress=adapter.read_progress(work, log),
        results=adapter.read_results(work),
        last_words=_last_words(log),
    )


def remove(unit: str, *, work: bool = False) -> None:
    """Stop a unit's search and give back what it took of the machine.

    Args:
        unit: its name, such as mprime/0.
        work: whether its work goes too; otherwise that is kept.

    Raises:
        DockerHostError: the engine refused, or does not answer.
        OSError: a file or a control group can't be removed.
    """
    engine = Engine()
    _give_way(unit, engine)
    sweep(engine, name_of(unit))
    dockerhost.forget_proxies()
    if work:
        WorkDirectory(WORK / name_of(unit)).remove()


def _give_way(unit: str, engine: Engine) -> None:
    # First what costs most if it stays.
    engine.remove(name_of(unit))
    remove_parent(unit)
    _reconcile_trust(name_of(unit), {})


def _advance(desired: Desired, engine: Engine) -> str:
    """Bring the search about; return what is wrong with it nevertheless."""
    config, kind = desired.config, engine.read_cgroups()
    excess = explain_excess(config.cpus, config.memory_limit, config.cpuset, kind.version)
    if excess:
        return excess
    trusted = {}
    if config.image and config.registry_ca:
        trusted[dockerhost.parse_reference(config.image).registry] = config.registry_ca
    _reconcile_trust(desired.name, trusted)

    work = WorkDirectory(WORK / desired.name)
    source = _choose_source(desired, work)
    image = obtain(engine, source, desired.report)
    label = image.labels.get(ENGINE_LABEL, "")
    if label not in ADAPTERS:
        return (
            f"{source.title}: its label {ENGINE_LABEL} is {label!r}, "
            f"and must be one of: {', '.join(ADAPTERS)}"
        )
    adapter = ADAPTERS[label]
    work.make()
    adapter.prepare(work)
    # First: the search never runs without it.
    parent = Parent(desired.unit, kind)
    parent.settle(config.cpu_policy)
    cores = config.cpuset or read_cores(kind.version)
    spec = specify(desired, image, adapter, parent, cores)
    problem = _run(engine, adapter, work, spec)
    there = engine.inspect(spec.name)
    if there and there.pid:
        parent.verify(config.cpu_policy, there.pid, spec)
    # Last: now the container runs on this image, or none can.
    sweep(engine, desired.name, image)
    return problem


def specify(
    desired: Desired, image: Image, adapter: Adapter, parent: Parent, cores: frozenset[int]
) -> ContainerSpec:
    """Return the container of a search: no privileges, no network, one writable directory.

    Args:
        parent: the control group to run under.
        cores: those that it may use; it begins on the last one, as the first serve interrupts.
    """
    config = desired.config
    # Programs number the cores from 0 to how many there are; one beyond that is refused.
    core = max((c for c in cores if c < (os.cpu_count() or 1)), default=0)
    return ContainerSpec(
        name=desired.name,
        image=image.id,
        command=adapter.choose_core(core),
        user=f"{OWNER}:{OWNER}",
        mounts=(Mount(str(WORK / desired.name), "/work"),),
        memory=config.memory_limit or adapter.memory,
        pids_limit=64,
        oom_score_adj=1000,  # if the machine runs out of memory, this goes first
        cpus=config.cpus,
        # Programs lay out their threads when they start: another set takes another container.
        cpuset=format_cpuset(config.cpuset),
        cgroup_parent=parent.reference,
        # Not unless-stopped: that would start a program that is out of work again and again. One
        # that ended while there is work is started by the next hook.
        restart="on-failure",
        stop_signal=adapter.stop_signal,
        stop_timeout=adapter.stop_timeout,
        labels={UNIT_LABEL: desired.unit},
    )


def _run(engine: Engine, adapter: Adapter, work: WorkDirectory, spec: ContainerSpec) -> str:
    todo = adapter.read_work(work)
    there = engine.inspect(spec.name)
    same = there is not None and there.spec_digest == spec.digest
    problem = ""
    if there and same and there.state == "exited" and not _is_held(there):
        if not todo:
            return ""
        if there.exit_code == 0 and there.ran < _TOO_SOON:
            said = _last_words(engine.logs(spec.name)) or "it wrote nothing"
            problem = f"{adapter.name} ends at once, with work left (M{todo[0]}): {said}"
    engine.apply(spec)
    return problem


def _choose_source(desired: Desired, work: WorkDirectory) -> Source:
    config, login = desired.config, desired.config.registry_credentials
    begun = (
        name
        for name, adapter in ADAPTERS.items()
        if adapter.read_work(work) or adapter.read_results(work).exponents
    )
    return Source(
        owner=desired.name,
        context=desired.images,
        reference=config.image,
        archive=desired.archive,
        no_archive=desired.no_archive,
        credentials=login and Credentials(login.username, login.password.get_secret_value()),
        require_digest=config.require_digest,
        proxies=desired.proxies,
        prefers=None if config.image else next(begun, None),
    )


def _is_held(container: Container) -> bool:
    return container.restart == "no"


def _reconcile_trust(owner: str, trusted: dict[str, str]) -> None:
    for registry in dockerhost.list_trusted_registries(owner=owner):
        if registry not in trusted:
            dockerhost.distrust_registry(registry, owner=owner)
    for registry, certificate in trusted.items():
        dockerhost.trust_registry(registry, certificate, owner=owner)


def _last_words(log: list[str]) -> str:
    """Return the last line that tells of a failure, or else the last line."""
    lines = [" ".join(line.split()) for line in log if line.strip()]
    failures = [line for line in lines if _FAILURE.search(line)]
    return (failures or lines or [""])[-1][:120]


def _explain(error: DockerHostError | NotInForceError | OSError) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return str(error)
