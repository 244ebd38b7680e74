from __future__ import annotations

import json

import jubilant
import pytest
import yaml

from lib.localmodel.tests.unit.commandline import CommandLine
from lib.localmodel.tests.unit.driver import World
from localmodel import documents, status, tables
from localmodel.lifecycle import set_agent
from localmodel.state import Status


def application_state(world: World, name: str) -> Status:
    state = status.find_application_state(world.model, world.model.apps[name])
    assert state is not None
    return state


@pytest.fixture
def shown(related: World) -> dict:
    web = related.model.units["web/0"]
    web.workload = Status("active", "fine")
    web.ports = ["443/tcp", "80/tcp"]
    related.model.apps["web"].version = "2.4"
    return status.make_status(related.store, related.model)


def test_the_document_has_the_keys_that_clients_need(shown: dict) -> None:
    assert set(shown) == {"model", "machines", "applications", "storage", "controller"}
    model = shown["model"]
    assert (model["name"], model["type"], model["version"]) == ("m", "iaas", "4.0.15")
    assert model["model-status"]["current"] == "available"
    assert {"controller", "cloud"} <= set(model)
    machine = shown["machines"]["0"]
    assert machine["juju-status"]["current"] == "started"
    assert machine["machine-status"]["current"] == "running"
    assert machine["dns-name"] == "172.30.0.2"
    assert machine["ip-addresses"] == ["172.30.0.2"]
    assert {"hostname", "instance-id"} <= set(machine)
    assert set(machine["base"]) == {"name", "channel"}
    assert shown["storage"] == {}
    assert set(shown["controller"]) == {"timestamp"}


def test_a_principal_application_shows_its_units_and_relations(shown: dict) -> None:
    web = shown["applications"]["web"]
    assert (web["charm"], web["charm-origin"], web["charm-name"], web["charm-rev"]) == (
        "local:web-0",
        "local",
        "web",
        0,
    )
    assert (web["exposed"], web["version"]) == (False, "2.4")
    assert "subordinate-to" not in web
    assert web["relations"]["juju-info"] == [
        {"related-application": "search", "interface": "juju-info", "scope": "container"}
    ]
    assert web["relations"]["database"] == [
        {"related-application": "db", "interface": "sql", "scope": "global"}
    ]
    unit = web["units"]["web/0"]
    assert unit["workload-status"] | {"since": ""} == {
        "current": "active",
        "message": "fine",
        "since": "",
    }
    assert unit["juju-status"]["version"] == "4.0.15"
    assert (unit["leader"], unit["machine"], unit["public-address"]) == (True, "0", "172.30.0.2")
    assert unit["open-ports"] == ["443/tcp", "80/tcp"]
    assert "leader" not in web["units"]["web/1"]


def test_a_model_that_does_not_ignore_dockers_bridge_shows_its_address_first(
    related: World,
) -> None:
    related.model.config["ignore-machine-addresses"] = "false"
    shown = status.make_status(related.store, related.model)
    machine = shown["machines"]["0"]
    assert machine["dns-name"] == "172.17.0.1"
    assert machine["ip-addresses"] == ["172.17.0.1", "172.30.0.2"]
    unit = shown["applications"]["web"]["units"]["web/0"]
    assert unit["public-address"] == "172.17.0.1"


def test_a_subordinates_units_stand_only_under_their_principals(shown: dict) -> None:
    search = shown["applications"]["search"]
    assert "units" not in search
    assert search["subordinate-to"] == ["web"]
    inner = shown["applications"]["web"]["units"]["web/1"]["subordinates"]
    assert set(inner) == {"search/1"}
    assert "machine" not in inner["search/1"]
    assert inner["search/1"]["public-address"] == "172.30.0.3"


def test_jubilant_reads_the_document(shown: dict) -> None:
    read = jubilant.Status._from_dict(json.loads(json.dumps(shown)))
    assert set(read.apps) == {"web", "db", "search"}
    assert read.apps["web"].units["web/0"].is_active
    assert read.apps["web"].units["web/0"].subordinates["search/0"].leader
    assert read.apps["search"].subordinate_to == ["web"]
    assert read.machines["0"].juju_status.current == "started"
    assert set(read.get_units("search")) == {"search/0", "search/1"}


