"""What a unit tells a collector over the interface `cos_agent`: what to scrape, when to alert,
what to show.

Follows version 0 in charm-relation-interfaces, as the charms grafana-agent and
opentelemetry-collector read it: one JSON text in the unit's databag.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pydantic
import yaml
from cosl import DashboardPath40UID, JujuTopology, LZMABase64
from cosl.rules import Rules

KEY = "config"
DASHBOARDS = "src/grafana_dashboards"
RULES = "src/prometheus_alert_rules"
_TOPOLOGY = "%%juju_topology%%"


class ProviderUnitData(pydantic.BaseModel):
    """The value of `config` in a unit's databag.

    Attributes:
        metrics_alert_rules: groups of rules, as Prometheus has them in a file.
        log_alert_rules: the same for Loki; there are none.
        dashboards: JSON for Grafana, each compressed with LZMA, in base64.
        metrics_scrape_jobs: as Prometheus has them under `scrape_configs`.
        log_slots: snaps that log; there are none.
    """

    metrics_alert_rules: dict[str, Any]
    log_alert_rules: dict[str, Any] = {}
    dashboards: list[str]
    metrics_scrape_jobs: list[dict[str, Any]]
    log_slots: list[str] = []


def make_databag(
    topology: JujuTopology, port: int | None, charm: Path, rules: str = "", dashboard: str = ""
) -> dict[str, str]:
    """Return what stands in the unit's databag; the same for the same arguments and files.

    Args:
        topology: where the unit is: its model, application and charm.
        port: where its metrics are on the loopback address; None while there are none.
        charm: the charm's directory.
        rules: alert rules beside those of the charm's own files, written as those are.
        dashboard: one beside those of the charm's own files, written as those are.

    Raises:
        OSError: a file of the charm can't be read.
    """
    data = ProviderUnitData(
        metrics_alert_rules=_read_rules(topology, charm / RULES, rules),
        dashboards=[
            _make_dashboard(topology, place, text)
            for place, text in _read_dashboards(charm, dashboard).items()
        ],
        metrics_scrape_jobs=[_make_job(topology, port)] if port else [],
    )
    return {KEY: data.model_dump_json()}


def _make_job(topology: JujuTopology, port: int) -> dict[str, Any]:
    # The collector adds the labels that say where the unit is.
    return {
        "job_name": f"{topology.application}_metrics",
        "metrics_path": "/metrics",
        "static_configs": [{"targets": [f"localhost:{port}"]}],
    }


def _read_rules(topology: JujuTopology, folder: Path, others: str) -> dict[str, Any]:
    rules = Rules("promql", topology)
    files = [file.read_text() for file in sorted(folder.glob("*.rules"))]
    for written in [*files, *filter(None, [others])]:
        # cosl drops the mark where its binary is not at hand, and the rule would hold for all.
        text = written.replace(_TOPOLOGY, topology.alert_expression_str)
        rules.add(yaml.safe_load(text), group_name_prefix=topology.identifier)
    return rules.as_dict()


def _read_dashboards(charm: Path, other: str) -> dict[str, str]:
    """Return dashboards by their places in the charm; one that is in no file has none."""
    files = sorted((charm / DASHBOARDS).glob("*.json"))
    found = {str(file.relative_to(charm)): file.read_text() for file in files}
    return {**found, "": other} if other else found


def _make_dashboard(topology: JujuTopology, place: str, text: str) -> str:
    dashboard = json.loads(text)
    # Grafana takes dashboards of one uid for the same, from whatever unit they come.
    dashboard["uid"] = DashboardPath40UID.generate(topology.charm_name or "", place)
    return LZMABase64.compress(json.dumps(dashboard, sort_keys=True))
