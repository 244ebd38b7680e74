"""What a benchmark returns."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One thing measured several times, and the most that its median may be."""

    name: str
    unit: str
    values: tuple[float, ...]
    bar: float

    @property
    def median(self) -> float:
        """The figure to quote."""
        return statistics.median(self.values)

    @property
    def is_met(self) -> bool:
        """Whether the bar holds."""
        return self.median <= self.bar

    def document(self) -> dict[str, Any]:
        """Return the figure for JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "median": self.median,
            "values": list(self.values),
            "bar": self.bar,
            "met": self.is_met,
        }
