"""The alerts and the dashboard of every charm on harvest, in that charm's words."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from harvest.observability import make_dashboard, make_rules
from harvest.options import Options
from harvest.workload import Workload
from lib.harvest.tests.unit.dashboards import check_dashboard, list_queries, read_panels

TOPOLOGY = "%%juju_topology%%"


class Digits(Workload[Options, None]):
    name = "golden-ratio"
    noun = "computation"


def read_rules() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load(make_rules(Digits()))["groups"]
    return group["rules"]


def test_alerts_and_metrics_have_the_charms_name() -> None:
    for rule in read_rules():
        assert rule["alert"].startswith("GoldenRatio")
        assert "golden_ratio_" in rule["expr"] or rule["expr"].startswith("up{")


def test_no_mark_is_left_but_the_one_that_tells_whose_metrics_they_are() -> None:
    for rule in read_rules():
        for text in (rule["expr"], *rule["annotations"].values()):
            assert "%%" not in text.replace(TOPOLOGY, "")
        assert rule["expr"].count("{") == rule["expr"].count(TOPOLOGY)


def test_each_alert_says_what_happened_and_what_to_do() -> None:
    rules = read_rules()
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 7
    for rule in rules:
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert "computation" in str(rule["annotations"]) or "juju_unit" in str(rule["annotations"])
        assert rule["annotations"]["summary"] != rule["annotations"]["description"]


OWN = {
    "title": "Digits",
    "panels": [
        {"id": 1, "type": "row", "title": "Digits", "gridPos": {"x": 0, "y": 0, "w": 24, "h": 1}},
        {
            "id": 2,
            "type": "stat",
            "title": "Digits",
            "gridPos": {"x": 0, "y": 1, "w": 6, "h": 4},
            "targets": [{"expr": "digits{%%units%%}"}, {"expr": "1 - digits{%%units%%}"}],
        },
    ],
}


def test_a_dashboard_asks_for_metrics_of_the_charms_name(tmp_path: Path) -> None:
    check_dashboard(Digits(), tmp_path)
    assert len(list_queries(Digits(), tmp_path)) >= 10
    assert all("golden_ratio_" in query for query in list_queries(Digits(), tmp_path))


def test_no_mark_is_left_in_a_dashboard(tmp_path: Path) -> None:
    text = make_dashboard(Digits(), tmp_path)
    assert "%%" not in text
    assert "Whether an operator has paused the computation." in text


def test_a_charms_own_panels_stand_below_the_first_row(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/panels.json").write_text(json.dumps(OWN))
    check_dashboard(Digits(), tmp_path)
    panels = read_panels(Digits(), tmp_path)
    rows = [panel["title"] for panel in panels if panel["type"] == "row"]
    assert rows == ["Now", "Digits", "What it takes"]
    dashboard = json.loads(make_dashboard(Digits(), tmp_path))
    assert dashboard["title"] == "Digits"
    assert dashboard["tags"] == ["charm: golden-ratio"]


def test_each_query_has_a_letter_and_the_source_that_is_selected(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src/panels.json").write_text(json.dumps(OWN))
    for panel in read_panels(Digits(), tmp_path):
        if targets := panel.get("targets"):
            assert [each["refId"] for each in targets] == ["A", "B"][: len(targets)]
            for each in (panel, *targets):
                assert each["datasource"] == {"type": "prometheus", "uid": "${prometheusds}"}
