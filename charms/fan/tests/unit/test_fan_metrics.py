from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ops
import pytest
import yaml
from cosl import LZMABase64
from ops import testing
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric

import fannet
from charms.fan.tests.unit.conftest import SOURCE
from charms.fan.tests.unit.fake_host import Host
from charms.fan.tests.unit.test_fan_charm import PEERS, make_peer_data
from fan.claims import read_known_peers
from fan.metrics import FanCollector
from lib.cosagent.tests.unit.fixtures import TRACES, check_traced, traced

__all__ = ["traced"]

Context = testing.Context[ops.CharmBase]
COLLECTOR = testing.Relation("cos-agent", remote_app_name="collector")
SERVICE = "fan-0-metrics.service"
MODEL = testing.Model("m", uuid="00000000-0000-4000-8000-000000000001")


@pytest.fixture
def change(
    context: Context, host: Host, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., testing.State]:
    """Runs an event of fan/0 with a collector beside it, or one that has gone."""
    monkeypatch.setattr(ops.CharmBase, "charm_dir", SOURCE.parent)

    def change(
        event: str = "update_status",
        *,
        collector: bool = True,
        peers: dict[int, dict[str, str]] = PEERS,
        **config: int,
    ) -> testing.State:
        options = {name.replace("_", "-"): value for name, value in config.items()}
        relations = {testing.PeerRelation("hosts", peers_data={**peers})}
        state = testing.State(
            config={**options},
            relations={*relations, *([COLLECTOR] if collector else [])},
            model=MODEL,
        )
        about = [COLLECTOR] if event.startswith("relation") else []
        return context.run(getattr(context.on, event)(*about), state)

    return change


