"""What every charm's dashboard is to be like."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from harvest.observability import make_dashboard
from harvest.workload import Workload

LABELS = ("juju_model", "juju_model_uuid", "juju_application", "juju_unit")


def read_panels(workload: Workload[Any, Any], charm: Path) -> list[dict[str, Any]]:
    """The panels of a charm's dashboard, with its rows."""
    return json.loads(make_dashboard(workload, charm))["panels"]


def list_queries(workload: Workload[Any, Any], charm: Path) -> list[str]:
    panels = read_panels(workload, charm)
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def list_metrics(workload: Workload[Any, Any], charm: Path) -> set[str]:
    """The metrics of the charm that its dashboard asks for."""
    text = " ".join(list_queries(workload, charm))
    return set(re.findall(rf"\b{workload.prefix}_\w+", text))


def check_dashboard(workload: Workload[Any, Any], charm: Path) -> None:
    """Each query is about what is selected; panels do not cover each other, and are told apart."""
    for query in list_queries(workload, charm):
        assert "{" in query
        assert query.count("{") == query.count(", ".join(f'{each}=~"${each}"' for each in LABELS))
    panels = read_panels(workload, charm)
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells: set[tuple[int, int]] = set()
    for place in (panel["gridPos"] for panel in panels):
        assert place["x"] + place["w"] <= 24
        covered = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & covered
        cells |= covered
    assert len({y for _, y in cells}) == max(y for _, y in cells) + 1
