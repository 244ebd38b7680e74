"""What a benchmark returns."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jubilant

# What a command or a probe on a machine ends a benchmark with.
TROUBLE = (jubilant.CLIError, jubilant.TaskError, jubilant.WaitError, TimeoutError)


class MeasureError(Exception):
    """Nothing sound could be measured; the text says why."""


class Report(Protocol):
    """Shows what goes on.

    Args:
        what: in words.
        part: how much is done, between 0 and 1, where a round has ended; None where none has.
    """

    def __call__(self, what: str, part: float | None = None) -> None: ...


def end_round(report: Report, what: str, number: int, rounds: int) -> None:
    """Report that a round has ended, the first one being number 0."""
    report(f"{what}: round {number + 1} of {rounds} is done", (number + 1) / rounds)


def explain(error: BaseException) -> str:
    """Return what went wrong, in one line."""
    said = getattr(error, "stderr", "") or str(error) or type(error).__name__
    return " ".join(said.split())


def show(value: float) -> str:
    """Return a figure as people read it: three digits of it, or all of those before the point."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


@dataclass(frozen=True)
class Figure:
    """One thing measured several times, and its bar: what its median must not pass.

    Attributes:
        at_most: the bar of what should be small; None if it may be anything.
        at_least: the bar of what should be large; None likewise.
        consequence: what it means if the bar is missed, where the name does not tell.
    """

    name: str
    unit: str
    values: tuple[float, ...]
    at_most: float | None = None
    at_least: float | None = None
    consequence: str = ""

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool:
        """Whether the bar holds; it does where there is none."""
        enough = self.at_least is None or self.median >= self.at_least
        return enough and (self.at_most is None or self.median <= self.at_most)

    @property
    def bar(self) -> str:
        """The bar in words; empty where there is none."""
        words = []
        if self.at_least is not None:
            words.append(f"at least {self.at_least:g} {self.unit}")
        if self.at_most is not None:
            words.append(f"at most {self.at_most:g} {self.unit}")
        return ", ".join(words)

    def summarize(self) -> str:
        """Return all that was found, in one line."""
        least, most = show(min(self.values)), show(max(self.values))
        spread = f" ({least} to {most}, {len(self.values)} runs)" if len(self.values) > 1 else ""
        bar = f"; {self.bar}: {'met' if self.is_met else 'MISSED'}" if self.bar else ""
        return f"{self.name}: {show(self.median)} {self.unit}{spread}{bar}"

    def explain_miss(self) -> str:
        """Return what was measured and what should have been, in one line."""
        text = f"missed: {self.name}: {show(self.median)} {self.unit}, {self.bar}"
        return f"{text}: {self.consequence}" if self.consequence else text

    def document(self) -> dict[str, Any]:
        """Return the figure for JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "values": list(self.values),
            "at-most": self.at_most,
            "at-least": self.at_least,
            "met": self.is_met,
        }


@dataclass(frozen=True)
class Panel:
    """A part of a plot: one thing, measured in several settings.

    Attributes:
        title: what was measured, with its unit.
        settings: the values by setting, in the order to show them.
        bar: the value that the bar stands at; None where there is none.
    """

    title: str
    settings: Mapping[str, tuple[float, ...]]
    bar: float | None = None


@dataclass(frozen=True)
class Outcome:
    """All that a benchmark found.

    Attributes:
        details: what else belongs into the JSON: circumstances and single measurements.
        panels: the plot; none if there is nothing to plot.
        failure: what ended it before its time; empty if nothing did.
    """

    figures: tuple[Figure, ...]
    details: Mapping[str, Any] = field(default_factory=dict)
    panels: tuple[Panel, ...] = ()
    failure: str = ""

    def document(self) -> dict[str, Any]:
        """Return all of it for JSON."""
        figures = [figure.document() for figure in self.figures]
        return {"figures": figures, "details": dict(self.details), "failure": self.failure}
