"""What the actions do that all such charms have: show the log, adopt what others left."""

from __future__ import annotations

from itertools import count
from typing import Any

from dockerhost import Engine
from harvest.reconcile import Plan, Seen, make_plan, observe
from harvest.unit import Unit
from harvest.untrusted import read_log
from harvest.workdir import WorkDirectory, read_file
from harvest.workload import C, D, Desired, Workload
from hostkit import files
from hostkit.agents import lives_here


class TaskError(Exception):
    """An action can't be done; the text says why, and what to do."""


def find_seen(workload: Workload[Any, D], unit: Unit) -> Seen[D]:
    """Return a unit's container as it stands.

    Raises:
        TaskError: there is none.
        DockerHostError: the engine does not answer.
        OSError: the work directory can't be read.
    """
    seen = observe(workload, unit)
    if seen is None:
        raise _explain_absence(workload)
    return seen


def find_plan(workload: Workload[C, Any], desired: Desired[C], engine: Engine) -> Plan:
    """Return how a unit's program runs with the image that it runs on.

    Raises:
        TaskError: there is no container, or options contradict each other.
        DockerHostError: the engine does not answer.
        OSError: a file of the work can't be read.
    """
    there = desired.unit.find_container(engine)
    image = engine.find_image(there.image) if there else None
    if image is None:
        raise _explain_absence(workload)
    try:
        return make_plan(workload, desired, engine, image)
    except ValueError as error:
        raise TaskError(str(error)) from error


def read_logs(workload: Workload[Any, Any], unit: Unit, lines: int) -> list[str]:
    """Return the last lines that a unit's program wrote.

    Raises:
        TaskError: there is no container.
        DockerHostError: the engine does not answer.
    """
    engine = Engine()
    if unit.find_container(engine) is None:
        raise _explain_absence(workload)
    return read_log(engine, unit.id, lines)


def adopt_work(workload: Workload[Any, Any], unit: Unit, directory: str) -> str:
    """Put work that no unit of this machine has any more under a unit; return where the unit's own
    former work went, empty if there was none.

    It may be killed anywhere and run again: nothing is ever overwritten. The unit's container is
    gone then, and the next reconcile makes a new one.

    Args:
        workload: what the charm runs.
        unit: who adopts it.
        directory: a name in the folder of all work.

    Raises:
        TaskError: there is no such work, or a unit owns it, or the unit's container is paused.
        DockerHostError: the engine does not answer.
        OSError: a directory can't be moved.
    """
    folder, own, source = unit.folder, unit.work, WorkDirectory(unit.folder / directory)
    owner = "/".join(directory.rsplit("-", 1))
    if directory == unit.id:
        raise TaskError(f"parameter source: {directory} is this unit's own work already")
    if lives_here(owner):
        raise TaskError(f"parameter source: {owner} exists on this machine, and owns {directory}")
    if not source.path.is_dir() or source.path.is_symlink():
        left = sorted(path.name for path in folder.glob("*-*") if path.is_dir())
        raise TaskError(
            f"parameter source: there is no work named {directory}; "
            f"there is: {', '.join(left) or 'none'}"
        )
    engine = Engine()
    if unit.is_held(unit.find_container(engine)):
        raise TaskError(f"the {workload.noun} is paused; run the action resume first")
    unit.remove_container(engine, unit.id)
    former = _set_aside(workload, unit) if own.path.exists() else ""
    adopted = {kind: folder / f"{directory}.{kind}" for kind in workload.files}
    for kind, file in adopted.items():
        files.write(unit.find_file(kind), read_file(file), mode=0o600)
    source.path.rename(own.path)
    for file in adopted.values():
        file.unlink(missing_ok=True)
    return former


def _set_aside(workload: Workload[Any, Any], unit: Unit) -> str:
    """Give a unit's work a name of its own, and return that."""
    former = next(
        name
        for name in (f"{unit.id}.{number}" for number in count(1))
        if not (unit.folder / name).exists()
    )
    unit.work.path.rename(unit.folder / former)
    for kind in workload.files:
        if unit.find_file(kind).exists():
            unit.find_file(kind).rename(unit.folder / f"{former}.{kind}")
    return former


def _explain_absence(workload: Workload[Any, Any]) -> TaskError:
    return TaskError(f"there is no {workload.noun} on this machine yet; juju status says why")
