from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines import Progress, Results
from mprime import Search
from texts import describe_search, describe_seconds, list_progress


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (14.4, "14 s"),
        (91, "91 s"),
        (119.4, "119 s"),
        (119.6, "2 min"),
        (180, "3 min"),
        (3569, "59 min"),
        (3570, "1 h"),
        (7500, "2 h 5 min"),
        (171_000, "47 h 30 min"),
        (172_800, "2 d"),
        (260_000, "3 d"),
    ],
)
def test_a_time_span_is_told_in_the_units_that_matter(seconds: float, text: str) -> None:
    assert describe_seconds(seconds) == text


@given(st.floats(0, 1e12))
def test_any_time_span_is_short(seconds: float) -> None:
    assert 3 <= len(describe_seconds(seconds)) <= 12


def search(progress: Progress | None, *primes: int) -> Search:
    return Search("mlucas", "20.1.1", "running", progress, Results(primes))


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (search(Progress(110503, 0, 110501)), "M110503: 0.0 %"),
        (search(Progress(110503, 46500, 110501, 0.21)), "M110503: 42.1 %, 13 s left"),
        (
            search(Progress(216091, 6483, 216089, 0.434), 110503),
            "M110503 is prime; M216091: 3.0 %, 91 s left",
        ),
        (
            search(Progress(756839, 0, 756837), 110503, 216091),
            "M110503, M216091 are prime; M756839: 0.0 %",
        ),
        (search(None), "out of work; no prime found"),
        (search(None, 110503), "out of work; 1 prime found: M110503"),
        (
            search(None, 110503, 216091),
            "out of work; 2 primes found: M110503, M216091",
        ),
    ],
)
def test_a_search_is_told_in_one_line(found: Search, text: str) -> None:
    assert describe_search(found) == text


def test_progress_without_a_speed_promises_no_end() -> None:
    assert list_progress(Progress(110503, 0, 110501)) == {
        "exponent": 110503,
        "percent": 0.0,
        "iteration": 0,
        "iterations": 110501,
    }
