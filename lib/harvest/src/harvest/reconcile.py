"""The container of a unit: bringing it about, and how it stands."""

from __future__ import annotations

import math
import os
import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, replace
from re import Pattern
from typing import Any, Generic

import dockerhost
from dockerhost import (
    Container,
    ContainerSpec,
    Credentials,
    DockerHostError,
    Engine,
    Image,
    Mount,
)
from harvest.image import Source, ensure_image, remove_images
from harvest.limits import explain_excess, format_cpuset, read_cores
from harvest.neighbours import find_worker
from harvest.policy import NotInForceError, Parent, Top, remove_parent
from harvest.unit import Unit
from harvest.untrusted import read_log
from harvest.workdir import WorkDirectory
from harvest.workload import C, D, Desired, Job, Report, Share, Workload
from hostkit import apt, files, orphans
from hostkit.text import explain, make_printable

# A program that ends by itself this soon, in seconds, with work left, did not work at all.
_TOO_SOON = 10.0
# How far back a program's reports are looked for, in lines, and why it ended.
_LOG = 1000
_LAST_WORDS = 100


@dataclass(frozen=True)
class Plan:
    """How a unit's program runs: its job, in which container, under which group."""

    job: Job
    parent: Parent | Top
    spec: ContainerSpec


@dataclass(frozen=True)
class Seen(Generic[D]):
    """A unit's container at one moment.

    Attributes:
        container: as the engine has it.
        report: what its program has told.
        paused: whether an operator holds it.
        last_words: the last line in which the program told of a failure, or its last line.
        space: bytes that are left on the disk with its work.
    """

    container: Container
    report: Report[D]
    paused: bool
    last_words: str
    space: int


@dataclass(frozen=True)
class Observed(Generic[D]):
    """What a reconcile found in the end.

    Attributes:
        problem: why the machine is not as desired, in one line; empty if it is.
        worker: the unit that works on this machine while this one stands by; empty if none does.
        held: whether an operator holds the container.
        seen: the container; None while there is none.
    """

    problem: str = ""
    worker: str = ""
    held: bool = False
    seen: Seen[D] | None = None


def reconcile(
    workload: Workload[C, D], desired: Desired[C], *, resume: bool = False
) -> Observed[D]:
    """Change on this machine what differs from what is desired, and return how it stands.

    It may be killed anywhere and run again. Trouble with the engine, a registry or the disk is
    returned as the observed `problem`; it is not raised.

    Args:
        workload: what the charm runs.
        desired: what the unit wants.
        resume: whether to continue a container that an operator has paused.
    """
    unit = desired.unit
    problem, held = "", False
    try:
        if not desired.confined:
            # First: an engine that is missing is to come from them.
            apt.ensure_sources(unit.name, desired.config.sources, desired.report)
            dockerhost.ensure_engine(desired.report)
            dockerhost.ensure_proxies_private()
        engine = Engine()
        if worker := find_worker(engine, unit, apart=workload.apart):
            _stop_working(unit, engine)
            return Observed(worker=worker)
        unit.end_trial(engine)
        there = engine.inspect(unit.id)
        if there and not unit.owns(there):
            return Observed(
                f"a container named {unit.id} exists that this unit did not make; "
                "remove or rename it"
            )
        if resume:
            unit.hold.unlink(missing_ok=True)
        held = not resume and unit.is_held(there)
        if not held:
            problem = _ensure_container(workload, desired, engine)
        elif there and there.state != "exited":
            engine.hold(unit.id)  # the action was killed before it did
    except (DockerHostError, NotInForceError, OSError) as error:
        problem = explain(error)
    try:
        return Observed(problem, held=held, seen=observe(workload, unit))
    except (DockerHostError, OSError) as error:
        return Observed(problem or explain(error))


def pause(unit: Unit) -> None:
    """Stop a unit's program, which saves its work, until it is resumed.

    Neither a hook nor the engine nor a reboot starts it again, also if its container is removed.

    Raises:
        DockerHostError: the engine refused, or does not answer.
        OSError: the file that remembers it can't be written.
    """
    if not unit.hold.exists():
        files.write(unit.hold, "", mode=0o600)
    Engine().hold(unit.id)


def observe(workload: Workload[Any, D], unit: Unit) -> Seen[D] | None:
    """Return a unit's container as it stands; None if there is none.

    Raises:
        DockerHostError: the engine does not answer.
        OSError: the work directory can't be read.
    """
    engine = Engine()
    container = unit.find_container(engine)
    if container is None:
        return None
    log = read_log(engine, container.name, _LOG)
    report = workload.read(container, unit.work, log)
    if report is None:
        return None
    return Seen(
        container=container,
        report=report,
        paused=unit.is_held(container),
        last_words=_choose_words(log, report.failure),
        space=unit.work.measure_space(),
    )