def test_the_table_indents_subordinates_under_their_principal(related: World) -> None:
    related.model.units["web/0"].ports = ["80/tcp", "443/tcp", "53/udp", "icmp"]
    related.model.units["search/0"].workload = Status("active", "M110503: 42.1 %, 14 s left")
    found = status.make_status(related.store, related.model)
    lines = tables.format_status_tables(related.model, found).splitlines()
    assert lines[0].split() == ["Model", "Controller", "Cloud/Region", "Version", "Timestamp"]
    names = [line.split("  ")[0] or line[:12].rstrip() for line in lines]
    start = next(i for i, line in enumerate(lines) if line.startswith("Unit "))
    units = lines[start + 1 : start + 6]
    assert [u[: len("  search/0*")].rstrip() for u in units] == [
        "db/0*",
        "web/0*",
        "  search/0*",
        "web/1",
        "  search/1",
    ]
    assert "80,443/tcp 53/udp icmp" in units[1]
    assert units[2].endswith("M110503: 42.1 %, 14 s left")
    columns = [lines[start].index(c) for c in ("Workload", "Agent", "Public address")]
    for unit in units:
        assert all(unit[c - 1] == " " and unit[c] != " " for c in columns)
    assert "App" in names
    assert "Machine" in names
    assert all(line == line.rstrip() for line in lines)


def test_an_empty_model_says_so(cli: CommandLine) -> None:
    cli.do("add-model", "m")
    result = cli("status")
    assert (result.code, result.err) == (0, 'Model "admin/m" is empty.\n')


def test_a_failed_hook_shows_in_the_workloads_status(related: World) -> None:
    unit = related.model.units["web/0"]
    unit.workload = Status("active", "fine")
    set_agent(unit, "error", 'hook failed: "start"')
    shown = status.make_unit_status(related.model, unit)
    assert shown["workload-status"]["current"] == "error"
    assert shown["workload-status"]["message"] == 'hook failed: "start"'
    assert shown["juju-status"]["current"] == "idle"
    assert application_state(related, "web").current == "error"


@pytest.mark.parametrize(
    ("units", "expected"),
    [
        (("active", "blocked"), "blocked"),
        (("active", "waiting"), "waiting"),
        (("maintenance", "waiting"), "maintenance"),
        (("active", "unknown"), "active"),
    ],
)
def test_an_application_is_as_bad_as_its_worst_unit(
    related: World, units: tuple[str, str], expected: str
) -> None:
    for number, current in enumerate(units):
        related.model.units[f"web/{number}"].workload = Status(current)
    assert application_state(related, "web").current == expected
    related.model.apps["web"].status = Status("active", "set by the leader")
    assert application_state(related, "web").message == "set by the leader"


def test_what_is_dying_shows_it(related: World) -> None:
    related.remove("web")
    shown = status.make_status(related.store, related.model)["applications"]["web"]
    assert shown["life"] == "dying"
    assert shown["units"]["web/0"]["juju-status"]["life"] == "dying"


def test_status_is_the_same_in_json_and_yaml(cli: CommandLine) -> None:
    cli.do("add-model", "m")
    cli.do("deploy", "web")
    as_json = json.loads(cli.do("status", "--format", "json"))
    as_yaml = yaml.safe_load(cli.do("status", "--format", "yaml"))
    as_json["controller"] = as_yaml["controller"] = {}
    assert as_json == as_yaml


def test_a_unit_is_shown_with_its_relations(related: World) -> None:
    shown = documents.make_unit_document(related.model, related.model.units["search/1"])[
        "search/1"
    ]
    relations = {r["endpoint"]: r for r in shown["relation-info"]}
    assert set(relations) == {"juju-info", "searchers"}
    assert set(relations["juju-info"]["related-units"]) == {"web/0", "web/1"}
    assert relations["juju-info"]["related-endpoint"] == "juju-info"
    assert relations["searchers"]["related-units"]["search/0"]["data"]["ingress-address"]


def test_configuration_tells_its_sources(related: World) -> None:
    related.configure("web", port="81")
    app = related.model.apps["web"]
    settings = documents.make_config_document(related.store, related.model, app)["settings"]
    assert settings["port"] == {
        "description": "",
        "type": "int",
        "default": 80,
        "source": "user",
        "value": 81,
    }
    assert (settings["title"]["source"], settings["motto"]["source"]) == ("default", "unset")
    assert "value" not in settings["motto"]
