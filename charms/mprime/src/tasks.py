"""What the actions do: order work, measure and test the machine, adopt what others left.

Measuring and testing run the search's own program in a container like the search's, beside it and
under the same group, while the search is frozen. Should an action be killed, the next hook clears
that away and lets the search go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count

import plan as plans
from dockerhost import Container, ContainerSpec, Engine, Mount
from engines import Composite, Progress, Results
from hostkit.agents import lives_here
from plan import (
    Desired,
    Plan,
    declare_work,
    end_trial,
    find_container,
    find_orders,
    find_trial,
    find_work,
    is_held,
    make_plan,
    name_of,
    remove_container,
    trial_of,
)
from untrusted import read_log
from work import Assignment, merge_work, read_orders, write_orders
from workdir import WorkDirectory

# What a stress test repeats: two exponents that each program finishes soon, and their outcomes.
# The residue is Mlucas's own, and the same on other machines.
_KNOWN = Results(primes=(110503,), composites=(Composite(110527, "DB43B1563828DEB6"),))
_NO_SEARCH = "there is no search on this machine yet; juju status says why"
_POLL = 0.5  # seconds
_REPORTS = 0.01  # minutes between two checkpoints, with which Mlucas reports, at most
_TELL = 15.0  # seconds between two reports


class TaskError(Exception):
    """An action can't be done; the text says why, and what to do."""


@dataclass(frozen=True)
class Ordered:
    """What came of an order.

    Attributes:
        added: exponents that are new.
        known: those that are done, or listed already.
    """

    added: tuple[int, ...]
    known: tuple[int, ...]


@dataclass(frozen=True)
class Measured:
    """What a benchmark measured.

    Attributes:
        exponent: what it worked on; iterations take longer for a greater one.
        ms_per_iteration: milliseconds.
    """

    engine: str
    exponent: int
    ms_per_iteration: float

    @property
    def iterations_per_second(self) -> float:
        """How many iterations a second."""
        return 1000 / self.ms_per_iteration


@dataclass(frozen=True)
class Tested:
    """What a stress test saw.

    Attributes:
        tests: how many ran to their end.
        errors: one text for each outcome that was not as known.
    """

    engine: str
    tests: int
    errors: tuple[str, ...]


def add_work(desired: Desired, work: tuple[Assignment, ...]) -> Ordered:
    """Order that exponents be tested besides; the next reconcile lists them.

    Raises:
        TaskError: the program can't test one, or it is listed for another kind of test.
        DockerHostError: the engine does not answer.
        OSError: the orders can't be written.
    """
    adapter = _find_plan(desired, Engine()).adapter
    for problem in filter(None, map(adapter.explain_work, work)):
        raise TaskError(f"parameter exponents: {problem}")
    file = find_orders(desired.unit)
    try:
        declared = declare_work(desired)
        merge_work(declared, work)
    except ValueError as error:
        raise TaskError(f"parameter type: {error}") from error
    directory = find_work(desired.unit)
    known = {each.exponent for each in declared}
    known |= {*adapter.read_work(directory), *adapter.read_results(directory).exponents}
    new = [each for each in work if each.exponent not in known]
    if new:
        write_orders(file, (*read_orders(file), *new))
    return Ordered(
        added=tuple(each.exponent for each in new),
        known=tuple(each.exponent for each in work if each.exponent in known),
    )


def run_benchmark(desired: Desired, seconds: float, report: Callable[[str], None]) -> Measured:
    """Measure the program's speed on this machine, under the search's own limits.

    Args:
        desired: the search, which is frozen meanwhile.
        seconds: how long to measure.
        report: called with a short text now and then.

    Raises:
        TaskError: there is no search, or the program did not come as far as to report its speed.
        DockerHostError: the engine refused, or does not answer.
        NotInForceError: the container did not get the search's limits.
        OSError: a file or a control group can't be written.
    """
    engine = Engine()
    plan = _find_plan(desired, engine)
    progress = None
    with _trying(desired, engine, plan) as trial:
        trial.start((Assignment(plan.adapter.benchmark),))
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            trial.wait(left)
            progress = trial.read_progress() or progress
            if trial.has_ended:
                break
            if progress and progress.ms_per_iteration and trial.is_due():
                report(f"{progress.ms_per_iteration:g} ms/iteration, {left:.0f} s left")
        if progress is None or progress.ms_per_iteration is None:
            raise TaskError(
                f"{plan.adapter.name} reported no speed within {seconds:g} s: "
                f"{trial.last_line()}; give more seconds"
            )
    return Measured(plan.adapter.name, progress.exponent, progress.ms_per_iteration)


def run_stress_test(desired: Desired, minutes: float, report: Callable[[str], None]) -> Tested:
    """Test exponents with known outcomes over and over, and compare.

    Args:
        desired: the search, which is frozen meanwhile.
        minutes: how long.
        report: called with a short text now and then.

    Raises:
        TaskError, DockerHostError, NotInForceError, OSError: as for `run_benchmark`.
    """
    engine = Engine()
    plan = _find_plan(desired, engine)
    work = tuple(map(Assignment, sorted(_KNOWN.exponents)))
    deadline = time.monotonic() + minutes * 60
    tests, errors = 0, tuple[str, ...]()
    with _trying(desired, engine, plan) as trial:
        while time.monotonic() < deadline:
            trial.start(work)
            while not (ended := trial.has_ended) and (left := deadline - time.monotonic()) > 0:
                trial.wait(left)
                if trial.is_due():
                    report(f"{tests} tests done, {len(errors)} errors, {left / 60:.1f} min left")
            results = trial.read_results()
            tests += len(results.exponents)
            errors += _compare(results)
            if ended and len(results.exponents) < len(work):
                errors += (f"{plan.adapter.name} ended early: {trial.last_line()}",)
                break
    return Tested(plan.adapter.name, tests, errors)


