"""What such charms say alike: the unit's status, and what the actions return."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from harvest.reconcile import Observed, Seen
from harvest.workload import Workload

_SCARCE = 10**9  # bytes that are left on a disk
_GREATEST_RESULT = 100_000  # bytes; Linux takes arguments of less than 128 KiB (execve(2))


def describe(seen: Seen[Any]) -> str:
    """Return where the work is, in one line, and then what is short."""
    if seen.space < _SCARCE:
        return f"{seen.report.text}; {seen.space // 10**6} MB left on its disk"
    return seen.report.text


def describe_pause(seen: Seen[Any]) -> str:
    """Return what an operator who paused the work should know, in one line."""
    return f"paused; {seen.report.paused}"


def choose_status(workload: Workload[Any, Any], observed: Observed[Any]) -> tuple[str, str]:
    """Return the status of a unit, by Juju's name for it, and what it says."""
    seen, noun = observed.seen, workload.noun
    if observed.problem:
        return "blocked", observed.problem
    if observed.worker:
        return "active", f"standby: {observed.worker} works on this machine"
    if seen is None and observed.held:
        return "maintenance", "paused; the action resume continues in a new container"
    if seen is None:
        return "waiting", f"the {noun}'s container is gone; the next hook makes a new one"
    report, state = seen.report, seen.container.state
    if seen.paused:
        return "maintenance", describe_pause(seen)
    if report.unsaved:
        return "blocked", f"{report.program} can't save its work: {report.unsaved}"
    if report.refused:
        return "blocked", report.refused
    if report.busy and state != "running":
        return "waiting", report.waiting or f"{report.program} is {state}: {seen.last_words}"
    return "active", describe(seen)


def describe_seconds(seconds: float) -> str:
    """Return a time span in the units that matter: 14 s, 3 min, 2 h 5 min, 3 d."""
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {rest} min" if rest else f"{hours} h"
    return f"{round(hours / 24)} d"


def list_logs(lines: Iterable[str]) -> dict[str, Any]:
    """Return the results of the action `logs`: the last lines, as many as Juju takes."""
    size, kept = 0, list[str]()
    for line in reversed([*lines]):
        size += len(line.encode()) + 1
        if size > _GREATEST_RESULT:
            break
        kept.append(line)
    return {"logs": "\n".join(reversed(kept))}


def list_adoption(adopted: str, former: str) -> dict[str, Any]:
    """Return the results of the action `adopt-work`."""
    return {"adopted": adopted, "former-work": former or "none"}