def remove(workload: Workload[Any, Any], unit: Unit, *, work: bool = False) -> None:
    """Stop a unit's container and give back what it took of the machine.

    Args:
        workload: what the charm runs.
        unit: whose container it is.
        work: whether its work goes too; otherwise that is kept.

    Raises:
        DockerHostError: the engine refused, or does not answer.
        OSError: a file or a control group can't be removed.
    """
    apt.remove_sources(unit.name)  # first, as it needs no engine
    engine = Engine()
    _stop_working(unit, engine)
    remove_all_images(workload, unit, engine)
    dockerhost.remove_proxies()
    unit.hold.unlink(missing_ok=True)
    if work:
        for kind in workload.files:
            unit.find_file(kind).unlink(missing_ok=True)
        unit.work.remove()
    orphans.remove_watch(unit.name)


def remove_containers(unit: Unit, engine: Engine) -> None:
    """Stop and remove a unit's container, and what a trial left; the work is kept.

    Raises:
        DockerHostError: the engine refused, or does not answer.
        OSError: a trial's directory can't be removed.
    """
    unit.remove_container(engine, unit.id)
    unit.end_trial(engine)


def remove_all_images(workload: Workload[Any, Any], unit: Unit, engine: Engine) -> None:
    """Remove the images that were brought for a unit. Raises DockerHostError."""
    remove_images(engine, unit)
    if workload.stage:
        engine.prune_images(workload.stage)


def make_plan(
    workload: Workload[C, Any], desired: Desired[C], engine: Engine, image: Image
) -> Plan:
    """Return how the program of a unit runs with an image.

    Raises:
        DockerHostError: the engine does not answer.
        OSError: the machine's groups, or a file of the work, can't be read.
        ValueError: options contradict each other.
    """
    kind = engine.read_cgroups()
    job = workload.make_job(desired, image, _find_share(desired, kind.version))
    parent = Parent(desired.unit.name, kind)
    if desired.confined:
        # Confined, root can give files to nobody, and can't read those of others.
        job, parent = replace(job, user=(0, 0)), Top(kind)
    return Plan(job, parent, _make_spec(desired, image, job, parent))


def _stop_working(unit: Unit, engine: Engine) -> None:
    # First what costs most if it stays.
    remove_containers(unit, engine)
    remove_parent(unit.name)
    _ensure_registry_cas(unit.id, {})


def _ensure_container(workload: Workload[C, D], desired: Desired[C], engine: Engine) -> str:
    """Bring the container about; return what is wrong with it nevertheless."""
    unit, config, kind = desired.unit, desired.config, engine.read_cgroups()
    if not desired.confined:
        orphans.ensure_watch(unit.name, desired.charm, ["--work"] if config.remove_work else [])
    excess = explain_excess(config.cpus, config.memory_limit, config.cpuset, kind.version)
    if excess:
        return excess
    if not desired.confined:
        trusted: dict[str, str] = {}
        if config.image and config.registry_ca:
            trusted[dockerhost.parse_reference(config.image).registry] = config.registry_ca
        _ensure_registry_cas(unit.id, trusted)

    source = _choose_source(workload, desired)
    image = ensure_image(engine, source, desired.report)
    if problem := workload.explain_image(image):
        return f"{source.title}: {problem}"
    try:
        plan = make_plan(workload, desired, engine, image)
    except ValueError as error:
        return str(error)
    job, spec = plan.job, plan.spec
    work = WorkDirectory(unit.work.path, job.user)
    if writable := _find_volumes(image, job.inside):
        return (
            f"{source.title}: it has a VOLUME {writable[0]}, where the {workload.noun} could "
            "write, too; give an image without it"
        )
    if problem := job.explain(work):
        return problem
    if config.network and not engine.has_network(config.network):
        # Before the container goes that is there: the engine would make no other.
        return (
            f"option network: Docker has no network {config.network} on this machine; "
            "the charm fan makes one named fan"
        )
    if work.belongs_to_another():
        engine.stop(spec.name)
    work.ensure(job.mode)
    if not job.is_current(work):
        # It reads them when it starts, and may overwrite them until it ends.
        engine.stop(spec.name)
        job.ensure_files(work)
    there = engine.inspect(spec.name)
    job.add_work(work, running=bool(there and there.pid))
    # First: the container never runs without it.
    plan.parent.ensure(config.cpu_policy)
    problem = _run(engine, plan, work)
    there = engine.inspect(spec.name)
    if there and there.pid:
        plan.parent.verify(config.cpu_policy, there.pid, spec)
    # Last: now the container runs on this image, or none can.
    remove_images(engine, unit, image)
    return problem