def read_logs(unit: str, lines: int) -> list[str]:
    """Return the last lines that the search's program wrote.

    Raises:
        TaskError: there is no search.
        DockerHostError: the engine does not answer.
    """
    engine = Engine()
    if find_container(unit, engine) is None:
        raise TaskError(_NO_SEARCH)
    return read_log(engine, name_of(unit), lines)


def adopt_work(desired: Desired, directory: str) -> str:
    """Put work that no unit of this machine has any more under a unit; return where the unit's own
    former work went, empty if there was none.

    It may be killed anywhere and run again: nothing is ever overwritten. The unit's container is
    gone then, and the next reconcile makes a new one.

    Args:
        desired: the unit's search.
        directory: a name in the folder of all work.

    Raises:
        TaskError: there is no such work, or a unit owns it, or the unit's search is paused.
        DockerHostError: the engine does not answer.
        OSError: a directory can't be moved.
    """
    own, source = find_work(desired.unit), WorkDirectory(plans.WORK / directory)
    owner = "/".join(directory.rsplit("-", 1))
    if directory == desired.name:
        raise TaskError(f"parameter source: {directory} is this unit's own work already")
    if lives_here(owner):
        raise TaskError(f"parameter source: {owner} exists on this machine, and owns {directory}")
    if not source.path.is_dir() or source.path.is_symlink():
        left = sorted(path.name for path in plans.WORK.glob("*-*") if path.is_dir())
        raise TaskError(
            f"parameter source: there is no work named {directory}; "
            f"there is: {', '.join(left) or 'none'}"
        )
    engine = Engine()
    there = find_container(desired.unit, engine)
    if is_held(desired.unit, there):
        raise TaskError("the search is paused; run the action resume first")
    remove_container(desired.unit, engine, desired.name)
    orders, former = find_orders(desired.unit), ""
    if own.path.exists():
        former = next(
            name
            for name in (f"{desired.name}.{number}" for number in count(1))
            if not (plans.WORK / name).exists()
        )
        own.path.rename(plans.WORK / former)
        if orders.exists():
            orders.rename(plans.WORK / f"{former}.orders")
    adopted = plans.WORK / f"{directory}.orders"
    write_orders(orders, read_orders(adopted))
    source.path.rename(own.path)
    adopted.unlink(missing_ok=True)
    return former


def _find_plan(desired: Desired, engine: Engine) -> Plan:
    """Return how the unit's search runs with the image that it runs on."""
    there = find_container(desired.unit, engine)
    image = engine.find_image(there.image) if there else None
    if image is None:
        raise TaskError(_NO_SEARCH)
    try:
        return make_plan(desired, engine, image)
    except ValueError as error:
        raise TaskError(f"option worktodo: {error}") from error


def _compare(results: Results) -> tuple[str, ...]:
    """Return in what results differ from those that are known."""
    known = {each.exponent: each.residue for each in _KNOWN.composites}
    primes = (*results.primes, *results.probable)
    wrong = [f"M{p} was found to be prime" for p in primes if p not in _KNOWN.primes]
    for each in results.composites:
        if each.exponent not in known:
            wrong.append(f"M{each.exponent} was found to be composite")
        elif each.residue != known[each.exponent]:
            wrong.append(f"M{each.exponent} has the residue {each.residue}")
    return tuple(wrong)


@contextmanager
def _trying(desired: Desired, engine: Engine, plan: Plan) -> Iterator[_Trial]:
    """Freeze the search for a trial of its program, and clear up."""
    directory = find_trial(desired.unit)
    spec = replace(
        plan.spec,
        name=trial_of(desired.unit),
        mounts=(Mount(str(directory.path), "/work"),),
        network="none",
        restart="no",
    )
    trial = _Trial(engine, plan, spec, directory)
    try:
        engine.freeze(desired.name)
        plan.parent.settle(desired.config.cpu_policy)
        yield trial
    finally:
        end_trial(desired.unit, engine)


class _Trial:
    """A container beside the search's, with a directory of its own."""

    def __init__(self, engine: Engine, plan: Plan, spec: ContainerSpec, work: WorkDirectory):
        self._engine, self._plan, self._spec, self._work = engine, plan, spec, work
        self._told = time.monotonic()

    def start(self, assignments: tuple[Assignment, ...]) -> None:
        """Run the program on assignments, from their beginning."""
        adapter = self._plan.adapter
        settings = replace(
            self._plan.settings, work=assignments, checkpoint=_REPORTS, primenet=None, trial=True
        )
        self._engine.remove(self._spec.name)
        self._work.remove()
        self._work.make()
        adapter.prepare(self._work, settings)
        adapter.add_work(self._work, settings, running=False)
        self._engine.apply(self._spec)

    def inspect(self) -> Container:
        there = self._engine.inspect(self._spec.name)
        if there is None:
            raise TaskError(f"somebody removed the container {self._spec.name}")
        return there

    @property
    def has_ended(self) -> bool:
        return self.inspect().state != "running"

    def wait(self, left: float) -> None:
        time.sleep(max(min(_POLL, left), 0))

    def is_due(self) -> bool:
        """Return whether it is time to tell how it goes."""
        due = time.monotonic() - self._told >= _TELL
        if due:
            self._told = time.monotonic()
        return due

    def read_progress(self) -> Progress | None:
        log = read_log(self._engine, self._spec.name)
        return self._plan.adapter.read_progress(self._work, log)

    def read_results(self) -> Results:
        return self._plan.adapter.read_results(self._work)

    def last_line(self) -> str:
        log = read_log(self._engine, self._spec.name)
        return next((line[:120] for line in reversed(log) if line), "it wrote nothing")
