from __future__ import annotations

from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import fan, fan_host
from benchmarks.fan_ways import AGAIN, BARE, FAN, ROUTED, SWARM, VXLAN, WAYS, Ways, read_sockperf
from benchmarks.figures import Figure, MeasureError

SOCKPERF = """\
sockperf: Summary: Round trip is 27.481 usec
sockperf: ---> <MAX> observation =  812.512
sockperf: ---> percentile 99.000 =   44.012
sockperf: ---> percentile 50.000 =   26.311
"""
MEMINFO = "MemFree: 9 kB\nSlab: 100 kB\nVmallocUsed: 20 kB\nPercpu: 3 kB\nHugePages_Total: 0\n"


class FakeWays:
    """Remembers in which order it was measured."""

    def __init__(self) -> None:
        self.measured: list[tuple[str, str]] = []

    def measure(self, way: str, metric: str) -> float:
        self.measured.append((metric, way))
        return float(len(self.measured))


def make_samples(again: float = 1.0, **ways: float) -> fan.Rounds:
    """Five rounds in which the ways named differ from the rest in everything."""
    values = dict.fromkeys(WAYS, 1.0) | ways | {AGAIN: ways.get(FAN, 1.0) * again}
    return [{way: dict.fromkeys(fan.METRICS, value) for way, value in values.items()}] * 5


def find(figures: tuple[Figure, ...], name: str, unit: str = "") -> Figure:
    (found,) = (f for f in figures if f.name == name and unit in f.unit)
    return found


def test_every_round_measures_all_ways_and_begins_with_another() -> None:
    fake = FakeWays()
    rounds = list(fan.measure_rounds(cast("Ways", fake), 5, lambda _: None))
    assert [set(found) for found in rounds] == [{*WAYS, AGAIN}] * 5
    once = len(WAYS) + 1
    every = once * len(fan.METRICS) * fan.TURNS
    assert len({way for _, way in fake.measured[::every]}) == 5
    assert fake.measured.count(("one", FAN)) == 2 * 5 * fan.TURNS


def test_one_thing_is_measured_of_all_ways_before_the_next_is() -> None:
    fake = FakeWays()
    list(fan.measure_rounds(cast("Ways", fake), 1, lambda _: None))
    once = len(WAYS) + 1
    for first in range(0, len(fake.measured), once):
        assert len({metric for metric, _ in fake.measured[first : first + once]}) == 1
        assert {way for _, way in fake.measured[first : first + once]} == {*WAYS}


def test_of_the_turns_in_a_round_the_median_counts() -> None:
    (found,) = fan.measure_rounds(cast("Ways", FakeWays()), 1, lambda _: None)
    later = (len(WAYS) + 1) * len(fan.METRICS)
    assert found[BARE]["one"] == pytest.approx(1 + later, abs=len(WAYS))  # not that of turn 1 or 3


@pytest.mark.parametrize(("way", "least"), [(SWARM, 1.05), (VXLAN, 1.0), (ROUTED, 0.8)])
def test_one_stream_must_have_its_part_of_each_other_way(way: str, least: float) -> None:
    for ratio in (least * 1.01, least * 0.99):
        figures = fan.judge_ways(make_samples(**{way: 1 / ratio}))
        assert find(figures, "one TCP stream: fan", WAYS[way]).is_met == (ratio > least)


@pytest.mark.parametrize("way", [SWARM, VXLAN])
@pytest.mark.parametrize("metric", ["64-byte datagrams: fan", "request and answer: fan"])
def test_the_fan_may_be_worse_than_an_overlay_by_its_own_noise_and_no_more(
    way: str, metric: str
) -> None:
    worse = 1.04 if "datagrams" in metric else 0.96
    for noise, met in ((1.05, True), (1.02, False)):
        figures = fan.judge_ways(make_samples(again=noise, **{way: worse}))
        assert find(figures, metric, WAYS[way]).is_met == met


def test_a_noise_that_hides_everything_is_a_miss() -> None:
    assert all(figure.is_met for figure in fan.judge_noise(make_samples(again=1.05)))
    assert not any(figure.is_met for figure in fan.judge_noise(make_samples(again=0.8)))


def test_every_way_is_shown_and_plotted_for_every_metric() -> None:
    samples = make_samples()
    assert len(fan.list_values(samples)) == len(WAYS) * len(fan.METRICS)
    assert [list(panel.settings) for panel in fan.make_panels(samples)] == [list(WAYS)] * 4


def test_the_median_round_trip_is_read() -> None:
    assert read_sockperf(SOCKPERF) == 26.311
    with pytest.raises(MeasureError, match="Connection refused"):
        read_sockperf("sockperf: ERROR: Connection refused")


@given(st.integers(2, 65534))
def test_the_underlay_has_room_for_the_hosts_and_no_bit_more(hosts: int) -> None:
    prefix = fan_host.choose_prefix(hosts)
    assert 2 ** (32 - prefix) - 2 >= hosts > 2 ** (31 - prefix) - 2
    assert fan_host.make_fan(hosts).mapping.underlay.prefixlen == prefix


@pytest.mark.parametrize("hosts", [2, 1024, 65534])
def test_the_static_vxlan_has_three_entries_for_each_peer(hosts: int) -> None:
    neighbours, entries = (text.splitlines() for text in fan_host.list_peers(hosts))
    assert len(neighbours) == 2 * (hosts - 1)
    assert len(entries) == hosts - 1
    assert len({*neighbours, *entries}) == 3 * (hosts - 1)
    assert not any(f"dst {fan_host.HOST}\n" in line for line in entries)


def test_the_kernels_own_memory_is_read_in_bytes() -> None:
    assert fan_host.read_memory(MEMINFO) == 123 * 1024
    with pytest.raises(MeasureError, match="Percpu"):
        fan_host.read_memory(MEMINFO.replace("Percpu", "Other"))


def make_joined(**largest: Any) -> fan_host.Joined:
    joined: fan_host.Joined = {
        "fan": {hosts: [(0.1, 37)] * 5 for hosts in fan_host.NETWORKS},
        "vxlan": {hosts: [(3.0, 3 * hosts)] * 5 for hosts in fan_host.VXLAN_NETWORKS},
    }
    joined["fan"][fan_host.MANY] = [largest.get("fan", (0.1, 37))] * 5
    return joined


@pytest.mark.parametrize(
    ("largest", "missed"),
    [
        ((0.11, 37), []),
        ((0.13, 37), ["fan, 65,534 hosts: time to join"]),
        ((0.1, 38), ["fan, 65,534 hosts: more than for 2"]),
    ],
)
def test_a_fan_that_grows_with_the_hosts_is_a_miss(
    largest: tuple[float, int], missed: list[str]
) -> None:
    figures = fan_host.judge_scale(make_joined(fan=largest))
    assert [figure.name for figure in figures if not figure.is_met] == missed


def test_a_slow_fanctl_and_a_large_fan_are_misses() -> None:
    assert fan_host.judge_fanctl([0.149, 0.149, 9.0])[0].is_met
    assert not fan_host.judge_fanctl([0.151])[0].is_met
    assert fan_host.judge_memory([999e3])[0].is_met
    assert not fan_host.judge_memory([1001e3])[0].is_met
