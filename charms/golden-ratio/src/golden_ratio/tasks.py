"""What the charm's own actions do: tell of the digits, show them, and verify them again."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from dockerhost import Engine
from golden_ratio.computation import DIGITS_FILE, Computation, count_digits
from golden_ratio.workload import GOLDEN_RATIO, WRONG, Config, find_failure
from harvest.parameters import check_range
from harvest.tasks import TaskError, find_plan
from harvest.trial import trying
from harvest.workdir import WorkDirectory
from harvest.workload import Desired

# Dustin Kirkland, August 2015: 160 hours of one machine at $1.38, and half of the digits were new.
_ORIGIN = (
    "2,000,000,000,000 digits in 79 h, and 81 h to verify them: 12,500,000,000 record digits an "
    "hour, 4,500,000,000 record digits per dollar"
)


@dataclass(frozen=True)
class Range:
    """Which decimals to show; without a first one, the last ones. Raises ValueError."""

    first: int | None = None
    count: int = 100

    def __post_init__(self) -> None:
        check_range("count", self.count, 1, 10_000)
        check_range("first", 1 if self.first is None else self.first, 1, 10**10)


def list_progress(computation: Computation, work: WorkDirectory) -> dict[str, Any]:
    """Return the results of the action `progress`."""
    state = computation.state
    return {
        **(state.model_dump(by_alias=True, exclude_none=True) if state else {}),
        "message": computation.text,
        "digits": computation.wanted,
        "verified": computation.verified is not None,
        "file": str(work.path / DIGITS_FILE),
        "digits-in-file": computation.there,
    }


def list_report(computation: Computation, config: Config) -> dict[str, Any]:
    """Return the results of the action `report`. Raises TaskError if there is no speed yet."""
    if not (done := computation.verified) or not done.speed:
        raise TaskError(f"there is no speed to report: {computation.text}")
    hour, price = round(done.digits / done.seconds * 3600), config.price_per_hour
    results: dict[str, Any] = {"digits": done.digits, "seconds": done.seconds}
    results |= {"digits-per-second": done.speed, "digits-per-hour": hour, "in-2015": _ORIGIN}
    if price:
        results |= {"digits-per-currency-unit": round(hour / price), "currency": config.currency}
    return results


def find_digits(work: WorkDirectory, asked: Range) -> dict[str, Any]:
    """Return the results of the action `digits`. Raises TaskError and OSError."""
    there = _count_digits(work)
    first = asked.first or max(there - asked.count + 1, 1)
    count = asked.count if asked.first else min(asked.count, there)
    if (last := first + count - 1) > there:
        raise TaskError(f"parameter first: no {first:,} to {last:,}; there are {there:,} decimals")
    digits = work.read(DIGITS_FILE, count, len("1.") + first - 1)
    if not re.fullmatch(f"[0-9]{{{count}}}", digits):
        raise TaskError(f"{DIGITS_FILE} has no digits there; run the action verify")
    return {"first": first, "last": last, "of": there, "digits": digits}


def verify(desired: Desired[Config], report: Callable[[str], None]) -> int:
    """Verify the digits that are there, beside the frozen container, and return how many.

    Where one is wrong, a container that had ended starts again: it finds the same, sets the file
    aside, and computes the digits again.

    Raises:
        TaskError: a digit is wrong, or there are none, or they could not be verified.
        DockerHostError, NotInForceError, OSError: as for `trying`.
    """
    engine, unit = Engine(), desired.unit
    plan = find_plan(GOLDEN_RATIO, desired, engine)
    digits = _count_digits(unit.work)
    patience = 120 + digits / 20_000  # of a machine a hundred times slower than a core of today
    checking = replace(plan, spec=replace(plan.spec, command=("verify",)))
    with trying(desired, engine, checking) as trial:
        trial.start(lambda work: work.link(DIGITS_FILE, unit.work))
        code = trial.await_end(patience, lambda: report(f"verifying {digits:,} digits"))
        said = find_failure(trial.read_log())
    if code == WRONG and not unit.is_held(unit.find_container(engine)):
        engine.ensure(plan.spec)
        said += f"; they are computed again, and the file becomes {DIGITS_FILE}.bad"
    if code:
        raise TaskError(said)
    return digits


def _count_digits(work: WorkDirectory) -> int:
    if there := count_digits(work):
        return there
    raise TaskError("there are no digits yet; the action progress shows how far they are")
