from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import ops
import pytest
from cosl import JujuTopology, LZMABase64
from ops import testing

from charms.mprime.tests.unit.conftest import RELATION, SOURCE
from charms.mprime.tests.unit.fake_host import MLUCAS, Host
from cosagent.databag import KEY, make_databag
from harvest.metrics import UnitCollector
from harvest.observability import make_dashboard
from harvest.policy import Policy
from lib.cosagent.tests.unit.fixtures import TRACES, check_traced, traced
from lib.harvest.tests.unit.fake_kernel import Kernel
from mprime.metrics import describe_search
from mprime.search import SEARCH
from tests.charms.load import load_module

__all__ = ["traced"]

IMAGE = "172.30.0.3:5000/mlucas:1"
CHARM = SOURCE.parent
SERVICE = "mprime-0-metrics.service"
COLLECTOR = testing.Relation("cos-agent", remote_app_name="collector")
MODEL = testing.Model("prime", uuid="00000000-0000-4000-8000-000000000001")
Charm = testing.Context[ops.CharmBase]


@pytest.fixture
def topology() -> JujuTopology:
    return JujuTopology(
        model="prime",
        model_uuid="00000000-0000-4000-8000-000000000001",
        application="mprime",
        unit="mprime/0",
        charm_name="mprime",
    )


def read_config(databag: dict[str, str]) -> dict[str, Any]:
    return json.loads(databag[KEY])


def test_every_rule_in_the_databag_holds_for_this_application_alone(
    topology: JujuTopology,
) -> None:
    found = read_config(make_databag(topology, 9634, CHARM))
    (group,) = found["metrics_alert_rules"]["groups"]
    assert group["name"] == "prime_00000000_mprime_mprime_rules"
    for rule in group["rules"]:
        assert "%%" not in rule["expr"]
        assert rule["expr"].count("{") == rule["expr"].count('juju_application="mprime"')
        assert rule["labels"]["juju_model"] == "prime"
        assert rule["labels"]["juju_charm"] == "mprime"


@pytest.fixture
def change(context: Charm, host: Host, charm_folder: None) -> Callable[..., testing.State]:
    """Runs an event of mprime/0 with a collector beside it."""
    host.registry[IMAGE] = MLUCAS

    def change(
        event: str = "update_status",
        collector: testing.Relation | None = COLLECTOR,
        **config: Any,
    ) -> testing.State:
        relations = {RELATION, collector} if collector else {RELATION}
        state = testing.State(config={"image": IMAGE, **config}, relations=relations, model=MODEL)
        about = [collector] if event.startswith("relation") else []
        return context.run(getattr(context.on, event)(*about), state)

    return change


