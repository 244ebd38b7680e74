"""The fan beside other ways to join containers of two machines, and what it costs a host."""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks import fan_host
from benchmarks.fan_ways import (
    AGAIN,
    FAN,
    METRICS,
    ROUTED,
    SWARM,
    VXLAN,
    WAYS,
    Ways,
    own_ways,
    run_on,
)
from benchmarks.figures import Figure, Outcome, Panel, Report, end_round
from tools.instance import own_instance

# What one stream must have of what other ways have.
STREAM_BARS = {SWARM: 1.05, VXLAN: 1.0, ROUTED: 0.8}
# A noise above that leaves nothing to be told.
MOST_NOISE = 0.1

# What was found in each round: by way and metric, the value of each turn.
Rounds = list[dict[str, dict[str, list[float]]]]


def measure(rounds: int, report: Report) -> Outcome:
    """Measure in a local model of its own, and in network namespaces; in 15 minutes or so."""
    report("making a local model")
    with own_instance("localmodel-bench"), own_ways(report) as ways:
        circumstances = describe(ways)
        samples = list(measure_rounds(ways, rounds, report))
    return judge(samples, circumstances, rounds, report)


def judge(samples: Rounds, circumstances: dict[str, Any], rounds: int, report: Report) -> Outcome:
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


def measure_rounds(ways: Ways, rounds: int, report: Report) -> Iterator[Any]:
    """Measure every way in each round, each time beginning with another, and the fan twice.

    What is compared is measured within seconds, since a machine changes from minute to minute.
    """
    # The fan's two places are apart, and what is between them changes with the turns.
    order = [*WAYS, AGAIN]
    for number in range(rounds):
        found: dict[str, dict[str, list[float]]] = {way: {} for way in order}
        for key, metric in METRICS.items():
            for turn in range(metric.turns):
                report(
                    f"between machines: round {number + 1} of {rounds}, {metric.name},"
                    f" turn {turn + 1} of {metric.turns}"
                )
                first = (number + turn) % len(order)
                names = order[first:] + order[:first]
                values = ways.measure([FAN if n == AGAIN else n for n in names], metric)
                for name, value in zip(names, values, strict=True):
                    found[name].setdefault(key, []).append(value)
        end_round(report, "between machines", number, rounds)
        yield found


def find_medians(samples: Rounds, metric: str, way: str) -> tuple[float, ...]:
    """Return what a way has, as the median of the turns of each round."""
    return tuple(statistics.median(found[way][metric]) for found in samples)


def compare(samples: Rounds, metric: str, way: str, other: str) -> tuple[float, ...]:
    """Return what a way has of what another has in the same turn, as the median of each round."""
    return tuple(
        statistics.median(
            one / two for one, two in zip(found[way][metric], found[other][metric], strict=True)
        )
        for found in samples
    )


def list_values(samples: Rounds) -> tuple[Figure, ...]:
    """Return what each way has, which no bar is for: it depends on the machine."""
    return tuple(
        Figure(f"{metric.name}: {label}", metric.unit, find_medians(samples, key, way))
        for key, metric in METRICS.items()
        for way, label in WAYS.items()
    )


def judge_noise(samples: Rounds) -> tuple[Figure, ...]:
    """Return how far two measurements of the fan in one round are apart."""
    return tuple(
        Figure(
            f"{metric.name}: noise",
            "of the fan",
            tuple(abs(ratio - 1) for ratio in compare(samples, key, AGAIN, FAN)),
            at_most=MOST_NOISE,
            consequence="the fan differs that much from itself, so no comparison tells much",
        )
        for key, metric in METRICS.items()
    )


def judge_ways(samples: Rounds) -> tuple[Figure, ...]:
    """Return the fan beside other ways.

    Where it must be no worse than another, it may be by as much as it differs from itself.
    """
    noise = {key: figure.median for key, figure in zip(METRICS, judge_noise(samples), strict=True)}
    figures = []
    for key, metric in METRICS.items():
        for other in (SWARM, VXLAN, ROUTED):
            at_least = at_most = None
            if key == "one":
                at_least = STREAM_BARS[other]
            elif key == "datagrams" and other != ROUTED:
                at_least = 1 - noise[key]
            elif key == "round-trip" and other != ROUTED:
                at_most = 1 + noise[key]
            values = compare(samples, key, FAN, other)
            unit = f"x {WAYS[other]}"
            figures.append(Figure(f"{metric.name}: fan", unit, values, at_most, at_least))
    return tuple(figures)


def make_panels(samples: Rounds) -> tuple[Panel, ...]:
    """Return the plot of what each way has."""
    return tuple(
        Panel(
            f"{metric.name}, {metric.unit}",
            {way: find_medians(samples, key, way) for way in WAYS},
        )
        for key, metric in METRICS.items()
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
