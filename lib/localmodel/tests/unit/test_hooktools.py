"""What the hook tools answer and refuse, with the arguments that charms give them."""

from __future__ import annotations

import json

import msgspec
import pytest
import yaml

from lib.localmodel.tests.unit.driver import World
from lib.localmodel.tests.unit.hooks import Running
from localmodel.hooktools import list_tools
from localmodel.state import Hook
from localmodel.tasks import Task

# The tools that ops 3.9 calls, and unit-get, which older charms do.
TOOLS = """\
action-fail action-get action-log action-set application-version-set close-port config-get
credential-get goal-state is-leader juju-log juju-reboot network-get open-port opened-ports
relation-get relation-ids relation-list relation-model-get relation-set resource-get secret-add
secret-get secret-grant secret-ids secret-info-get secret-remove secret-revoke secret-set
state-delete state-get state-set status-get status-set storage-add storage-get storage-list
unit-get"""


def encoded(world: World) -> bytes:
    return msgspec.json.encode(world.model)


@pytest.fixture
def leader(related: World) -> Running:
    return Running(related, "web/0")


@pytest.fixture
def follower(related: World) -> Running:
    return Running(related, "web/1")


def database(running: Running) -> str:
    (relation,) = running.world.model.relations_of("db")
    return f"database:{relation.id}"


def test_there_are_exactly_the_tools_that_ops_calls() -> None:
    assert list_tools() == TOOLS.split()


def test_an_unknown_tool_is_refused(leader: Running) -> None:
    assert leader.refusal("relation-make") == "ERROR relation-make: no such hook tool\n"


@pytest.mark.parametrize("name", TOOLS.split())
def test_an_unknown_option_is_refused_by_every_tool(leader: Running, name: str) -> None:
    assert "--nonsense" in leader.refusal(name, "--nonsense", "x", "y=z")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (["open-port", "0/tcp"], "bounds must be between 0 and 65535, got 0-0"),
        (["open-port", "65536/tcp"], "bounds must be between 0 and 65535, got 65536-65536"),
        (["open-port", "90-80/tcp"], "invalid port range 90-80"),
        (["open-port", "http"], 'invalid port "http"'),
        (["open-port", "²/tcp"], 'invalid port "²"'),
        (["open-port", "9" * 5000], 'invalid port "999'),
        (["open-port", "80/sctp"], 'invalid protocol "sctp"'),
        (["close-port"], "port"),
        (
            ["status-set", "error", "--", "x"],
            "expected one of [maintenance blocked waiting active]",
        ),
        (["status-set", "happy"], 'invalid status "happy"'),
        (["juju-log"], "no message specified"),
        (["relation-ids", "--format=toml", "site"], "toml"),
        (["relation-set", "-r", "0", "novalue"], 'expected "key=value", got "novalue"'),
        (["relation-list"], "no relation id specified"),
        (["relation-get", "-r", "x:y", "-", "db/0"], "invalid relation id"),
        (["relation-get", "-r", "database:²"], "invalid relation id"),
        (["relation-get", "-r", "9" * 5000], "invalid relation id"),
        (["network-get", "nowhere"], 'binding "nowhere"'),
        (["resource-get", "nothing"], "nothing: resource not found"),
        (["resource-get", "page"], 'resource "page" not found'),
        (["action-get"], "not running an action"),
        (["action-set", "a=b"], "not running an action"),
        (["action-log", "--", "x"], "not running an action"),
        (["action-fail", "--", "x"], "not running an action"),
        (["state-delete"], "key"),
        (["state-set", "--file", "/nowhere/at/all"], "cannot read /nowhere/at/all"),
    ],
)
def test_bad_arguments_are_named(leader: Running, call: list[str], says: str) -> None:
    before = encoded(leader.world)
    assert says in leader.refusal(*call)
    leader.end()
    assert encoded(leader.world) == before


@pytest.mark.parametrize("text", ["[1, 2]", "just text", "{a: [", "\x00"])
def test_settings_that_are_no_mapping_are_refused(leader: Running, text: str) -> None:
    says = leader.refusal("relation-set", "-r", database(leader), "--file", "-", stdin=text)
    assert "cannot read settings" in says


@pytest.mark.parametrize(
    "call",
    [
        ["relation-list", "--format=json", "-r", "database:99"],
        ["relation-get", "--format=json", "-r", "database:99", "-", "db/0"],
        ["relation-set", "-r", "database:99", "a=b"],
        ["relation-model-get", "--format=json", "-r", "database:99"],
        ["network-get", "--format=json", "-r", "99", "database"],
    ],
)
def test_a_relation_that_is_gone_is_said_in_the_words_that_ops_looks_for(
    leader: Running, call: list[str]
) -> None:
    assert "relation not found" in leader.refusal(*call)


