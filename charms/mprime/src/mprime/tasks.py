"""What the charm's own actions do: order work, measure and test the machine.

Measuring and testing run the search's own program in a trial, while the search is frozen.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from dockerhost import Engine
from harvest.reconcile import Plan
from harvest.tasks import TaskError, find_plan
from harvest.trial import Trial, trying
from harvest.workdir import WorkDirectory
from harvest.workload import Desired
from mprime.assignments import Assignment, merge_work, read_orders, write_orders
from mprime.config import Config
from mprime.engines import Composite, Results
from mprime.search import ORDERS, SEARCH, SearchJob, declare_work

# What a stress test repeats: two exponents that each program finishes soon, and their outcomes.
# The residue is Mlucas's own, and the same on other machines.
_KNOWN = Results(primes=(110503,), composites=(Composite(110527, "DB43B1563828DEB6"),))
_REPORTS = 0.01  # minutes between two checkpoints, with which Mlucas reports, at most


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


def add_work(desired: Desired[Config], work: tuple[Assignment, ...]) -> Ordered:
    """Order that exponents be tested besides; the next reconcile lists them.

    Raises:
        TaskError: the program can't test one, or it is listed for another kind of test.
        DockerHostError: the engine does not answer.
        OSError: the orders can't be written.
    """
    adapter = _find_plan(desired, Engine())[1].adapter
    for problem in filter(None, map(adapter.explain_work, work)):
        raise TaskError(f"parameter exponents: {problem}")
    file = desired.unit.find_file(ORDERS)
    try:
        declared = declare_work(desired)
        merge_work(declared, work)
    except ValueError as error:
        raise TaskError(f"parameter type: {error}") from error
    directory = desired.unit.work
    known = {each.exponent for each in declared}
    known |= {*adapter.read_work(directory), *adapter.read_results(directory).exponents}
    new = [each for each in work if each.exponent not in known]
    if new:
        write_orders(file, (*read_orders(file), *new))
    return Ordered(
        added=tuple(each.exponent for each in new),
        known=tuple(each.exponent for each in work if each.exponent in known),
    )


def run_benchmark(
    desired: Desired[Config], seconds: float, report: Callable[[str], None]
) -> Measured:
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
    plan, job = _find_plan(desired, engine)
    progress = None
    with trying(desired, engine, plan) as trial:
        _start(trial, job, (Assignment(job.adapter.benchmark),))
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            trial.wait(left)
            progress = job.adapter.read_progress(trial.work, trial.read_log()) or progress
            if trial.has_ended:
                break
            if progress and progress.ms_per_iteration and trial.is_due():
                report(f"{progress.ms_per_iteration:g} ms/iteration, {left:.0f} s left")
        if progress is None or progress.ms_per_iteration is None:
            raise TaskError(
                f"{job.program} reported no speed within {seconds:g} s: "
                f"{trial.last_line()}; give more seconds"
            )
    return Measured(job.program, progress.exponent, progress.ms_per_iteration)


def run_stress_test(
    desired: Desired[Config], minutes: float, report: Callable[[str], None]
) -> Tested:
    """Test exponents with known outcomes over and over, and compare.

    Args:
        desired: the search, which is frozen meanwhile.
        minutes: how long.
        report: called with a short text now and then.

    Raises:
        TaskError, DockerHostError, NotInForceError, OSError: as for `run_benchmark`.
    """
    engine = Engine()
    plan, job = _find_plan(desired, engine)
    work = tuple(map(Assignment, sorted(_KNOWN.exponents)))
    deadline = time.monotonic() + minutes * 60
    tests, errors = 0, tuple[str, ...]()
    with trying(desired, engine, plan) as trial:
        while time.monotonic() < deadline:
            _start(trial, job, work)
            while not (ended := trial.has_ended) and (left := deadline - time.monotonic()) > 0:
                trial.wait(left)
                if trial.is_due():
                    report(f"{tests} tests done, {len(errors)} errors, {left / 60:.1f} min left")
            results = job.adapter.read_results(trial.work)
            tests += len(results.exponents)
            errors += _compare(results)
            if ended and len(results.exponents) < len(work):
                errors += (f"{job.program} ended early: {trial.last_line()}",)
                break
    return Tested(job.program, tests, errors)


def _find_plan(desired: Desired[Config], engine: Engine) -> tuple[Plan, SearchJob]:
    plan = find_plan(SEARCH, desired, engine)
    return plan, cast("SearchJob", plan.job)


def _start(trial: Trial, job: SearchJob, assignments: tuple[Assignment, ...]) -> None:
    """Run the program on assignments, from their beginning."""
    settings = replace(
        job.settings, work=assignments, checkpoint=_REPORTS, primenet=None, trial=True
    )

    def ensure_files(work: WorkDirectory) -> None:
        job.adapter.ensure_files(work, settings)
        job.adapter.add_work(work, settings, running=False)

    trial.start(ensure_files)


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
