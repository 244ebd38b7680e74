"""What the charm says about a search: the unit's status, and what the actions return."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from harvest.texts import describe_seconds
from mprime.engines import Progress, Results, Search, Task

if TYPE_CHECKING:  # it reads this module's texts itself
    from mprime.tasks import Measured, Ordered, Tested

_NAMED = 5  # primes in a status
_LISTED = 1000  # results of each kind in an action; as many fit in what Juju takes


def describe_search(search: Search) -> str:
    """Return a search in one line: what it found first, then where it is."""
    if search.progress is None:
        idle = "waits for PrimeNet to hand out work" if search.asks else "out of work"
        text = f"{idle}; {_count_found(search.results)}"
    else:
        text = f"{_format_found(search.results)}{describe_progress(search.progress)}"
    if search.out_of_reach:
        text += f"; PrimeNet has been out of reach since {search.out_of_reach}"
    return text


def _format_found(results: Results) -> str:
    text = ""
    for found, one, many in (
        (results.primes, "is prime", "are prime"),
        (results.probable, "is a probable prime", "are probable primes"),
    ):
        if found:
            text += f"{_name_some(found)} {one if len(found) == 1 else many}; "
    return text


def _count_found(results: Results) -> str:
    texts: list[str] = []
    for found, what in ((results.primes, "prime"), (results.probable, "probable prime")):
        if found:
            texts.append(f"{len(found)} {what}{'s' * (len(found) > 1)} found: {_name_some(found)}")
    return "; ".join(texts) or "no prime found"


def describe_pause(search: Search) -> str:
    """Return what an operator who paused a search should know, in one line."""
    if search.progress is None:
        return "out of work"
    where = describe_progress(replace(search.progress, ms_per_iteration=None))
    return f"run the action resume to continue with {where}"


def describe_progress(progress: Progress) -> str:
    """Return where the work on a number is, such as `M110503: 42.1 %, 14 s left` or
    `M900000011: trial factoring to 2^66, 9.4 %`.
    """
    parts: list[str] = []
    if progress.task is not Task.TEST:
        parts.append(f"{progress.task.value} {progress.step}".rstrip())
    if progress.iterations:
        parts.append(f"{progress.percent:.1f} %")
    if progress.seconds_left is not None:
        parts.append(f"{describe_seconds(progress.seconds_left)} left")
    return f"M{progress.exponent}: {', '.join(parts)}"


def list_progress(progress: Progress | None) -> dict[str, Any]:
    """Return the results of the action `progress`."""
    if progress is None:
        return {"message": "out of work"}
    results: dict[str, Any] = {"exponent": progress.exponent}
    if progress.task is not Task.TEST:
        results["task"] = f"{progress.task.value} {progress.step}".rstrip()
    if progress.iterations:
        results["percent"] = round(progress.percent, 2)
    if progress.task is Task.TEST:
        results |= {"iteration": progress.iteration, "iterations": progress.iterations}
    if progress.ms_per_iteration is not None and progress.seconds_left is not None:
        results["ms-per-iteration"] = progress.ms_per_iteration
        results["seconds-left"] = round(progress.seconds_left)
    return results


def list_results(results: Results) -> dict[str, Any]:
    """Return the results of the action `results`: as text, which Juju takes, and as JSON.

    Of each kind the 1000 greatest are listed, with the number of those left out.
    """
    kinds = vars(results)
    shown = Results(**{name: found[-_LISTED:] for name, found in kinds.items()})
    composites = [
        f"M{c.exponent} {c.residue or (c.factor and f'has the factor {c.factor}')}".rstrip()
        for c in shown.composites
    ]
    listed = {
        "primes": _name_all(shown.primes, "none yet"),
        "probable-primes": _name_all(shown.probable, "none yet"),
        "no-factor-found": _name_all(shown.unfactored, "none yet"),
        "composites": ", ".join(composites) or "none yet",
        "json": json.dumps(asdict(shown), separators=(",", ":")),
    }
    omitted = sum(max(len(found) - _LISTED, 0) for found in kinds.values())
    return {**listed, "not-listed": omitted} if omitted else listed


def list_ordered(ordered: Ordered) -> dict[str, Any]:
    """Return the results of the action `add-work`."""
    return {"added": _name_all(ordered.added), "known": _name_all(ordered.known)}


def list_benchmark(measured: Measured) -> dict[str, Any]:
    """Return the results of the action `benchmark`."""
    return {
        "engine": measured.engine,
        "exponent": measured.exponent,
        "ms-per-iteration": measured.ms_per_iteration,
        "iterations-per-second": round(1000 / measured.ms_per_iteration, 2),
    }


def list_stress_test(tested: Tested) -> dict[str, Any]:
    """Return the results of the action `stress-test`."""
    return {"engine": tested.engine, "tests": tested.tests, "errors": len(tested.errors)}


def describe_errors(tested: Tested) -> str:
    """Return what a stress test found wrong, in one line."""
    return (
        f"{len(tested.errors)} errors in {tested.tests} tests: {'; '.join(tested.errors[:3])}; "
        "don't trust this machine's processor or memory"
    )


def _name_some(exponents: tuple[int, ...]) -> str:
    """Name the greatest, and count the others."""
    named = ", ".join(f"M{exponent}" for exponent in exponents[-_NAMED:])
    others = len(exponents) - _NAMED
    return f"{named} and {others} more" if others > 0 else named


def _name_all(exponents: tuple[int, ...], none: str = "none") -> str:
    return ", ".join(f"M{exponent}" for exponent in exponents) or none
