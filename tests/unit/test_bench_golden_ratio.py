from __future__ import annotations

from collections import Counter

import pytest

from benchmarks import golden_ratio
from benchmarks.figures import Figure, MeasureError
from benchmarks.golden_ratio import LARGEST, TURNS, Round, Run
from benchmarks.probes.golden import BARE, CONTAINER, GMP


class FakeMachine:
    """Computes in so many seconds, a tenth more in each turn."""

    def __init__(self, **digests: str):
        self.digests = digests
        self.computed: list[tuple[str, int]] = []

    def compute(self, way: str, digits: int) -> Run:
        self.computed.append((way, digits))
        seconds = 1 + len(self.computed) / 10
        digest = self.digests.get(way, str(digits))
        return {"seconds": seconds, "processor": seconds, "bytes": 0, "digest": digest}


def make_round(
    gmp: float = 10.0, container: float = 1.0, peak: float = 5.0, core: float = 1.0
) -> Round:
    """A round in which the bare program takes a second."""

    def run(seconds: float) -> Run:
        memory = int(peak * LARGEST)
        return {
            "seconds": seconds,
            "processor": seconds * core,
            "bytes": memory,
            "digest": "same",
        }

    return {
        digits: {GMP: [run(gmp)], BARE: [run(1.0)] * 3, CONTAINER: [run(container)] * 3}
        for digits in TURNS
    }


def find_missed(*rounds: Round) -> list[str]:
    figures: tuple[Figure, ...] = golden_ratio.judge(list(rounds))
    return [figure.name for figure in figures if not figure.is_met]


def test_each_way_has_its_turns_and_begins_as_often_as_any_other() -> None:
    machine = FakeMachine()
    rounds = list(golden_ratio.measure_rounds(machine, 3, lambda _: None))
    for found in rounds:
        for digits, turns in TURNS.items():
            assert len(found[digits][BARE]) == len(found[digits][CONTAINER]) == turns
            assert len(found[digits][GMP]) == (1 if digits == LARGEST else turns)
    smallest = [way for way, digits in machine.computed if digits == min(TURNS)]
    first = Counter(smallest[::3])
    assert len(first) == 3
    assert max(first.values()) == min(first.values())


def test_ways_that_have_other_digits_are_a_miss() -> None:
    machine = FakeMachine(gmp="others")
    with pytest.raises(MeasureError, match="1,000,000 digits differ from one way to another"):
        list(golden_ratio.measure_rounds(machine, 1, lambda _: None))


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        (make_round(), []),
        (make_round(gmp=3.9), ["100,000,000 digits"]),
        (make_round(container=1.03), ["in a container, 100,000,000 digits"]),
        (make_round(peak=12.1), ["memory, 100,000,000 digits"]),
        (make_round(core=0.8), ["GMP, 100,000,000 digits"]),
    ],
)
def test_what_is_too_slow_dear_or_large_and_a_machine_that_others_use_are_misses(
    found: Round, missed: list[str]
) -> None:
    assert find_missed(found) == missed


def test_one_slow_round_of_three_is_none() -> None:
    assert find_missed(make_round(), make_round(gmp=1.0, container=2.0), make_round()) == []


def test_every_way_is_plotted_for_every_number_of_digits() -> None:
    panels = golden_ratio.make_panels([make_round()])
    assert [panel.title for panel in panels] == [
        f"million digits/s, {digits:,} digits" for digits in TURNS
    ]
    assert all(len(panel.settings) == 3 for panel in panels)
    assert [panel.bar for panel in panels] == [None, None, pytest.approx(40)]
