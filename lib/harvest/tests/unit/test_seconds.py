from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest.texts import describe_seconds


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
