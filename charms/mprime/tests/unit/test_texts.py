from __future__ import annotations

from dataclasses import replace

import pytest

from mprime.engines import Composite, Progress, Results, Search, Task
from mprime.texts import (
    describe_progress,
    describe_search,
    list_progress,
    list_results,
)


def search(progress: Progress | None, *primes: int) -> Search:
    return Search(progress, Results(primes))


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


def test_a_probable_prime_is_not_told_as_a_prime() -> None:
    results = Results(primes=(110503,), probable=(216091, 756839))
    found = Search(Progress(859433, 0, 859433), results)
    assert describe_search(found) == (
        "M110503 is prime; M216091, M756839 are probable primes; M859433: 0.0 %"
    )
    idle = replace(found, progress=None, results=Results(probable=(216091,)))
    assert describe_search(idle) == "out of work; 1 probable prime found: M216091"


def test_factoring_is_told_with_its_own_progress() -> None:
    progress = Progress(1000003, 943, 10000, task=Task.TRIAL_FACTORING, step="to 2^61")
    assert describe_progress(progress) == "M1000003: trial factoring to 2^61, 9.4 %"
    assert list_progress(progress) == {
        "exponent": 1000003,
        "task": "trial factoring to 2^61",
        "percent": 9.43,
    }
    # Of this the program reports nothing that is known.
    assert describe_progress(Progress(1277, 0, 0, task=Task.ECM)) == "M1277: ECM factoring"


def test_results_are_listed_by_what_they_show() -> None:
    found = list_results(
        Results(
            primes=(110503,),
            composites=(Composite(11, "", "23"), Composite(110501, "1E62472A94D878B7")),
            probable=(216091,),
            unfactored=(900000011,),
        )
    )
    del found["json"]
    assert found == {
        "primes": "M110503",
        "probable-primes": "M216091",
        "composites": "M11 has the factor 23, M110501 1E62472A94D878B7",
        "no-factor-found": "M900000011",
    }
