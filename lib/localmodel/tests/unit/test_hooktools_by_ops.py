"""Every hook tool as ops itself calls it: only what ops runs as a process is answered here."""

from __future__ import annotations

import datetime
import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ops import hookcmds

from lib.localmodel.tests.unit.driver import World
from lib.localmodel.tests.unit.hooks import Running
from localmodel.operations.applications import attach_resource
from localmodel.state import Hook
from localmodel.tasks import Task

ACTION = Hook("publish", "action", context="token")


@contextmanager
def inside(running: Running) -> Iterator[None]:
    """Let ops' processes be answered by the tools of a running hook."""

    def run(argv: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
        assert (options.pop("capture_output"), options.pop("check")) == (True, True)
        assert options.pop("encoding") == "utf-8"
        answer = running.call(argv[0], *argv[1:], stdin=options.pop("input") or "")
        assert options == {}
        if answer.code:
            raise subprocess.CalledProcessError(answer.code, argv, answer.stdout, answer.stderr)
        return subprocess.CompletedProcess(argv, 0, answer.stdout, answer.stderr)

    with patch("ops.hookcmds._utils.subprocess.run", run):
        yield


@pytest.fixture
def leader(related: World) -> Iterator[Running]:
    running = Running(related, "web/0")
    with inside(running):
        yield running


@pytest.fixture
def action(related: World) -> Iterator[Task]:
    task = Task("1", "web/0", "publish", {"path": "/x", "tags": {"a": {"b": 1}}})
    with inside(Running(related, "web/0", ACTION, task)):
        yield task


def database(world: World) -> int:
    return next(r.id for r in world.model.relations_of("db"))


def cluster(world: World) -> int:
    return next(r.id for r in world.model.relations_of("web") if r.peer)


def test_every_function_of_ops_has_its_tool_tested_here() -> None:
    functions = {n for n in hookcmds.__all__ if n.islower()}
    text = Path(__file__).read_text()
    assert functions
    assert [n for n in sorted(functions) if f"hookcmds.{n}(" not in text] == []


def test_config_get(leader: Running) -> None:
    assert hookcmds.config_get() == {
        "title": "hello",
        "port": 80,
        "share": 0.5,
        "debug": False,
    }
    assert hookcmds.config_get("port") == 80
    assert hookcmds.config_get("motto") is None


def test_leadership(leader: Running) -> None:
    assert hookcmds.is_leader() is True
    with inside(Running(leader.world, "web/1")):
        assert hookcmds.is_leader() is False


def test_relations(leader: Running) -> None:
    number = database(leader.world)
    assert hookcmds.relation_ids("database") == [f"database:{number}"]
    assert hookcmds.relation_ids("site") == []
    for endpoint in (None, "database"):
        assert hookcmds.relation_list(number, endpoint=endpoint) == ["db/0"]
        assert hookcmds.relation_list(number, endpoint=endpoint, app=True) == "db"
        model = hookcmds.relation_model_get(number, endpoint=endpoint)
        assert model.uuid == leader.world.model.uuid
    assert hookcmds.relation_list(cluster(leader.world), endpoint="cluster") == ["web/1"]


def test_relation_data(leader: Running) -> None:
    number = database(leader.world)
    remote = hookcmds.relation_get(number, endpoint="database", unit="db/0")
    assert remote == {"ingress-address": "172.30.0.4", "egress-subnets": "172.30.0.4/32"}
    assert hookcmds.relation_get(number, key="ingress-address", unit="db/0") == "172.30.0.4"
    assert hookcmds.relation_get(number, key="nothing", unit="db/0") is None
    assert hookcmds.relation_get(number, unit="db", app=True) == {}
    hookcmds.relation_set({"a": "1", "ä 💡": "x\ny"}, number, endpoint="database")
    hookcmds.relation_set({"b": "2"}, number, endpoint="database", app=True)
    assert hookcmds.relation_get(number, unit="web/0")["ä 💡"] == "x\ny"
    assert hookcmds.relation_get(number, unit="web", app=True) == {"b": "2"}
    leader.end()
    relation = leader.world.model.relations[number]
    assert relation.bags["web/0"].data["a"] == "1"
    assert relation.bags["web"].data == {"b": "2"}


def test_relation_data_is_removed_by_an_empty_value(leader: Running) -> None:
    number = database(leader.world)
    hookcmds.relation_set({"a": "1", "b": "2"}, number)
    hookcmds.relation_set({"a": ""}, number)
    leader.end()
    assert "a" not in leader.world.model.relations[number].bags["web/0"].data
    assert leader.world.model.relations[number].bags["web/0"].data["b"] == "2"


@settings(
    max_examples=40,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.dictionaries(st.text(min_size=1), st.text(min_size=1), max_size=4))
def test_any_text_survives_relation_set_and_state_set(
    related: World, data: dict[str, str]
) -> None:
    running = Running(related, "web/1")
    number = database(related)
    with inside(running):
        hookcmds.relation_set(data, number)
        found = hookcmds.relation_get(number, unit="web/1")
        assert {k: found[k] for k in data} == data
        hookcmds.state_set(data)
        assert hookcmds.state_get(None) == data


def test_network(leader: Running) -> None:
    for number in (None, database(leader.world)):
        network = hookcmds.network_get("database", relation_id=number)
        (bind,) = network.bind_addresses
        (address,) = bind.addresses
        assert (bind.interface_name, address.value) == ("host0", "172.30.0.2")
        assert address.cidr == "172.30.0.0/16"
        assert list(network.egress_subnets) == ["172.30.0.2/32"]
        assert list(network.ingress_addresses) == ["172.30.0.2"]


def test_unit_status(leader: Running) -> None:
    hookcmds.status_set("blocked", "--no image: pull it")
    found = hookcmds.status_get()
    assert (found.status, found.message, found.status_data) == (
        "blocked",
        "--no image: pull it",
        {},
    )
    hookcmds.status_set("active")
    assert hookcmds.status_get().message == ""


def test_application_status(leader: Running) -> None:
    hookcmds.status_set("waiting", "for db", app=True)
    found = hookcmds.status_get(app=True)
    assert (found.status, found.message) == ("waiting", "for db")
    status = leader.json("status-get", "--include-data", "--application=true")
    assert set(status["application-status"]["units"]) == {"web/0", "web/1"}


def test_ports(leader: Running) -> None:
    hookcmds.open_port("tcp", 80)
    hookcmds.open_port("tcp", 8000, to_port=8010)
    hookcmds.open_port("icmp")
    hookcmds.open_port(None, 53)
    assert [(p.protocol, p.port, p.to_port) for p in hookcmds.opened_ports()] == [
        ("icmp", None, None),
        ("tcp", 53, None),
        ("tcp", 80, None),
        ("tcp", 8000, 8010),
    ]
    assert leader.world.model.units["web/0"].ports == []
    leader.end()
    assert leader.world.model.units["web/0"].ports == ["icmp", "53/tcp", "80/tcp", "8000-8010/tcp"]
    hookcmds.close_port("tcp", 8000, to_port=8010)
    hookcmds.close_port("icmp")
    leader.end()
    assert leader.world.model.units["web/0"].ports == ["53/tcp", "80/tcp"]


def test_ports_for_endpoints(leader: Running) -> None:
    hookcmds.open_port("udp", 53, endpoints=["site", "database"])
    leader.end()
    (port,) = hookcmds.opened_ports(endpoints=True)
    assert (port.protocol, port.port) == ("udp", 53)


def test_actions(action: Task) -> None:
    assert hookcmds.action_get() == {"path": "/x", "tags": {"a": {"b": 1}}}
    assert hookcmds.action_get("path") == "/x"
    assert hookcmds.action_get("tags.a.b") == 1
    hookcmds.action_set({"found": {"first": "M31", "time": {"took": "1 s=fast"}}, "n": 3})
    hookcmds.action_log("-- halfway")
    assert action.results == {"found": {"first": "M31", "time": {"took": "1 s=fast"}}, "n": "3"}
    assert [line for _, line in action.log] == ["-- halfway"]
    hookcmds.action_fail("-x: no such page")
    assert (action.status, action.message) == ("failed", "-x: no such page")
    hookcmds.action_fail()
    assert action.message == "action failed without reason given"


def test_log_and_version(leader: Running) -> None:
    hookcmds.juju_log("--hello\nworld", level="WARNING")
    hookcmds.app_version_set("--2.4")
    assert leader.world.model.apps["web"].version == "--2.4"
    lines = leader.world.store.logs(leader.world.model)
    assert [(x.level, x.message) for x in lines[-2:]] == [
        ("WARNING", "--hello"),
        ("WARNING", "world"),
    ]
    assert {x.entity for x in lines[-2:]} == {"unit-web-0"}


def test_state(leader: Running) -> None:
    assert hookcmds.state_get(None) == {}
    hookcmds.state_set({"a": "1: yes\n", "b": "💡"})
    assert hookcmds.state_get(None) == {"a": "1: yes\n", "b": "💡"}
    hookcmds.state_delete("a")
    assert hookcmds.state_get("a") is None
    assert leader.world.model.units["web/0"].kept == {}
    leader.end()
    assert leader.world.model.units["web/0"].kept == {"b": "💡"}


def test_storage_is_there_but_empty(leader: Running) -> None:
    assert hookcmds.storage_list() == []
    assert hookcmds.storage_list("data") == []
    with pytest.raises(hookcmds.Error) as refusal:
        hookcmds.storage_get("data/0")
    assert "data/0" in refusal.value.stderr
    with pytest.raises(hookcmds.Error) as refusal:
        hookcmds.storage_add({"data": 1})
    assert "no storage" in refusal.value.stderr


def test_resources(leader: Running, tmp_path: Path) -> None:
    page = tmp_path / "mine.html"
    page.write_text("<p>")
    world = leader.world
    attach_resource(world.store, world.model, world.model.apps["web"], "page", str(page))
    path = hookcmds.resource_get("page")
    assert path == Path("/var/lib/juju/agents/unit-web-0/resources/index.html")
    assert (leader.files.folder / path.relative_to("/")).read_text() == "<p>"


def test_goal_state(leader: Running) -> None:
    goal = hookcmds.goal_state()
    assert set(goal.units) == {"web/0", "web/1"}
    assert set(goal.relations["database"]) == {"db", "db/0"}
    assert goal.relations["database"]["db"].status == "joined"
    assert goal.units["web/1"].since.tzinfo is not None


def test_no_cloud_has_credentials(leader: Running) -> None:
    with pytest.raises(hookcmds.Error) as refusal:
        hookcmds.credential_get()
    assert "permission denied" in refusal.value.stderr


def test_reboot(leader: Running) -> None:
    hookcmds.juju_reboot()
    assert leader.context.wants_reboot == "later"
    hookcmds.juju_reboot(now=True)
    assert leader.context.wants_reboot == "now"


def test_an_action_may_not_reboot(action: Task) -> None:
    with pytest.raises(hookcmds.Error) as refusal:
        hookcmds.juju_reboot()
    assert "not supported when running an action" in refusal.value.stderr


def test_secrets_of_an_owner(leader: Running) -> None:
    expire = datetime.datetime(2030, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc)
    uri = hookcmds.secret_add(
        {"user-name": "jo", "pass-word": "ä=💡\n"},
        label="login",
        description="for db",
        expire=expire,
        rotate="daily",
    )
    identifier = uri.removeprefix("secret:")
    assert len(identifier) == 20
    info = hookcmds.secret_info_get(id=uri)
    assert info.id == identifier
    assert (info.revision, info.label, info.description) == (1, "login", "for db")
    assert (info.rotation, info.expiry) == ("daily", expire)
    assert info.rotates is not None
    assert hookcmds.secret_ids() == [identifier]
    assert leader.world.model.secrets == {}
    leader.end()
    assert leader.world.model.secrets[uri].owner == "web"
    hookcmds.secret_set(uri, content={"user-name": "al"}, label="login2", expire="1h")
    assert hookcmds.secret_get(label="login2", peek=True) == {"user-name": "al"}
    leader.end()
    secret = leader.world.model.secrets[uri]
    assert (secret.latest, secret.label) == (2, "login2")
    hookcmds.secret_remove(uri, revision=1)
    leader.end()
    assert set(leader.world.model.secrets[uri].revisions) == {2}
    hookcmds.secret_remove(uri)
    leader.end()
    assert leader.world.model.secrets == {}


def test_secrets_of_a_consumer(leader: Running) -> None:
    world = leader.world
    number = database(world)
    uri = hookcmds.secret_add({"key": "one"})
    hookcmds.secret_grant(uri, number)
    leader.end()
    consumer = Running(world, "db/0")
    with inside(consumer):
        assert hookcmds.secret_get(id=uri, label="mine") == {"key": "one"}
        consumer.end()
    writer = Running(world, "web/0")
    with inside(writer):
        hookcmds.secret_set(uri, content={"key": "two"})
        writer.end()
    consumer = Running(world, "db/0")
    with inside(consumer):
        assert hookcmds.secret_get(label="mine") == {"key": "one"}
        assert hookcmds.secret_get(label="mine", peek=True) == {"key": "two"}
        assert hookcmds.secret_get(label="mine") == {"key": "one"}
        assert hookcmds.secret_get(label="mine", refresh=True) == {"key": "two"}
        assert hookcmds.secret_get(id=uri) == {"key": "two"}
        consumer.end()
    writer = Running(world, "web/0")
    with inside(writer):
        hookcmds.secret_revoke(uri, relation_id=number)
        writer.end()
    with inside(Running(world, "db/0")), pytest.raises(hookcmds.Error) as refusal:
        hookcmds.secret_get(id=uri)
    assert "permission denied" in refusal.value.stderr


@pytest.mark.parametrize(("app", "unit"), [("db", None), (None, "db/0")])
def test_secrets_are_revoked_from_an_application_or_a_unit(
    leader: Running, app: str | None, unit: str | None
) -> None:
    uri = hookcmds.secret_add({"key": "one"}, owner="unit")
    hookcmds.secret_grant(uri, database(leader.world), unit=unit)
    leader.end()
    assert len(leader.world.model.secrets[uri].grants) == 1
    hookcmds.secret_revoke(uri, relation_id=None, app=app, unit=unit)
    leader.end()
    assert leader.world.model.secrets[uri].grants == []


def test_what_ops_prints_as_json_is_what_the_tool_printed(leader: Running) -> None:
    answer = leader.call("config-get", "--format=json")
    assert json.loads(answer.stdout) == hookcmds.config_get()
    assert answer.stderr == ""
