"""What people and scripts look at: statuses in every form, actions, machines, bundles."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import yaml

from lib.localmodel.tests.unit.commandline import CommandLine
from localmodel.cli.arguments import read_span
from localmodel.state import Status
from localmodel.store import Store


@pytest.fixture
def model(cli: CommandLine) -> CommandLine:
    """web/0, web/1 with search/0, search/1; db/0, related to web over a global relation."""
    cli.do("add-model", "m")
    cli.do("deploy", "web", "-n", "2")
    cli.do("deploy", "search")
    cli.do("deploy", "db")
    cli.do("integrate", "web", "search")
    cli.do("integrate", "web:database", "db:db")
    return cli


def change(cli: CommandLine, unit: str, status: Status, *ports: str) -> None:
    store = Store(cli.paths)
    stored = store.load("m")
    stored.units[unit].workload = status
    stored.units[unit].ports = list(ports)
    store.save(stored)
    store.close()


def shown(cli: CommandLine, *patterns: str) -> tuple[set[str], set[str], set[str]]:
    """The machines, applications and units of a filtered status."""
    found = json.loads(cli.do("status", *patterns, "--format", "json"))
    units = set()
    for app in found["applications"].values():
        for name, unit in app.get("units", {}).items():
            units |= {name, *unit.get("subordinates", {})}
    return set(found["machines"]), set(found["applications"]), units


@pytest.mark.parametrize(
    ("patterns", "machines", "apps", "units"),
    [
        ("web/0", {"0"}, {"web", "search", "db"}, {"web/0", "search/0"}),
        ("search/1", {"1"}, {"web", "search", "db"}, {"web/1", "search/1"}),
        ("db", {"2"}, {"db", "web"}, {"db/0"}),
        ("d*", {"2"}, {"db", "web"}, {"db/0"}),
        ("1", {"1"}, {"web", "search", "db"}, {"web/1", "search/1"}),
        ("blocked", {"2"}, {"db", "web"}, {"db/0"}),
        ("nothing*", set(), set(), set()),
    ],
)
def test_a_status_is_filtered_by_application_unit_machine_and_status(
    model: CommandLine, patterns: str, machines: set[str], apps: set[str], units: set[str]
) -> None:
    change(model, "db/0", Status("blocked", "no disk"))
    assert shown(model, patterns) == (machines, apps, units)


def test_a_filter_that_matches_nothing_says_so(model: CommandLine) -> None:
    assert model("status", "x").err == "Nothing matched specified filter.\n"
    assert model("status", "x", "y*").err == "Nothing matched specified filters.\n"


@pytest.mark.parametrize("form", ["oneline", "short", "line"])
def test_a_line_for_each_unit_tells_address_states_and_ports(
    model: CommandLine, form: str
) -> None:
    change(model, "web/0", Status("active"), "443/tcp", "80/tcp")
    assert model.do("status", "--format", form).splitlines() == [
        "- db/0: 172.30.0.4 (agent:allocating, workload:waiting)",
        "- web/0: 172.30.0.2 (agent:allocating, workload:active) 443,80/tcp",
        "  - search/0: 172.30.0.2 (agent:allocating, workload:waiting)",
        "- web/1: 172.30.0.3 (agent:allocating, workload:waiting)",
        "  - search/1: 172.30.0.3 (agent:allocating, workload:waiting)",
    ]


def test_a_summary_counts(model: CommandLine) -> None:
    model.do("expose", "web")
    change(model, "web/0", Status("active"), "80/tcp")
    text = model.do("status", "--format", "summary")
    assert "Running on subnets:  172.30.0.0/16\n" in text
    assert "Utilizing ports:  80/tcp\n" in text
    words = [line.split() for line in text.splitlines()]
    for line in (
        ["#", "Machines:", "(3)"],
        ["started:", "3"],
        ["#", "Units:", "(5)"],
        ["active:", "1"],
        ["waiting:", "4"],
        ["web", "1/1", "exposed"],
        ["db", "0/1", "exposed"],
    ):
        assert line in words


def test_the_table_of_relations_comes_where_it_is_asked_for(model: CommandLine) -> None:
    assert "Integration provider" not in model.do("status")
    text = model.do("status", "--relations")
    rows = [line.split() for line in text[text.index("Integration provider") :].splitlines()[1:]]
    assert rows == [
        ["db:db", "web:database", "sql", "regular"],
        ["search:searchers", "search:searchers", "search-peers", "peer"],
        ["web:cluster", "web:cluster", "web-cluster", "peer"],
        ["web:juju-info", "search:juju-info", "juju-info", "subordinate"],
    ]


def test_the_table_cuts_what_juju_cuts_and_tells_the_hook(model: CommandLine) -> None:
    store = Store(model.paths)
    stored = store.load("m")
    stored.apps["web"].version = "2.4.52-1ubuntu4.27\nmore"
    stored.units["web/0"].workload = Status("active", "x" * 130)
    stored.units["web/1"].workload = Status("active", "fine")
    stored.units["web/1"].agent = Status("executing", "running config-changed hook")
    stored.units["db/0"].agent = Status("executing", "running db-relation-changed hook")
    store.save(stored)
    store.close()
    lines = model.do("status").splitlines()
    (app,) = [line for line in lines if line.startswith("web  ")]
    assert app.split()[1] == "2.4.52-1ubun..."
    (first, second) = [line for line in lines if line.startswith("web/")]
    assert first.endswith(" " + "x" * 117 + "...")
    assert second.endswith("  (config-changed) fine")
    (db,) = [line for line in lines if line.startswith("db/0")]
    assert "relation-changed" not in db
    (head,) = [line for line in lines if line.startswith("App ")]
    # Numbers are flush right.
    assert app[head.index("Scale") : head.index("  Charm")] == "    2"
    assert app[head.index("Rev") : head.index("  Exposed")] == "  0"


def test_a_watched_status_is_shown_anew_until_it_is_interrupted(
    model: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    def sleep(seconds: float) -> None:
        waited.append(seconds)
        if len(waited) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    result = model("status", "--watch", "1m5s", "--format", "oneline")
    assert (result.code, waited) == (130, [65.0, 65.0])
    assert result.out.count("\033c- db/0") == 2


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("1m30s", 90.0), ("1.5h", 5400.0), ("20ms", 0.02), (".5s", 0.5), ("9" * 400 + "h", 3.1536e9)],
)
def test_a_span_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    assert read_span("--wait", text) == pytest.approx(seconds)


def test_times_are_told_as_juju_tells_them(
    model: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Written out, as POSIX has it: a small system has no names of time zones.
    for zone, end in (("UTC0", "Z"), ("EET-2", r"\+02:00")):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        found = json.loads(model.do("status", "--format", "json"))
        moment = found["machines"]["0"]["juju-status"]["since"]
        assert re.fullmatch(rf"\d\d [A-Z][a-z]{{2}} \d{{4}} \d\d:\d\d:\d\d{end}", moment)
        assert re.fullmatch(rf"\d\d:\d\d:\d\d{end}", found["controller"]["timestamp"])
    monkeypatch.undo()
    time.tzset()


def test_a_machine_shows_what_it_was_made_with(model: CommandLine) -> None:
    store = Store(model.paths)
    stored = store.load("m")
    stored.machines["0"].base, stored.machines["0"].mac = "ubuntu@22.04", "52:54:00:00:00:01"
    store.save(stored)
    store.close()
    found = yaml.safe_load(model.do("show-machine", "0"))
    assert (found["model"], set(found["machines"])) == ("m", {"0"})
    machine = found["machines"]["0"]
    assert machine["base"] == {"name": "ubuntu", "channel": "22.04"}
    assert machine["juju-status"]["life"] == machine["machine-status"]["life"] == "alive"
    assert machine["modification-status"] == {}
    assert machine["network-interfaces"] == {
        "host0": {
            "ip-addresses": ["172.30.0.2/16"],
            "mac-address": "52:54:00:00:00:01",
            "gateway": "172.30.0.1",
            "space": "alpha",
            "is-up": True,
        }
    }
    assert re.fullmatch(r"arch=\w+ cores=\d+ mem=\d+M", machine["hardware"])
    assert "ubuntu@22.04" in model.do("machines")
    assert set(yaml.safe_load(model.do("show-machine"))["machines"]) == {"0", "1", "2"}


def test_an_application_without_units_has_no_status_of_its_own(model: CommandLine) -> None:
    model.do("deploy", "search", "spare")
    app = json.loads(model.do("status", "--format", "json"))["applications"]["spare"]
    assert app["application-status"] == {"current": "unknown"}
    assert (app["life"], "units" in app, "subordinate-to" in app) == ("alive", False, False)
    assert app["endpoint-bindings"] == {
        "": "alpha",
        "juju-info": "alpha",
        "logs": "alpha",
        "metrics": "alpha",
        "searchers": "alpha",
    }


def test_the_log_of_statuses_tells_what_they_were(model: CommandLine) -> None:
    change(model, "web/0", Status("blocked", "no disk", since=2e9))
    change(model, "web/0", Status("active", "fine", since=2e9 + 1))
    rows = json.loads(model.do("show-status-log", "web/0", "--type=workload", "--format=json"))
    assert [(row["status"], row["message"]) for row in rows[-2:]] == [
        ("blocked", "no disk"),
        ("active", "fine"),
    ]
    assert model.do("show-status-log", "web/0", "-n", "1").splitlines()[-1].endswith("fine")
    assert "juju-machine" in model.do("show-status-log", "0")


def test_actions_and_their_schemas_are_listed(model: CommandLine) -> None:
    assert model.do("actions", "web").splitlines() == [
        "Action   Description",
        "publish  No description",
        "restart  restart it",
    ]
    assert json.loads(model.do("actions", "web", "--format=json"))["restart"] == "restart it"
    schema = yaml.safe_load(model.do("actions", "web", "--schema"))["publish"]
    assert (schema["required"], schema["additionalProperties"]) == (["path"], False)
    assert schema["properties"]["mode"] == {"type": "string", "default": "fast"}
    assert model.do("show-action", "web", "publish").startswith("No description\n\nArguments\n")
    assert model("show-action", "web", "fly")[::2] == (1, 'unknown action "fly"\n\n')
    assert model("actions", "db").err == "No actions defined for db.\n"


def test_a_task_in_the_background_tells_its_number_and_can_be_looked_up(
    model: CommandLine,
) -> None:
    result = model("run", "web/0", "web/1", "publish", "path=1", "--background")
    assert result.code == 0
    assert result.err.splitlines() == [
        "Scheduled operation 1 with 2 tasks",
        "Check operation status with 'juju show-operation 1'",
        "Check task status with 'juju show-task <id>'",
    ]
    assert yaml.safe_load(result.out) == {"web/0": {"id": "2"}, "web/1": {"id": "3"}}
    task = json.loads(model.do("show-task", "3", "--format", "json"))
    assert (task["unit"], task["status"]) == ("web/1", "failed")
    operation = yaml.safe_load(model.do("show-operation", "1"))["1"]
    assert set(operation["tasks"]) == {"2", "3"}
    assert operation["tasks"]["2"]["host"] == "web/0"
    rows = [line.split()[:2] for line in model.do("operations").splitlines()[1:]]
    assert rows == [["1", "failed"]]
    assert model("operations", "--units", "web/7").err == "no matching operations\n"
    assert model("operations", "--status", "completed").err == "no matching operations\n"


def test_some_units_of_several_may_be_missing(model: CommandLine) -> None:
    result = model("run", "web/0", "web/9", "publish", "--format", "json")
    assert (result.code, set(json.loads(result.out))) == (0, {"web/0"})
    assert result.err == 'Some actions could not be scheduled:\nunit "web/9" not found\n\n'


def test_the_debug_log_is_cut_after_it_is_filtered(model: CommandLine) -> None:
    store = Store(model.paths)
    stored = store.load("m")
    for number in range(4):
        store.log(stored, "unit-web-0", "ERROR", f"bad {number}")
        store.log(stored, "unit-db-0", "DEBUG", f"noise {number}")
    store.close()
    lines = model.do("debug-log", "-n", "2", "--include", "web/0").splitlines()
    assert [line.split()[-1] for line in lines] == ["2", "3"]
    lines = model.do("debug-log", "-n", "1", "--level", "warning").splitlines()
    assert [line.split()[-1] for line in lines] == ["3"]


def test_the_controller_and_the_model_are_told(model: CommandLine) -> None:
    assert model.do("switch") == "localmodel:admin/m\n"
    assert model("switch", "m").err == "localmodel:admin/m (no change)\n"
    found = json.loads(model.do("controllers", "--format", "json"))
    assert found["current-controller"] == "localmodel"
    assert found["controllers"]["localmodel"]["current-model"] == "admin/m"
    assert "localmodel*  m " in model.do("controllers")


def test_help_on_a_command_is_its_help(model: CommandLine) -> None:
    assert model.do("help", "deploy") == model.do("deploy", "--help")
    assert model.do("help", "relate") == model.do("integrate", "--help")


def test_an_exposed_application_shows_it(model: CommandLine) -> None:
    model.do("expose", "web")
    assert json.loads(model.do("status", "--format=json"))["applications"]["web"]["exposed"]
    model.do("unexpose", "web")
    assert not json.loads(model.do("status", "--format=json"))["applications"]["web"]["exposed"]


def test_a_dry_run_tells_what_would_be_done_and_does_nothing(model: CommandLine) -> None:
    body = {"applications": {"db": {"charm": "db", "num_units": 2}, "host": {"charm": "host"}}}
    Path("bundle.yaml").write_text(yaml.safe_dump(body))
    before = model.stored()
    result = model("deploy", "./bundle.yaml", "--dry-run")
    assert result.err == "Changes to deploy bundle:\n"
    assert result.out.splitlines() == [
        "- add unit db/1 to machine 3",
        "- deploy application host from host",
        "- add unit host/0 to machine 4",
    ]
    result = model("deploy", "web", "other", "--dry-run")
    assert result.err == '"other" from charm-hub charm "web", revision 1 would be deployed\n'
    assert model.stored() == before


def test_documents_after_the_first_of_a_bundle_are_overlays(cli: CommandLine) -> None:
    cli.do("add-model", "m")
    base = {"applications": {"web": {"charm": "web", "options": {"port": 1, "title": "a"}}}}
    overlay = {"applications": {"web": {"options": {"port": 2}}}}
    more = {"applications": {"web": {"num_units": 2, "expose": True}}}
    Path("folder").mkdir()
    Path("folder/bundle.yaml").write_text(yaml.safe_dump_all([base, overlay]) + "---\n")
    Path("more.yaml").write_text(yaml.safe_dump_all([more, overlay]))
    cli.do("deploy", "./folder", "--overlay", "more.yaml")
    web = cli.model().apps["web"]
    assert (web.options, web.exposed) == ({"port": 2, "title": "a"}, True)
    assert len(cli.model().units_of("web")) == 2


def test_a_model_is_exported_as_a_bundle_that_does_not_differ_from_it(model: CommandLine) -> None:
    model.do("config", "web", "port=81")
    model.do("expose", "web")
    body = yaml.safe_load(model.do("export-bundle"))
    assert body["applications"]["web"] == {
        "charm": "web",
        "num_units": 2,
        "to": ["0", "1"],
        "expose": True,
        "options": {"port": 81},
    }
    assert body["applications"]["search"] == {"charm": "search"}
    assert ["web:juju-info", "search:juju-info"] in [sorted(r)[::-1] for r in body["relations"]]
    assert model.do("export-bundle", "--filename", "out.yaml").endswith("exported to out.yaml\n")
    assert model.do("diff-bundle", "out.yaml") == "{}\n"

    body["applications"]["web"] |= {"num_units": 1, "to": ["0"], "options": {"port": 80}}
    body["machines"].pop("1")
    body["applications"]["host"] = {"charm": "host"}
    del body["applications"]["db"]
    body["relations"] = [r for r in body["relations"] if "db:db" not in r]
    body["machines"].pop("2")
    Path("changed.yaml").write_text(yaml.safe_dump(body))
    assert yaml.safe_load(model.do("diff-bundle", "changed.yaml")) == {
        "applications": {
            "db": {"missing": "bundle"},
            "host": {"missing": "model"},
            "web": {
                "num_units": {"bundle": 1, "model": 2},
                "options": {"port": {"bundle": 80, "model": 81}},
            },
        },
        "relations": {"model-additions": [["db:db", "web:database"]]},
    }


def test_what_config_prints_can_be_given_back(model: CommandLine) -> None:
    model.do("config", "web", "port=81", "title=x")
    Path("kept.yaml").write_text(model.do("config", "web"))
    model.do("config", "web", "--reset", "port,title")
    model.do("config", "web", "--file", "kept.yaml")
    assert model.model().apps["web"].options == {"port": 81, "title": "x"}
    Path("flat.yaml").write_text("port: 90\n")
    refusal = model.refusal("config", "web", "--file", "flat.yaml")
    assert 'no settings found for "web": put them under the key "web"' in refusal