@pytest.fixture
def traffic(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the tunnel have carried something."""
    statistics = tmp_path / "net" / "fan-vx8472" / "statistics"
    statistics.mkdir(parents=True)
    for number, name in enumerate(("rx_bytes", "rx_packets", "tx_bytes", "tx_packets"), 1):
        (statistics / name).write_text(f"{number}\n")
    monkeypatch.setattr("fan.metrics._DEVICES", tmp_path / "net")


def read_metrics(host: Host) -> dict[str, dict[tuple[str, ...], float]]:
    """Return the samples that a scrape gets: by name, then by the values of their labels."""
    registry = CollectorRegistry()
    registry.register(FanCollector(host.system, "fan/0"))
    found: dict[str, dict[tuple[str, ...], float]] = {}
    metric: Metric
    for metric in registry.collect():
        for sample in metric.samples:
            found.setdefault(sample.name, {})[tuple(sample.labels.values())] = sample.value
    return found


def read_config(state: testing.State) -> dict[str, Any]:
    (relation,) = state.get_relations("cos-agent")
    return json.loads(relation.local_unit_data["config"])


@pytest.mark.parametrize(
    "event", ["relation_created", "relation_joined", "relation_changed", "update_status"]
)
def test_with_a_collector_the_metrics_are_served_and_it_is_told_where(
    change: Callable[..., testing.State], host: Host, event: str
) -> None:
    state = change(event, metrics_port=9999)
    (job,) = read_config(state)["metrics_scrape_jobs"]
    assert job["static_configs"] == [{"targets": ["localhost:9999"]}]
    assert f"start {SERVICE}" in host.did
    assert "/src/exporter.py fan/0 9999" in (host.units / SERVICE).read_text()


def test_without_a_collector_nothing_is_served(
    change: Callable[..., testing.State], host: Host
) -> None:
    change(collector=False)
    assert not (host.units / SERVICE).exists()


def test_a_service_that_runs_is_left_alone_unless_it_is_to_be_another(
    change: Callable[..., testing.State], host: Host
) -> None:
    change()
    host.did.clear()
    host.did.append(f"start {SERVICE}")
    change()
    assert host.did == [f"start {SERVICE}"]
    change(metrics_port=9999)
    assert host.did[1:] == [f"stop {SERVICE}", f"start {SERVICE}"]


@pytest.mark.parametrize("event", ["relation_broken", "stop"])
def test_the_service_goes_with_the_collector_and_with_the_unit(
    change: Callable[..., testing.State], host: Host, event: str
) -> None:
    change()
    change(event)
    assert not (host.units / SERVICE).exists()


def test_a_port_that_is_taken_blocks_by_name_while_the_fan_goes_on(
    change: Callable[..., testing.State], host: Host
) -> None:
    host.broken_service = SERVICE
    status = change().unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert status.message.startswith("option metrics-port: nothing serves metrics on 9635: ")
    assert host.fans


def test_whom_the_unit_knows_is_kept_for_the_scrapes(
    change: Callable[..., testing.State], host: Host
) -> None:
    change()
    known = read_known_peers("fan/0")
    assert [peer.unit for peer in known] == ["fan/1", "fan/2", "fan/3"]


def test_a_scrape_tells_of_the_fan_and_of_its_peers(
    change: Callable[..., testing.State], host: Host, traffic: None
) -> None:
    host.silent, host.drops = {"250.0.29.1"}, {"rx_source": 3}
    change(peers={**PEERS, 9: make_peer_data("172.30.0.28")})
    found = read_metrics(host)
    assert found["fan_up"] == {(): 1}
    assert found["fan_mtu_bytes"] == {(): 1450}
    assert list(found["fan_info"]) == [
        ("fan-250", "250.0.0.0/8", "250.0.28.0/24", "172.30.0.28/16")
    ]
    assert found["fan_drops_total"][("rx_source",)] == 3
    assert set(found["fan_drops_total"]) == {(reason,) for reason in fannet.DROPS}
    assert found["fan_sent_bytes_total"] == {(): 3}
    # The one with this machine's own address is known, and can't be asked.
    assert found["fan_peers"] == {(): 4}
    assert found["fan_peer_up"] == {("fan/1",): 1, ("fan/2",): 0, ("fan/3",): 1}
    assert found["fan_peer_round_trip_seconds"] == {("fan/1",): 0.0002, ("fan/3",): 0.0002}


def test_a_scrape_without_a_fan_says_so(host: Host) -> None:
    assert read_metrics(host) == {"fan_up": {(): 0}}


def test_a_scrape_while_the_kernel_can_not_be_read_says_so(
    change: Callable[..., testing.State], host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    change()

    def fail() -> None:
        raise fannet.KernelError("netlink: Operation not permitted")

    monkeypatch.setattr(host, "read", fail)
    assert read_metrics(host) == {"fan_up": {(): 0}}


def test_a_scrape_while_the_tunnel_is_gone_leaves_its_traffic_out(
    change: Callable[..., testing.State],
    host: Host,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("fan.metrics._DEVICES", tmp_path)
    change()
    assert "fan_sent_bytes_total" not in read_metrics(host)


def test_every_rule_and_every_panel_asks_for_metrics_that_there_are(
    change: Callable[..., testing.State], host: Host, traffic: None
) -> None:
    state = change()
    known = {*read_metrics(host), "up"}
    (group,) = read_config(state)["metrics_alert_rules"]["groups"]
    rules = yaml.safe_load((SOURCE / "prometheus_alert_rules" / "fan.rules").read_text())
    assert len(group["rules"]) == len(rules["groups"][0]["rules"])
    (packed,) = read_config(state)["dashboards"]
    dashboard = json.loads(LZMABase64.decompress(packed))
    asked = [rule["expr"] for rule in group["rules"]]
    for panel in dashboard["panels"]:
        asked += [target["expr"] for target in panel.get("targets", ())]
    for expression in asked:
        names = set(re.findall(r"\b([a-z_]+)\{", expression))
        assert names
        assert names <= known, expression
    used = set(re.findall(r"\bfan_[a-z_]+", " ".join(asked)))
    assert used == known - {"up"}


# In what ops vendors.
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
def test_a_tracing_backend_is_asked_for_otlp_and_gets_the_traces(
    traced: list[str | None], context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ops.CharmBase, "charm_dir", SOURCE.parent)
    state = testing.State(relations={TRACES}, leader=True)
    state = context.run(context.on.relation_changed(TRACES), state)
    check_traced(context, state, traced)