def test_a_relation_of_others_is_not_found(related: World) -> None:
    number = next(r.id for r in related.model.relations.values() if r.container)
    assert "relation not found" in Running(related, "db/0").refusal(
        "relation-list", "-r", f"x:{number}"
    )


def test_a_follower_may_read_its_applications_settings_and_not_write_them(
    follower: Running,
) -> None:
    relation = database(follower)
    assert follower.json("relation-get", "-r", relation, "--app", "-", "web") == {}
    says = follower.refusal("relation-set", "-r", relation, "--app", "a=b")
    assert "permission denied" in says
    assert "not the leader" in says


def test_a_follower_may_not_read_or_set_its_applications_status(follower: Running) -> None:
    for call in (
        ["status-set", "--application=True", "active", "--", "x"],
        ["status-get", "--include-data", "--format=json", "--application=true"],
        ["secret-add", "--owner", "application", "key=value"],
    ):
        assert "not the leader" in follower.refusal(*call)


def test_a_follower_reads_its_applications_settings_among_peers(related: World) -> None:
    (peer,) = [r.id for r in related.model.relations_of("web") if r.peer]
    writer = Running(related, "web/0")
    assert writer.call("relation-set", "-r", f"cluster:{peer}", "--app", "seed=1").code == 0
    writer.end()
    reader = Running(related, "web/1")
    assert reader.json("relation-get", "-r", f"cluster:{peer}", "--app", "-", "web") == {
        "seed": "1"
    }
    assert related.run_until_idle() == [("web/1", "cluster-relation-changed web")]


def test_a_strangers_settings_are_denied(leader: Running) -> None:
    says = leader.refusal("relation-get", "-r", database(leader), "-", "search/0")
    assert "relation unit not found" in says


def test_nothing_is_in_the_model_before_the_hook_has_ended(leader: Running) -> None:
    before = encoded(leader.world)
    relation = database(leader)
    leader.call("relation-set", "-r", relation, "--file", "-", stdin='{"a": "1"}')
    leader.call("relation-set", "-r", relation, "--app", "b=2")
    leader.call("open-port", "80/tcp")
    leader.call("state-set", "--file", "-", stdin='{"k": "v"}')
    leader.call("secret-add", "--label", "x", "--owner", "application", "key=value")
    assert encoded(leader.world) == before
    assert leader.json("relation-get", "-r", relation, "-", "web/0")["a"] == "1"
    assert leader.json("state-get") == {"k": "v"}
    assert len(leader.json("secret-ids")) == 1
    leader.end()
    unit = leader.world.model.units["web/0"]
    number = int(relation.rpartition(":")[2])
    bags = leader.world.model.relations[number].bags
    assert (bags["web/0"].data["a"], bags["web"].data) == ("1", {"b": "2"})
    assert (unit.ports, unit.kept) == (["80/tcp"], {"k": "v"})
    assert [s.label for s in leader.world.model.secrets.values()] == ["x"]


def test_what_another_unit_of_the_app_has_buffered_is_not_seen(related: World) -> None:
    one, other = Running(related, "web/0"), Running(related, "web/1")
    one.call("state-set", "a=1")
    one.call("relation-set", "-r", database(one), "a=1")
    assert other.json("state-get") is None
    relation = database(one)
    reader = Running(related, "db/0")
    assert "a" not in reader.json("relation-get", "-r", relation, "-", "web/0")


@pytest.mark.parametrize("app", ["True", "False"])
def test_a_status_is_stored_at_once(leader: Running, app: str) -> None:
    leader.call("status-set", f"--application={app}", "waiting", "--", "for", "db")
    stored = leader.world.store.load("m")
    found = stored.apps["web"].status if app == "True" else stored.units["web/0"].workload
    assert found is not None
    assert (found.current, found.message) == ("waiting", "for db")


def test_a_status_that_stays_keeps_its_time(leader: Running) -> None:
    leader.call("status-set", "active", "--", "fine")
    since = leader.unit.workload.since
    leader.unit.workload.since -= 60
    leader.call("status-set", "active", "--", "fine")
    assert leader.unit.workload.since == since - 60


def test_version_and_log_are_stored_at_once(leader: Running) -> None:
    leader.call("application-version-set", "--", "2.4.66")
    leader.call("juju-log", "--log-level", "DEBUG", "--", "hello")
    assert leader.world.store.load("m").apps["web"].version == "2.4.66"
    assert leader.world.store.logs(leader.world.model)[-1].message == "hello"


def test_a_joining_unit_is_in_the_list_and_a_departing_one_is_not(related: World) -> None:
    (relation,) = related.model.relations_of("db")
    for kind, expected in (
        ("relation-joined", ["web/0", "web/1"]),
        ("relation-departed", ["web/1"]),
    ):
        hook = Hook(f"db-{kind}", kind, relation.id, "web/0", "web")
        running = Running(related, "db/0", hook)
        assert running.json("relation-list") == expected
        assert "ingress-address" in running.json("relation-get", "-")


