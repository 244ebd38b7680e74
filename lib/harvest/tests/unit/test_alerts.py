"""The alerts of every charm on harvest, in that charm's words."""

from __future__ import annotations

from typing import Any

import yaml

from harvest.alerts import make_rules
from harvest.options import Options
from harvest.workload import Workload

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
