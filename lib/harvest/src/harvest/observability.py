"""What all such charms give a collector: harvest.rules and dashboard.json, in a charm's own words.

The documentation imports this, too, and has none of the packages that harvest depends on.
"""

from __future__ import annotations

import json
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harvest.workload import Workload

_RULES = Path(__file__).with_name("harvest.rules")
_DASHBOARD = Path(__file__).with_name("dashboard.json")
_PANELS = "src/panels.json"
# What a query is limited to: what is selected at the top of the dashboard.
_UNITS = ", ".join(
    f'{label}=~"${label}"'
    for label in ("juju_model", "juju_model_uuid", "juju_application", "juju_unit")
)
_SOURCE = {"type": "prometheus", "uid": "${prometheusds}"}


def make_rules(workload: Workload[Any, Any]) -> str:
    """Return the rules for a charm, as Prometheus has them in a file. Raises OSError."""
    return _fill_in(_RULES.read_text(), workload)


def make_dashboard(workload: Workload[Any, Any], charm: Path) -> str:
    """Return the dashboard of a charm, as Grafana has it in a file.

    Below the first row of the panels that all such charms have stand the charm's own, if it has a
    file src/panels.json.

    Args:
        charm: the charm's directory.

    Raises:
        OSError: a file can't be read.
    """
    dashboard = _read(_DASHBOARD, workload)
    own = charm / _PANELS
    added: dict[str, Any] = _read(own, workload) if own.exists() else {"panels": []}
    panels, extra = dashboard["panels"], added["panels"]
    _, second, *_ = (panel["gridPos"]["y"] for panel in panels if panel["type"] == "row")
    height = max((each["gridPos"]["y"] + each["gridPos"]["h"] for each in extra), default=0)
    for panel in panels:
        panel["gridPos"]["y"] += height if panel["gridPos"]["y"] >= second else 0
    for panel in extra:
        panel["gridPos"]["y"] += second
    ordered = sorted(
        panels + extra, key=lambda panel: (panel["gridPos"]["y"], panel["gridPos"]["x"])
    )
    for panel in ordered:
        if targets := panel.get("targets"):
            panel["datasource"] = _SOURCE
            for letter, target in zip(ascii_uppercase, targets, strict=False):
                target.update(refId=letter, datasource=_SOURCE)
    return json.dumps({**dashboard, **added, "panels": ordered})


def _read(file: Path, workload: Workload[Any, Any]) -> dict[str, Any]:
    text = file.read_text().replace("%%units%%", json.dumps(_UNITS)[1:-1])
    return json.loads(_fill_in(text, workload))


def _fill_in(text: str, workload: Workload[Any, Any]) -> str:
    words = {
        "alert": "".join(word.capitalize() for word in workload.name.split("-")),
        "name": workload.name,
        "noun": workload.noun,
        "prefix": workload.prefix,
    }
    for mark, word in words.items():
        text = text.replace(f"%%{mark}%%", word)
    return text