def test_a_relation_is_listed_from_its_created_to_its_broken(world: World) -> None:
    world.deploy("db")
    world.deploy("web")
    world.integrate("web:database", "db:db")
    (relation,) = world.model.relations_of("db")
    for kind in ("relation-created", "relation-broken"):
        hook = Hook(f"db-{kind}", kind, relation.id, "", "web")
        running = Running(world, "db/0", hook)
        assert running.json("relation-ids", "db") == [f"db:{relation.id}"]
        assert running.json("relation-list", "--app") == "web"
    assert Running(world, "db/0").json("relation-ids", "db") == []


def test_settings_that_are_unset_are_left_out_of_the_configuration(leader: Running) -> None:
    assert set(leader.json("config-get")) == {"title", "port", "share", "debug"}
    leader.world.configure("web", motto="go", password="secret:abc")
    assert leader.json("config-get", "motto") == "go"
    assert leader.json("config-get", "password") == "secret:abc"


def test_answers_are_printed_as_json_yaml_or_plainly(leader: Running) -> None:
    leader.call("open-port", "80")
    leader.call("open-port", "53/udp")
    leader.end()
    ports = ["80/tcp", "53/udp"]
    assert json.loads(leader.call("opened-ports", "--format=json").stdout) == ports
    assert yaml.safe_load(leader.call("opened-ports", "--format", "yaml").stdout) == ports
    assert leader.call("opened-ports").stdout == "80/tcp\n53/udp\n"
    assert leader.call("config-get", "title").stdout == "hello\n"
    assert leader.call("config-get", "motto").stdout == ""
    assert leader.call("is-leader").stdout == "True\n"
    assert leader.call("state-set", "a=1").stdout == ""


@pytest.fixture
def task() -> Task:
    return Task("1", "web/0", "publish", {"path": "/x"})


@pytest.mark.parametrize("key", ["stdout", "stderr", "stdout-encoding", "stderr.a"])
def test_reserved_result_keys_are_refused(related: World, task: Task, key: str) -> None:
    running = Running(related, "web/0", Hook("publish", "action"), task)
    assert f'reserved action key "{key}"' in running.refusal("action-set", f"{key}=x")
    assert task.results == {}


def test_results_nest_at_their_dots(related: World, task: Task) -> None:
    running = Running(related, "web/0", Hook("publish", "action"), task)
    assert running.call("action-set", "a.b.c=1", "a.b.d=2=3", "e=").code == 0
    assert task.results == {"a": {"b": {"c": "1", "d": "2=3"}}, "e": ""}
    assert running.json("action-get", "path") == "/x"
    assert running.json("action-get", "path.deeper") is None


@pytest.mark.parametrize("flags", [["--help"], ["-h"]])
@pytest.mark.parametrize("name", TOOLS.split())
def test_every_tool_explains_itself(leader: Running, name: str, flags: list[str]) -> None:
    answer = leader.call(name, *flags)
    assert (answer.code, answer.stderr) == (0, "")
    assert answer.stdout.startswith(f"Usage: {name}")


@pytest.mark.parametrize("port", ["80/tcp", "70-90/tcp"])
def test_a_port_that_another_unit_of_the_machine_has_open_is_refused(
    related: World, port: str
) -> None:
    one = Running(related, "web/0")
    one.call("open-port", "80/tcp")
    one.end()
    (other,) = related.model.subordinates_of("web/0")
    says = Running(related, other.name).refusal("open-port", port)
    assert f'cannot open {port} (unit "{other.name}"): port range conflicts with' in says
    assert Running(related, other.name).call("open-port", "80/udp").code == 0
    assert Running(related, "web/1").call("open-port", port).code == 0


def test_a_part_of_a_network_can_be_asked_for_alone(leader: Running) -> None:
    assert leader.call("network-get", "database", "--ingress-address").stdout == "172.30.0.2\n"
    asked = leader.json("network-get", "database", "--ingress-address", "--egress-subnets")
    assert asked == {"egress-subnets": ["172.30.0.2/32"], "ingress-address": "172.30.0.2"}


def test_units_are_told_dockers_bridge_where_the_model_does_not_ignore_it(
    leader: Running,
) -> None:
    leader.world.model.config["ignore-machine-addresses"] = "false"
    told = leader.json("network-get", "database")
    assert told["ingress-addresses"] == ["172.17.0.1", "172.30.0.2"]
    assert told["egress-subnets"] == ["172.17.0.1/32"]
    assert leader.call("unit-get", "public-address").stdout == "172.17.0.1\n"


def test_an_applications_status_is_derived_until_its_charm_sets_one(leader: Running) -> None:
    leader.call("status-set", "blocked", "no disk")
    shown = leader.json("status-get", "--application", "--include-data")["application-status"]
    assert (shown["status"], shown["message"]) == ("blocked", "no disk")
    assert set(shown["units"]) == {"web/0", "web/1"}
