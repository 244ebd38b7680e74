from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harvest import limits
from lib.harvest.tests.unit.fake_kernel import Kernel

CORES = st.frozensets(st.integers(0, 9999), max_size=40)


@given(CORES)
def test_a_list_of_cores_is_read_as_it_was_written(cores: frozenset[int]) -> None:
    assert limits.parse_cpuset(limits.format_cpuset(cores)) == cores


@pytest.mark.parametrize(
    ("text", "shortest"),
    [("", ""), (" ", ""), ("3", "3"), ("0,1", "0-1"), ("3, 0-1", "0-1,3"), ("1-3,2-5", "1-5")],
)
def test_one_set_of_cores_has_one_spelling(text: str, shortest: str) -> None:
    assert limits.format_cpuset(limits.parse_cpuset(text)) == shortest


@pytest.mark.parametrize("text", ["a", "1-", "-1", "3-1", "0,,1", "0-99999", "1.5", "٣", "0-1-2"])
def test_what_is_no_list_of_cores_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="give numbers and ranges: 0-1,3"):
        limits.parse_cpuset(text)


@given(st.text(alphabet="0123456789-, x"))
def test_any_text_is_a_list_of_cores_or_refused(text: str) -> None:
    try:
        cores = limits.parse_cpuset(text)
    except ValueError as error:
        assert repr(text) in str(error)
    else:
        assert all(0 <= core <= 9999 for core in cores)


@given(st.integers(6, 10**9), st.sampled_from([("M", 2**20), ("m", 2**20), ("G", 2**30)]))
def test_an_amount_of_memory_is_counted_in_powers_of_1024(
    number: int, unit: tuple[str, int]
) -> None:
    assert limits.parse_size(f"{number}{unit[0]}") == number * unit[1]


@pytest.mark.parametrize("text", ["256", "256MB", "-1M", "1.5G", "lots", "M", "9" * 13 + "G"])
def test_what_is_no_amount_of_memory_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match="256M"):
        limits.parse_size(text)


def test_less_memory_than_the_engine_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="6M or more"):
        limits.parse_size("6143K")
    assert limits.parse_size("6144K") == 6 * 2**20


def test_what_the_machine_has_not_is_told_option_by_option(kernel: Kernel) -> None:
    told = limits.explain_excess(4.5, 25 * 2**30, frozenset({3, 4, 5}), 1)
    assert told == (
        "option cpus: 4.5 is more than this machine has; give 0 for all, or 0.01 to 4; "
        "option memory-limit: 25600M is more than this machine has; give 24576M or less; "
        "option cpuset: this machine has no core 4-5; give some of 0-3"
    )


def test_what_the_machine_has_is_no_excess(kernel: Kernel) -> None:
    assert limits.explain_excess(4, 24 * 2**30, frozenset({0, 3}), 1) == ""
    assert limits.explain_excess(0, 0, frozenset(), 1) == ""


def test_where_the_groups_are_out_of_reach_the_processs_own_cores_count(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def deny(file: Path) -> str:
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr("hostkit.cgroups.read", deny)
    assert limits.read_cores(1) == frozenset(os.sched_getaffinity(0))
