from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cosl import JujuTopology, LZMABase64

from cosagent.databag import DASHBOARDS, KEY, RULES, make_databag

TOPOLOGY = JujuTopology(
    model="m",
    model_uuid="00000000-0000-4000-8000-000000000001",
    application="fan",
    unit="fan/0",
    charm_name="fan",
)
RULE = """\
groups:
  - name: fan
    rules:
      - alert: FanDown
        expr: fan_up{%%juju_topology%%} == 0 and on (juju_unit) other{%%juju_topology%%} == 1
        labels:
          severity: critical
"""


@pytest.fixture
def charm(tmp_path: Path) -> Path:
    for folder in (DASHBOARDS, RULES):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / RULES / "fan.rules").write_text(RULE)
    (tmp_path / DASHBOARDS / "fan.json").write_text('{"title": "Fan", "panels": []}')
    return tmp_path


def read(charm: Path, port: int | None = 9635) -> dict[str, Any]:
    return json.loads(make_databag(TOPOLOGY, port, charm)[KEY])


def test_the_databag_has_what_the_interface_asks_for(charm: Path) -> None:
    found = read(charm)
    assert {name: type(value) for name, value in found.items()} == {
        "metrics_alert_rules": dict,
        "log_alert_rules": dict,
        "dashboards": list,
        "metrics_scrape_jobs": list,
        "log_slots": list,
    }
    (job,) = found["metrics_scrape_jobs"]
    assert job["static_configs"] == [{"targets": ["localhost:9635"]}]


def test_while_nothing_is_served_nothing_is_scraped(charm: Path) -> None:
    assert read(charm, None)["metrics_scrape_jobs"] == []


def test_a_rule_holds_for_this_application_alone(charm: Path) -> None:
    (group,) = read(charm)["metrics_alert_rules"]["groups"]
    (rule,) = group["rules"]
    assert "%%" not in rule["expr"]
    assert rule["expr"].count('juju_application="fan"') == 2
    assert rule["labels"]["juju_charm"] == "fan"


def test_rules_that_a_charm_writes_stand_beside_those_of_its_files(charm: Path) -> None:
    others = RULE.replace("FanDown", "FanLost").replace("name: fan", "name: others")
    groups = json.loads(make_databag(TOPOLOGY, None, charm, others)[KEY])["metrics_alert_rules"][
        "groups"
    ]
    assert [rule["alert"] for group in groups for rule in group["rules"]] == ["FanDown", "FanLost"]
    assert "%%" not in json.dumps(groups)


def test_a_dashboard_has_a_uid_of_its_own(charm: Path) -> None:
    (packed,) = read(charm)["dashboards"]
    dashboard = json.loads(LZMABase64.decompress(packed))
    assert len(dashboard.pop("uid")) == 40
    assert dashboard == {"title": "Fan", "panels": []}


def test_a_dashboard_that_a_charm_writes_stands_beside_those_of_its_files(charm: Path) -> None:
    databag = make_databag(TOPOLOGY, None, charm, dashboard='{"title": "Other", "panels": []}')
    found = [
        json.loads(LZMABase64.decompress(each)) for each in json.loads(databag[KEY])["dashboards"]
    ]
    assert [dashboard["title"] for dashboard in found] == ["Fan", "Other"]
    assert len({dashboard["uid"] for dashboard in found}) == 2


def test_what_stands_still_gives_the_same_databag(charm: Path) -> None:
    assert make_databag(TOPOLOGY, 9635, charm) == make_databag(TOPOLOGY, 9635, charm)
