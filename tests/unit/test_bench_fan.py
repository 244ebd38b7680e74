from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import fan, fan_host
from benchmarks.fan_ways import (
    AGAIN,
    BARE,
    FAN,
    METRICS,
    ROUTED,
    SWARM,
    VXLAN,
    WAYS,
    Metric,
    Ways,
    read_datagrams,
    read_round_trip,
    read_streams,
)
from benchmarks.figures import Figure, MeasureError

MEMINFO = "MemFree: 9 kB\nSlab: 100 kB\nVmallocUsed: 20 kB\nPercpu: 3 kB\nHugePages_Total: 0\n"


# Rounds, and for each turn what was measured of which ways.
Measured = tuple[fan.Rounds, list[tuple[str, list[str]]]]


class FakeWays:
    """Remembers in which order it was measured, and grows faster from time to time."""

    def __init__(self) -> None:
        self.measured: list[tuple[str, list[str]]] = []

    def measure(self, ways: Sequence[str], metric: Metric) -> list[float]:
        self.measured.append((metric.name, list(ways)))
        return [float(len(self.measured) * (1 + list(WAYS).index(way))) for way in ways]


def make_samples(again: float = 1.0, **ways: float) -> fan.Rounds:
    """Five rounds in which the ways named differ from the rest in everything."""
    values = dict.fromkeys(WAYS, 1.0) | ways | {AGAIN: ways.get(FAN, 1.0) * again}
    return [{way: dict.fromkeys(METRICS, [value] * 3) for way, value in values.items()}] * 5


def find(figures: tuple[Figure, ...], name: str, unit: str = "") -> Figure:
    (found,) = (f for f in figures if f.name == name and unit in f.unit)
    return found


@pytest.fixture(scope="module")
def measured() -> Measured:
    """Five rounds, and what was measured for them."""
    fake = FakeWays()
    return list(
        fan.measure_rounds(cast("Ways", fake), 5, lambda what, part=None: None)
    ), fake.measured


def test_every_round_measures_all_ways_in_every_turn_and_the_fan_twice(
    measured: Measured,
) -> None:
    rounds, turns = measured
    assert [set(found) for found in rounds] == [{*WAYS, AGAIN}] * 5
    for found in rounds:
        assert all(len(found[way][key]) == m.turns for way in found for key, m in METRICS.items())
    assert all(sorted(ways) == sorted([*WAYS, FAN]) for _, ways in turns)


def test_each_way_is_as_often_the_first_as_any_other_and_the_fan_twice_as_often(
    measured: Measured,
) -> None:
    _, turns = measured
    for metric in METRICS.values():
        first = Counter(ways[0] for name, ways in turns if name == metric.name)
        once = 5 * metric.turns / 6
        assert first == {way: 2 * once if way == FAN else once for way in WAYS}


def test_ways_are_compared_within_a_turn_however_much_the_machine_changes(
    measured: Measured,
) -> None:
    rounds, _ = measured
    assert len(set(fan.find_medians(rounds, "one", FAN))) == 5
    assert fan.compare(rounds, "one", FAN, BARE) == pytest.approx([3] * 5)
    assert fan.compare(rounds, "one", FAN, ROUTED) == pytest.approx([1.5] * 5)


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
    assert len(fan.list_values(samples)) == len(WAYS) * len(METRICS)
    assert [list(panel.settings) for panel in fan.make_panels(samples)] == [list(WAYS)] * 4


def test_what_the_programs_print_is_read() -> None:
    assert read_round_trip("26.311\n") == 26.311
    received = {"bits_per_second": 13.5e9}
    assert read_streams(json.dumps({"end": {"sum_received": received}})) == 13.5
    datagrams = {"packets": 65000, "lost_packets": 5000, "seconds": 0.5}
    assert read_datagrams(json.dumps({"end": {"sum": datagrams}})) == 120


@pytest.mark.parametrize("read", [read_streams, read_datagrams, read_round_trip])
@pytest.mark.parametrize(
    "said", ["Connection refused", '{"end": {}, "error": "Connection refused"}']
)
def test_a_program_that_measured_nothing_is_quoted(
    read: Callable[[str], float], said: str
) -> None:
    with pytest.raises(MeasureError, match="Connection refused"):
        read(said)


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