def _run(engine: Engine, plan: Plan, work: WorkDirectory) -> str:
    job, spec = plan.job, plan.spec
    there = engine.inspect(spec.name)
    same = there is not None and there.spec_digest == spec.digest
    problem = ""
    # What an operator held, or what ended when it was to be started again always, is not done.
    if there and same and there.state == "exited" and there.restart == job.restart:
        left = job.find_left(work, there.exit_code)
        if left is None:
            return ""
        # Under other policies the engine starts again what ends by itself.
        by_itself = there.restart == "on-failure" and there.exit_code == 0
        if left and by_itself and there.ran < _TOO_SOON:
            said = _choose_words(read_log(engine, spec.name), job.failure) or "it wrote nothing"
            problem = f"{job.program} ends at once, with work left ({left}): {said}"
    engine.ensure(spec)
    return problem


def _choose_source(workload: Workload[C, Any], desired: Desired[C]) -> Source:
    config, login = desired.config, desired.config.registry_credentials
    return Source(
        unit=desired.unit,
        context=desired.charm / "images",
        recipes=tuple(workload.choose_recipes(desired.unit.work)),
        reference=config.image,
        archive=desired.archive,
        no_archive=desired.no_archive,
        credentials=login and Credentials(login.username, login.password.get_secret_value()),
        require_digest=config.require_digest,
        proxies=desired.proxies,
        stage=workload.stage,
        confined=desired.confined,
    )


def _find_share(desired: Desired[Any], version: int) -> Share:
    """Return what a unit's container may use. Raises OSError."""
    config = desired.config
    # Programs number the cores from 0 to how many there are; one beyond that is refused.
    here = config.cpuset or read_cores(version)
    cores = sorted(c for c in here if c < (os.cpu_count() or 1)) or [0]
    # Half a core's time is not worth two threads.
    threads = min(len(cores), math.ceil(config.cpus)) if config.cpus else len(cores)
    return Share(tuple(cores), threads)


def _make_spec(
    desired: Desired[Any], image: Image, job: Job, parent: Parent | Top
) -> ContainerSpec:
    """Return a unit's container: no privileges, one writable directory, and no network but what
    the job needs, or one that the operator names.
    """
    unit, config = desired.unit, desired.config
    return ContainerSpec(
        name=unit.id,
        image=image.id,
        command=job.command,
        environment=job.environment,
        user=":".join(map(str, job.user)),
        # Elsewhere it could write nothing.
        working_dir="" if image.working_dir else job.inside,
        mounts=(Mount(str(unit.work.path), job.inside),),
        network=config.network or job.network,
        memory=config.memory_limit or job.memory,
        pids_limit=job.pids,
        oom_score_adj=1000,  # if the machine runs out of memory, this goes first
        cpus=config.cpus,
        cpu_shares=parent.choose_shares(config.cpu_policy),
        # Programs lay out their threads when they start: another set takes another container.
        cpuset=format_cpuset(config.cpuset),
        cgroup_parent=parent.reference,
        restart=job.restart,
        stop_signal=job.stop_signal,
        stop_timeout=job.stop_timeout,
        labels={unit.label: unit.name, **job.labels},
    )


def _ensure_registry_cas(owner: str, trusted: dict[str, str]) -> None:
    for registry in dockerhost.list_trusted_registries(owner=owner):
        if registry not in trusted:
            dockerhost.remove_registry_ca(registry, owner=owner)
    for registry, certificate in trusted.items():
        dockerhost.ensure_registry_ca(registry, certificate, owner=owner)


def _find_volumes(image: Image, inside: str) -> list[str]:
    """Return where a container of an image could write besides its work directory."""
    paths = [make_printable(path, 100) for path in image.volumes]
    return [path for path in paths if posixpath.normpath(path) != inside]


def _choose_words(log: Sequence[str], failure: Pattern[str]) -> str:
    """Return the last line that tells of a failure, or else the last line."""
    lines = [line for line in log[-_LAST_WORDS:] if line]
    failures = [line for line in lines if failure.search(line)]
    return (failures or lines or [""])[-1][:120]
