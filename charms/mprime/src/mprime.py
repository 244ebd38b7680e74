"""The search on this machine: what it should be, making it so, and how it stands."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import dockerhost
from cpu import NotInForceError, remove_parent
from dockerhost import Credentials, DockerHostError, Engine
from engines import ADAPTERS, ENGINE_LABEL, VERSION_LABEL, Adapter, Progress, Results, Settings
from hostkit import orphans
from image import Source, obtain, sweep
from limits import explain_excess
from neighbours import find_worker
from plan import (
    SERVER_LABEL,
    Desired,
    Plan,
    end_trial,
    find_container,
    find_hold,
    find_orders,
    find_volumes,
    find_work,
    is_held,
    is_of,
    make_plan,
    name_of,
    remove_container,
)
from untrusted import read_label, read_log
from workdir import WorkDirectory, write_file

# A program that ends by itself this soon, in seconds, with work left, did not work at all.
_TOO_SOON = 10.0
# How far back a program's reports are looked for, in lines, and why it ended.
_LOG = 1000
_LAST_WORDS = 100


@dataclass(frozen=True)
class Search:
    """A search as it stands.

    Attributes:
        state: of its container, as the engine names it: running, restarting, exited and so on.
        progress: None when it is out of work.
        last_words: the last line in which the program told of a failure, or its last line.
        paused: whether an operator holds it.
        asks: whether it asks PrimeNet for work.
        space: bytes that are left on the disk with its work; None if that is unknown.
        out_of_reach: since when PrimeNet has been out of reach, as the program tells it; empty if
            it is not.
        unsaved: why it can't save its work; empty if it can.
    """

    engine: str
    version: str
    state: str
    progress: Progress | None
    results: Results
    last_words: str = ""
    paused: bool = False
    asks: bool = False
    space: int | None = None
    out_of_reach: str = ""
    unsaved: str = ""


@dataclass(frozen=True)
class Observed:
    """What a reconcile found in the end.

    Attributes:
        problem: why the machine is not as desired, in one line; empty if it is.
        worker: the unit that works on this machine while this one stands by; empty if none does.
        held: whether an operator holds the search.
        search: None while there is none.
    """

    problem: str = ""
    worker: str = ""
    held: bool = False
    search: Search | None = None


def reconcile(desired: Desired, *, resume: bool = False) -> Observed:
    """Change on this machine what differs from what is desired, and return how it stands.

    It may be killed anywhere and run again. Trouble with the engine, a registry or the disk is
    returned as the observed `problem`; it is not raised.

    Args:
        desired: what the unit wants.
        resume: let a search go on that an operator holds; otherwise it is left alone.
    """
    problem, held = "", False
    try:
        dockerhost.install(desired.report)
        dockerhost.hide_proxies()
        engine = Engine()
        if worker := find_worker(engine, desired.unit):
            _give_way(desired.unit, engine)
            return Observed(worker=worker)
        end_trial(desired.unit, engine)
        there = engine.inspect(desired.name)
        if there and not is_of(there, desired.unit):
            return Observed(
                f"a container named {desired.name} exists that this unit did not make; "
                "remove or rename it"
            )
        if resume:
            find_hold(desired.unit).unlink(missing_ok=True)
        held = not resume and is_held(desired.unit, there)
        if not held:
            problem = _advance(desired, engine)
        elif there and there.state != "exited":
            engine.hold(desired.name)  # the action was killed before it did
    except (DockerHostError, NotInForceError, OSError) as error:
        problem = _explain(error)
    try:
        return Observed(problem, held=held, search=observe(desired.unit))
    except (DockerHostError, OSError) as error:
        return Observed(problem or _explain(error))


def pause(unit: str) -> None:
    """Let a unit's search save its work and end, until it is resumed.

    Neither a hook nor the engine nor a reboot starts it again, also if its container is removed.

    Raises:
        DockerHostError: the engine refused, or does not answer.
        OSError: the file that remembers it can't be written.
    """
    hold = find_hold(unit)
    if not hold.exists():
        write_file(hold, "")
    Engine().hold(name_of(unit))


def observe(unit: str) -> Search | None:
    """Return a unit's search as it stands; None if there is none.

    Raises:
        DockerHostError: the engine does not answer.
        OSError: the work directory can't be read.
    """
    engine = Engine()
    container = find_container(unit, engine)
    adapter = container and ADAPTERS.get(read_label(container.labels, ENGINE_LABEL))
    if container is None or adapter is None:
        return None
    work = find_work(unit)
    log = read_log(engine, container.name, _LOG)
    progress = adapter.read_progress(work, log)
    asks = SERVER_LABEL in container.labels
    return Search(
        engine=adapter.name,
        version=read_label(container.labels, VERSION_LABEL),
        state=container.state,
        paused=is_held(unit, container),
        asks=asks,
        progress=progress,
        results=adapter.read_results(work),
        space=work.measure_space(),
        last_words=_last_words(adapter, log),
        out_of_reach=adapter.find_outage(log) if asks else "",
        unsaved=_explain_disk(work, progress)
        or adapter.find_unsaved(log, 0 if container.state == "running" else container.exit_code),
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
    find_hold(unit).unlink(missing_ok=True)
    if work:
        find_orders(unit).unlink(missing_ok=True)
        find_work(unit).remove()
    orphans.remove_watch(unit)


def _give_way(unit: str, engine: Engine) -> None:
    # First what costs most if it stays.
    remove_container(unit, engine, name_of(unit))
    end_trial(unit, engine)
    remove_parent(unit)
    _reconcile_trust(name_of(unit), {})


def _advance(desired: Desired, engine: Engine) -> str:
    """Bring the search about; return what is wrong with it nevertheless."""
    config, kind = desired.config, engine.read_cgroups()
    orphans.ensure_watch(desired.unit, desired.charm, ["--work"] if config.remove_work else [])
    excess = explain_excess(config.cpus, config.memory_limit, config.cpuset, kind.version)
    if excess:
        return excess
    trusted = {}
    if config.image and config.registry_ca:
        trusted[dockerhost.parse_reference(config.image).registry] = config.registry_ca
    _reconcile_trust(desired.name, trusted)

    work = find_work(desired.unit)
    source = _choose_source(desired, work)
    image = obtain(engine, source, desired.report)
    label = read_label(image.labels, ENGINE_LABEL)
    if label not in ADAPTERS:
        return (
            f"{source.title}: its label {ENGINE_LABEL} is {label!r}, "
            f"and must be one of: {', '.join(ADAPTERS)}"
        )
    if writable := find_volumes(image):
        return (
            f"{source.title}: it has a VOLUME {writable[0]}, where the search could write, too; "
            "give an image without it"
        )
    try:
        plan = make_plan(desired, engine, image)
    except ValueError as error:
        return f"option worktodo: {error}"
    adapter, settings, spec = plan.adapter, plan.settings, plan.spec
    if problem := adapter.explain(settings) or _explain_need(work, adapter, settings):
        return problem
    if config.network and not engine.has_network(config.network):
        # Before the container goes that is there: the engine would make no other.
        return (
            f"option network: Docker has no network {config.network} on this machine; "
            "the charm fan makes one named fan"
        )
    work.make()
    if not adapter.is_current(work, settings):
        # It reads them when it starts, and may overwrite them until it ends.
        engine.stop(spec.name)
        adapter.prepare(work, settings)
    there = engine.inspect(spec.name)
    adapter.add_work(work, settings, running=bool(there and there.pid))
    # First: the search never runs without it.
    plan.parent.settle(config.cpu_policy)
    problem = _run(engine, plan, work)
    there = engine.inspect(spec.name)
    if there and there.pid:
        plan.parent.verify(config.cpu_policy, there.pid, spec)
    # Last: now the container runs on this image, or none can.
    sweep(engine, desired.name, image)
    return problem


def _run(engine: Engine, plan: Plan, work: WorkDirectory) -> str:
    adapter, spec = plan.adapter, plan.spec
    left = adapter.read_progress(work, ())
    there = engine.inspect(spec.name)
    same = there is not None and there.spec_digest == spec.digest
    problem = ""
    if there and same and there.state == "exited" and there.restart != "no":
        if left is None and not plan.settings.primenet:
            return ""
        # Under other policies the engine starts again what ends by itself.
        by_itself = there.restart == "on-failure" and there.exit_code == 0
        if left and by_itself and there.ran < _TOO_SOON:
            said = _last_words(adapter, read_log(engine, spec.name)) or "it wrote nothing"
            problem = f"{adapter.name} ends at once, with work left (M{left.exponent}): {said}"
    engine.apply(spec)
    return problem


def _choose_source(desired: Desired, work: WorkDirectory) -> Source:
    config, login = desired.config, desired.config.registry_credentials
    begun = (name for name, adapter in ADAPTERS.items() if adapter.owns(work))
    return Source(
        owner=desired.name,
        context=desired.charm / "images",
        reference=config.image,
        archive=desired.archive,
        no_archive=desired.no_archive,
        credentials=login and Credentials(login.username, login.password.get_secret_value()),
        require_digest=config.require_digest,
        proxies=desired.proxies,
        prefers=None if config.image else next(begun, None),
    )


def _reconcile_trust(owner: str, trusted: dict[str, str]) -> None:
    for registry in dockerhost.list_trusted_registries(owner=owner):
        if registry not in trusted:
            dockerhost.distrust_registry(registry, owner=owner)
    for registry, certificate in trusted.items():
        dockerhost.trust_registry(registry, certificate, owner=owner)


def _explain_need(work: WorkDirectory, adapter: Adapter, settings: Settings) -> str:
    """Return why the disk is too small for what the program lays aside; empty if it is not."""
    need = adapter.choose_disk(settings)
    if not need:
        return ""
    # What it has laid aside already counts.
    left = work.measure_space() + work.measure()
    if left >= need:
        return ""
    return (
        f"option disk-limit: the disk of {work.path} has {left / 1e9:.1f} GB for the search, and "
        f"it may lay aside {need / 1e9:.1f} GB; free some, or give a lower limit"
    )


def _explain_disk(work: WorkDirectory, progress: Progress | None) -> str:
    """Return why the next checkpoint does not fit on the disk; empty if it does."""
    # It takes as many bits as the exponent says, beside the one before.
    need = 2 * progress.exponent // 8 if progress else 0
    if not need or work.measure_space() >= need:
        return ""
    return f"the disk of {work.path} is full or read-only; free some, or repair it"


def _last_words(adapter: Adapter, log: Sequence[str]) -> str:
    """Return the last line that tells of a failure, or else the last line."""
    lines = [line for line in log[-_LAST_WORDS:] if line]
    failures = [line for line in lines if adapter.failure.search(line)]
    return (failures or lines or [""])[-1][:120]


def _explain(error: DockerHostError | NotInForceError | OSError) -> str:
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return str(error)