@pytest.fixture
def charm_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets the charm run from the repository."""
    monkeypatch.setattr(ops.CharmBase, "charm_dir", CHARM)


def test_the_dashboard_in_the_databag_is_the_charms_with_a_uid_of_its_own(
    change: Callable[..., testing.State],
) -> None:
    (relation,) = change().get_relations("cos-agent")
    (packed,) = read_config(dict(relation.local_unit_data))["dashboards"]
    dashboard = json.loads(LZMABase64.decompress(packed))
    assert len(dashboard.pop("uid")) == 40
    assert dashboard == json.loads(make_dashboard(SEARCH, CHARM))
    assert dashboard["title"] == "Mersenne prime search"


def read_jobs(state: testing.State) -> list[dict[str, Any]]:
    (relation,) = state.get_relations("cos-agent")
    return read_config(dict(relation.local_unit_data))["metrics_scrape_jobs"]


@pytest.mark.parametrize(
    "event", ["relation_created", "relation_joined", "relation_changed", "update_status"]
)
def test_with_a_collector_the_metrics_are_served_and_it_is_told_where(
    change: Callable[..., testing.State], kernel: Kernel, event: str
) -> None:
    state = change(event, **{"metrics-port": 9999})
    assert read_jobs(state)[0]["static_configs"][0]["targets"] == ["localhost:9999"]
    assert f"start {SERVICE}" in kernel.said
    assert "mprime/0 idle 9999" in (kernel.slices / SERVICE).read_text()


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"metrics-port": 9999}, "mprime/0 idle 9999"),
        ({"cpu-policy": "share"}, "mprime/0 share 9634"),
    ],
)
def test_another_port_or_policy_starts_the_service_anew(
    change: Callable[..., testing.State], kernel: Kernel, changed: dict[str, Any], told: str
) -> None:
    change()
    kernel.said.clear()
    change(**changed)
    assert [said for said in kernel.said if SERVICE in said] == [
        f"stop {SERVICE}",
        f"start {SERVICE}",
    ]
    assert f"exporter.py {told}\n" in (kernel.slices / SERVICE).read_text()


def test_the_exporter_takes_what_the_service_gives_it(
    change: Callable[..., testing.State], kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    change(**{"metrics-port": 9999, "cpu-policy": "share"})
    text = (kernel.slices / SERVICE).read_text()
    program, _, arguments = text.partition("ExecStart=")[2].splitlines()[0].partition(".py ")
    assert program.endswith("charms/mprime/src/exporter")
    served: list[tuple[UnitCollector, int]] = []
    exporter = load_module(CHARM, "exporter")
    monkeypatch.setattr("harvest.exporter.serve", lambda *given: served.append(given))
    monkeypatch.setattr("sys.argv", ["exporter.py", *arguments.split()])
    with pytest.raises(SystemExit):
        exporter.exporter.run(SEARCH, describe_search)
    ((collector, port),) = served
    assert (collector.unit.name, collector.policy, port) == ("mprime/0", Policy.SHARE, 9999)


def test_whoever_serves_the_metrics_can_read_every_file_and_has_no_other_right(
    change: Callable[..., testing.State], kernel: Kernel
) -> None:
    change()
    lines = (kernel.slices / SERVICE).read_text().splitlines()
    assert [line for line in lines if line.startswith("CapabilityBoundingSet")] == [
        "CapabilityBoundingSet=",
        "CapabilityBoundingSet=CAP_DAC_READ_SEARCH",
    ]


def test_without_a_collector_nothing_is_served(
    change: Callable[..., testing.State], kernel: Kernel
) -> None:
    change(collector=None)
    assert not (kernel.slices / SERVICE).exists()


def test_a_collector_that_knows_everything_is_told_nothing(
    change: Callable[..., testing.State], kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = change()
    (relation,) = first.get_relations("cos-agent")
    assert isinstance(relation, testing.Relation)
    kernel.said.clear()
    written: list[str] = []
    monkeypatch.setattr(
        ops.RelationDataContent, "__setitem__", lambda _, key, __: written.append(key)
    )
    change(collector=relation)
    assert (written, kernel.said) == ([], [])


def test_a_collector_that_goes_takes_the_service_along(
    change: Callable[..., testing.State], kernel: Kernel
) -> None:
    change()
    kernel.said.clear()
    change("relation_broken")
    assert kernel.said == [f"disable --now {SERVICE}", "daemon-reload"]


def test_a_collector_that_goes_while_an_option_is_wrong_takes_the_service_along(
    change: Callable[..., testing.State], kernel: Kernel
) -> None:
    change()
    change("relation_broken", **{"cpu-policy": "none"})
    assert not (kernel.slices / SERVICE).exists()


def test_a_unit_that_goes_takes_the_service_along(
    change: Callable[..., testing.State], kernel: Kernel
) -> None:
    change()
    change("stop")
    assert not (kernel.slices / SERVICE).exists()


def test_a_unit_that_stands_by_serves_nothing_and_has_its_alerts_and_dashboard(
    change: Callable[..., testing.State], host: Host, kernel: Kernel
) -> None:
    change()
    host.containers.clear()
    host.let_work("mprime/7")
    state = change()
    assert read_jobs(state) == []
    (relation,) = state.get_relations("cos-agent")
    found = read_config(dict(relation.local_unit_data))
    assert found["dashboards"]
    assert found["metrics_alert_rules"]["groups"]
    assert not (kernel.slices / SERVICE).exists()


def test_a_wrong_port_blocks_and_the_metrics_stay_where_they_were(
    change: Callable[..., testing.State], kernel: Kernel
) -> None:
    change()
    state = change(**{"metrics-port": 80})
    told = "option metrics-port: 80 is out of range; give 1024 to 65535"
    assert state.unit_status == testing.BlockedStatus(told)
    assert "mprime/0 idle 9634" in (kernel.slices / SERVICE).read_text()


def test_a_service_that_does_not_start_blocks_while_the_search_runs(
    change: Callable[..., testing.State],
    host: Host,
    kernel: Kernel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*words: str) -> str:
        if SERVICE not in words:
            return kernel.systemctl(*words)
        raise OSError(f"systemctl {' '.join(words)}: Job for {SERVICE} failed")

    monkeypatch.setattr("hostkit.systemd.call", refuse)
    state = change()
    assert isinstance(state.unit_status, testing.BlockedStatus)
    assert state.unit_status.message.startswith(
        "option metrics-port: nothing serves metrics on 9634: systemctl show"
    )
    assert host.containers["mprime-0"].state == "running"


def test_a_failing_service_stops_no_removal(
    change: Callable[..., testing.State], host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    change()
    monkeypatch.setattr(
        "cosagent.service.remove", lambda _: (_ for _ in ()).throw(OSError("refused"))
    )
    change("stop")
    assert host.containers == {}


# In what ops vendors.
@pytest.mark.filterwarnings("ignore::pydantic.warnings.PydanticDeprecationWarning")
def test_a_tracing_backend_is_asked_for_otlp_and_gets_the_traces(
    traced: list[str | None], context: Charm, host: Host, charm_folder: None
) -> None:
    host.registry[IMAGE] = MLUCAS
    state = testing.State(config={"image": IMAGE}, relations={RELATION, TRACES}, leader=True)
    state = context.run(context.on.relation_changed(TRACES), state)
    check_traced(context, state, traced)


def test_a_tracing_backend_that_goes_gets_no_more_traces(
    traced: list[str | None], context: Charm, host: Host, charm_folder: None
) -> None:
    state = testing.State(config={"image": IMAGE}, relations={RELATION, TRACES})
    context.run(context.on.relation_broken(TRACES), state)
    assert traced == [None]
