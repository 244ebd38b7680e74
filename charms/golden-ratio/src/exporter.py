"""Serves the metrics of a unit's digits: what cosagent's service of systemd runs."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from golden_ratio.computation import Computation
from golden_ratio.workload import GOLDEN_RATIO, WRONG
from harvest import exporter
from harvest.metrics import gauge
from harvest.reconcile import Seen


def describe_digits(seen: Seen[Computation]) -> Iterator[Metric]:
    """Yield what is known of the digits."""
    verified = seen.report.details.verified
    yield gauge("golden_ratio_digits", "Decimals that are wanted.", seen.report.details.wanted)
    yield gauge("golden_ratio_verified", "Whether they are there, verified.", bool(verified))
    wrong = seen.container.state != "running" and seen.container.exit_code == WRONG
    yield gauge("golden_ratio_wrong", "Whether its last run found a wrong digit.", wrong)
    if verified and verified.speed:
        yield gauge("golden_ratio_digits_per_second", "How fast they came.", verified.speed)


if __name__ == "__main__":
    exporter.run(GOLDEN_RATIO, describe_digits)
