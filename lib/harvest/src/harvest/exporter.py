"""Serves a unit's metrics: what a charm's src/exporter.py is for, which systemd runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from prometheus_client.core import Metric

from cosagent.serving import serve
from harvest.metrics import UnitCollector
from harvest.policy import Policy
from harvest.reconcile import Seen
from harvest.workload import D, Workload


def run(
    workload: Workload[Any, D], describe: Callable[[Seen[D]], Iterable[Metric]] = lambda _: ()
) -> NoReturn:
    """Serve until a signal ends it, and exit.

    Args:
        workload: what the charm runs.
        describe: makes the charm's own metrics of what was seen.
    """
    parser = argparse.ArgumentParser(description="Serve the metrics of a unit.")
    parser.add_argument("unit", help=f"such as {workload.name}/0")
    parser.add_argument("policy", type=Policy, help="how it competes for the processors")
    parser.add_argument("port", type=int, help="where to listen")
    given = parser.parse_args()
    sys.exit(serve(UnitCollector(workload, given.unit, given.policy, describe), given.port))
