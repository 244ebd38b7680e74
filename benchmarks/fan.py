"""The fan beside other ways to join containers of two machines, and what it costs a host."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterator
from typing import Any

from benchmarks import fan_host
from benchmarks.fan_ways import (
    AGAIN,
    FAN,
    MESSAGE,
    ROUTED,
    SWARM,
    VXLAN,
    WAYS,
    Ways,
    make_ways,
    run_on,
)
from benchmarks.figures import Figure, Outcome, Panel
from tools.instance import own_instance

# What is measured of each way: its name, its unit, and what its values are divided by for that.
METRICS = {
    "one": ("one TCP stream", "Gbit/s", 1.0),
    "eight": ("eight TCP streams", "Gbit/s", 1.0),
    "datagrams": (f"{MESSAGE}-byte datagrams", "1000/s", 1000.0),
    "round-trip": ("request and answer", "µs", 1.0),
}
# What one stream must have of what other ways have.
STREAM_BARS = {SWARM: 1.05, VXLAN: 1.0, ROUTED: 0.8}
# How often each way is measured in a round. The median counts, since for seconds at a time the
# machine may be slower than else.
TURNS = 3
# A noise above that leaves nothing to be told.
MOST_NOISE = 0.1

# All that was found of each way in each round.
Rounds = list[dict[str, dict[str, float]]]


def measure(rounds: int, report: Callable[[str], None]) -> Outcome:
    """Measure in a local model of its own, and in network namespaces; about twenty minutes."""
    report("making a local model")
    with own_instance("localmodel-bench"), make_ways(report) as ways:
        circumstances = describe(ways)
        samples = list(measure_rounds(ways, rounds, report))
    return judge(samples, circumstances, rounds, report)


def judge(
    samples: Rounds, circumstances: dict[str, Any], rounds: int, report: Callable[[str], None]
) -> Outcome:
    """Measure what a host has of it, now that the machines are gone, and judge all."""
    memory = fan_host.measure_memory(rounds, report)
    seconds = fan_host.time_fanctl(4 * rounds, report)
    scale = fan_host.measure_scale(rounds, report)
    figures = (
        *list_values(samples),
        *judge_noise(samples),
        *judge_ways(samples),
        *fan_host.judge_scale(scale),
        *fan_host.judge_fanctl(seconds),
        *fan_host.judge_memory(memory),
    )
    details = {
        "circumstances": circumstances,
        "rounds": samples,
        "scale": scale,
        "fanctl-up": seconds,
        "memory": memory,
    }
    return Outcome(figures, details, (*make_panels(samples), fan_host.make_scale_panel(scale)))


def measure_rounds(ways: Ways, rounds: int, report: Callable[[str], None]) -> Iterator[Any]:
    """Measure every way in each round, each time beginning with another, and the fan twice.

    What is compared is measured within seconds, since a machine changes from minute to minute.
    """
    # The fan's two places are apart, and what is between them changes with the turns.
    order = [*WAYS, AGAIN]
    for number in range(rounds):
        found: dict[str, dict[str, list[float]]] = {
            name: {metric: [] for metric in METRICS} for name in order
        }
        for turn in range(TURNS):
            first = (number + 2 * turn) % len(order)
            for metric, (label, *_) in METRICS.items():
                report(f"between machines: round {number + 1} of {rounds}, {label}")
                for name in order[first:] + order[:first]:
                    way = FAN if name == AGAIN else name
                    found[name][metric].append(ways.measure(way, metric))
        yield {
            name: {metric: statistics.median(values) for metric, values in metrics.items()}
            for name, metrics in found.items()
        }


def compare(samples: Rounds, metric: str, way: str, other: str) -> tuple[float, ...]:
    """Return what a way has of what another has, in each round."""
    return tuple(found[way][metric] / found[other][metric] for found in samples)


def list_values(samples: Rounds) -> tuple[Figure, ...]:
    """Return what each way has, which no bar is for: it depends on the machine."""
    return tuple(
        Figure(f"{name}: {label}", unit, tuple(found[way][metric] / divisor for found in samples))
        for metric, (name, unit, divisor) in METRICS.items()
        for way, label in WAYS.items()
    )


def judge_noise(samples: Rounds) -> tuple[Figure, ...]:
    """Return how far two measurements of the fan in one round are apart."""
    return tuple(
        Figure(
            f"{name}: noise",
            "of the fan",
            tuple(abs(ratio - 1) for ratio in compare(samples, metric, AGAIN, FAN)),
            at_most=MOST_NOISE,
            consequence="the fan differs that much from itself, so no comparison tells much",
        )
        for metric, (name, _, _) in METRICS.items()
    )


def judge_ways(samples: Rounds) -> tuple[Figure, ...]:
    """Return the fan beside other ways.

    Where it must be no worse than another, it may be by as much as it differs from itself.
    """
    noise = {
        metric: statistics.median(figure.values)
        for metric, figure in zip(METRICS, judge_noise(samples), strict=True)
    }
    figures = []
    for metric, (name, _, _) in METRICS.items():
        for other in (SWARM, VXLAN, ROUTED):
            at_least = at_most = None
            if metric == "one":
                at_least = STREAM_BARS[other]
            elif metric == "datagrams" and other != ROUTED:
                at_least = 1 - noise[metric]
            elif metric == "round-trip" and other != ROUTED:
                at_most = 1 + noise[metric]
            values = compare(samples, metric, FAN, other)
            unit = f"x {WAYS[other]}"
            figures.append(Figure(f"{name}: fan", unit, values, at_most, at_least))
    return tuple(figures)


def make_panels(samples: Rounds) -> tuple[Panel, ...]:
    """Return the plot of what each way has."""
    return tuple(
        Panel(
            f"{name}, {unit}",
            {way: tuple(found[way][metric] / divisor for found in samples) for way in WAYS},
        )
        for metric, (name, unit, divisor) in METRICS.items()
    )


def describe(ways: Ways) -> dict[str, Any]:
    """Return under which circumstances it was measured."""
    return {
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "congestion-control": run_on(
            ways.juju, 0, "cat /proc/sys/net/ipv4/tcp_congestion_control"
        ).strip(),
        "engine": json.loads(run_on(ways.juju, 0, "docker version --format '{{json .Server}}'")),
        "bridge-nf-call-iptables": run_on(
            ways.juju, 0, "cat /proc/sys/net/bridge/bridge-nf-call-iptables || echo none"
        ).strip(),
    }
