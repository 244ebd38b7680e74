"""The parameters of the charm's own actions; what is wrong is a ValueError that names it."""

from __future__ import annotations

from dataclasses import dataclass

from harvest.parameters import check_range
from mprime.assignments import Assignment, Kind, parse_exponents


@dataclass(frozen=True)
class AddWork:
    """What to test besides: exponents, such as `M216091,756839`, and by which test."""

    exponents: str
    type: str = Kind.LL.value

    def __post_init__(self) -> None:
        """Check it. Raises ValueError."""
        kinds = [kind.value for kind in Kind]
        if self.type not in kinds:
            raise ValueError(f"parameter type: {self.type!r} is not one of: {', '.join(kinds)}")
        if not self.work:
            raise ValueError("parameter exponents: names none")

    @property
    def work(self) -> tuple[Assignment, ...]:
        """What was asked for. Raises ValueError."""
        try:
            exponents = parse_exponents(self.exponents)
        except ValueError as error:
            raise ValueError(f"parameter exponents: {error}") from error
        return tuple(Assignment(exponent, Kind(self.type)) for exponent in exponents)


@dataclass(frozen=True)
class Benchmark:
    """How long to measure, in seconds."""

    seconds: int = 30

    def __post_init__(self) -> None:
        """Check it. Raises ValueError."""
        check_range("seconds", self.seconds, 5, 3600)


@dataclass(frozen=True)
class StressTest:
    """How long to test the machine, in minutes."""

    minutes: float = 10

    def __post_init__(self) -> None:
        """Check it. Raises ValueError."""
        check_range("minutes", self.minutes, 0.1, 1440)
