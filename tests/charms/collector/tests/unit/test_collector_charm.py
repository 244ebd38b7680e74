from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cosl import LZMABase64
from ops import testing

from tests.charms.load import load_charm

charm = load_charm("collector")
TOLD = {
    "metrics_scrape_jobs": [{"static_configs": [{"targets": ["localhost:9634"]}]}],
    "metrics_alert_rules": {"groups": [{"name": "a", "rules": []}]},
    "dashboards": [LZMABase64.compress('{"title": "search"}')],
}
BESIDE = testing.SubordinateRelation(
    "cos-agent", remote_app_name="mprime", remote_unit_data={"config": json.dumps(TOLD)}
)


class Machine:
    """Stands in for the module `collector`: what Prometheus was told, and what fails."""

    CollectorError = charm.collector.CollectorError
    TRACES_PORT = charm.collector.TRACES_PORT
    broken = ""

    def __init__(self) -> None:
        self.told: tuple[Any, ...] = ()
        self.tls = False

    def find_address(self) -> str:
        return "172.30.0.2"

    def ensure_certificate(self, address: str) -> str:
        return f"certificate of {address}"

    def install(self, _: Path, *, tls: bool) -> None:
        if self.broken:
            raise self.CollectorError(self.broken)
        self.tls = tls

    def configure(self, *told: Any) -> None:
        self.told = told

    def remove(self) -> None:
        self.told = ()


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(charm, "collector", machine)
    return machine


@pytest.fixture
def context() -> testing.Context[Any]:
    return testing.Context(charm.CollectorCharm)


def test_prometheus_gets_the_jobs_labelled_the_rules_and_the_dashboards(
    machine: Machine, context: testing.Context[Any]
) -> None:
    state = testing.State(relations={BESIDE}, model=testing.Model("prime"))
    state = context.run(context.on.relation_changed(BESIDE), state)
    (job,), rules, dashboards = machine.told
    labels = job["static_configs"][0]["labels"]
    assert (labels["juju_model"], labels["juju_unit"]) == ("prime", "mprime/0")
    assert rules == TOLD["metrics_alert_rules"]
    assert dashboards == ['{"title": "search"}']
    assert state.unit_status == testing.ActiveStatus()


def test_prometheus_forgets_what_left(machine: Machine, context: testing.Context[Any]) -> None:
    context.run(context.on.relation_broken(BESIDE), testing.State(relations={BESIDE}))
    assert machine.told == ([], {"groups": []}, [])


def test_a_failure_shows_in_the_status(machine: Machine, context: testing.Context[Any]) -> None:
    machine.broken = "apt failed"
    state = context.run(context.on.install(), testing.State())
    assert state.unit_status == testing.BlockedStatus("apt failed")


def test_whoever_wants_to_send_traces_is_told_where(
    machine: Machine, context: testing.Context[Any]
) -> None:
    relation = testing.Relation("tracing")
    state = testing.State(relations={relation}, leader=True)
    state = context.run(context.on.relation_created(relation), state)
    (offered,) = json.loads(state.get_relation(relation.id).local_app_data["receivers"])
    assert offered["url"] == "http://172.30.0.2:4318"
    assert not machine.tls


def test_with_tls_whoever_is_to_trust_the_receiver_gets_its_certificate(
    machine: Machine, context: testing.Context[Any]
) -> None:
    sender, truster = testing.Relation("tracing"), testing.Relation("send-ca-cert")
    state = testing.State(relations={sender, truster}, config={"tls": True}, leader=True)
    state = context.run(context.on.relation_created(truster), state)
    (offered,) = json.loads(state.get_relation(sender.id).local_app_data["receivers"])
    assert offered["url"] == "https://172.30.0.2:4318"
    given = json.loads(state.get_relation(truster.id).local_app_data["certificates"])
    assert given == ["certificate of 172.30.0.2"]
    assert machine.tls
