"""jubilant, unmodified, on the local model: what its methods ask for, it gets."""

from __future__ import annotations

import json
from pathlib import Path

import jubilant
import pytest

from lib.localmodel.tests.integration.probe import events, journal, pack

READY = "status-set active ready; application-version-set 1.2.3"
CONFIG = {
    "colour": {"type": "string", "default": "red", "description": "What it looks like"},
    "size": {"type": "int", "default": 1},
    "share": {"type": "float"},
    "quiet": {"type": "boolean", "default": False},
}
GREET = """\
action-log greeting
action-set said="hello $(action-get who)" place.times="$(action-get times)"
"""
PARAMETERS = {"who": {"type": "string"}, "times": {"type": "integer", "default": 2}}


def pack_principal(folder: Path, **files: str) -> Path:
    return pack(
        folder,
        "principal",
        {"start": READY, "greet": GREET, "dawdle": "sleep 60"},
        config=CONFIG,
        actions={"greet": {"params": PARAMETERS, "required": ["who"]}, "dawdle": {}},
        files=files,
    )


@pytest.fixture(scope="module")
def web(juju: jubilant.Juju, charms: Path) -> str:
    """A principal on two machines with a subordinate; this is its first unit."""
    subordinate = pack(
        charms,
        "subordinate",
        {"start": READY},
        subordinate=True,
        requires={"juju-info": {"interface": "juju-info", "scope": "container"}},
    )
    juju.deploy(pack_principal(charms), "web", num_units=2, config={"size": 5}, trust=True)
    juju.deploy(subordinate, "agent")
    juju.integrate("web", "agent")
    juju.wait(jubilant.all_active, delay=0.1)
    return "web/0"


def test_version_is_that_of_the_juju_it_stands_in_for(juju: jubilant.Juju) -> None:
    version = juju.version()
    assert (version.major, version.minor) == (4, 0)


def test_status_shows_units_under_their_principal(juju: jubilant.Juju, web: str) -> None:
    status = juju.status()
    assert jubilant.all_active(status, "web", "agent")
    assert jubilant.all_agents_idle(status)
    assert status.model.name == juju.model
    assert set(status.machines) == {"0", "1"}
    machine = status.machines["0"]
    assert (machine.juju_status.current, machine.machine_status.current) == ("started", "running")
    app = status.apps["web"]
    assert (app.charm_name, app.version, app.app_status.current) == (
        "principal",
        "1.2.3",
        "active",
    )
    unit = app.units[web]
    assert unit.leader
    assert unit.machine == "0"
    assert unit.public_address == machine.dns_name
    assert unit.workload_status.message == "ready"
    (name,) = unit.subordinates
    assert name == "agent/0"
    assert unit.subordinates[name].workload_status.current == "active"
    assert status.apps["agent"].subordinate_to == ["web"]
    assert status.apps["agent"].units == {}
    assert set(status.get_units("agent")) == {"agent/0", "agent/1"}


def test_status_for_people_indents_subordinates(juju: jubilant.Juju, web: str) -> None:
    lines = juju.cli("status").splitlines()
    unit = next(n for n, line in enumerate(lines) if line.startswith("web/0*"))
    assert lines[unit + 1].startswith("  agent/0*")
    assert "ready" in lines[unit + 1]


def test_an_action_returns_results_and_log(juju: jubilant.Juju, web: str) -> None:
    task = juju.run(web, "greet", {"who": "world"})
    assert task.success
    assert task.results == {"said": "hello world", "place": {"times": "2"}}
    assert any("greeting" in line for line in task.log)
    assert juju.run("web/leader", "greet", {"who": "you"}).results["said"] == "hello you"


def test_an_action_that_is_not_there_is_a_value_error(juju: jubilant.Juju, web: str) -> None:
    with pytest.raises(ValueError, match="dance"):
        juju.run(web, "dance")


@pytest.mark.parametrize(
    ("params", "complaint"),
    [
        ({}, "who"),
        ({"who": 3}, "who"),
        ({"who": "me", "times": "often"}, "times"),
        ({"who": "me", "extra": 1}, "extra"),
    ],
)
def test_parameters_that_the_schema_forbids_are_refused(
    juju: jubilant.Juju, web: str, params: dict[str, object], complaint: str
) -> None:
    ran = len(journal(juju))
    with pytest.raises(jubilant.TaskError, match="validation failed: ") as refusal:
        juju.run(web, "greet", params)
    assert (refusal.value.task.status, refusal.value.task.return_code) == ("failed", 0)
    assert complaint in refusal.value.task.message
    assert len(journal(juju)) == ran


def test_an_action_or_a_command_that_takes_too_long_is_a_timeout(
    juju: jubilant.Juju, web: str
) -> None:
    with pytest.raises(TimeoutError):
        juju.run(web, "dawdle", wait=0.5)
    with pytest.raises(TimeoutError):
        juju.exec("sleep 60", unit=web, wait=0.5)
    with pytest.raises(TimeoutError):
        juju.exec("sleep 60", machine=0, wait=0.5)
    assert juju.ssh(web, "pgrep --count --runstates D,R,S sleep || true").strip() == "0"


def test_exec_on_a_unit_has_its_hook_tools_and_on_a_machine_a_shell(
    juju: jubilant.Juju, web: str
) -> None:
    assert juju.exec("config-get", "colour", unit=web).stdout == "red\n"
    assert juju.exec("state-set a=b; state-get a", unit=web).stdout == "b\n"
    assert juju.exec("is-leader --format=json", unit="web/1").stdout == "false\n"
    assert juju.exec("id", "-un", unit=web).stdout == "root\n"
    task = juju.exec("a=$HOME; echo $a; id -un; sudo id -un; echo oh >&2", machine=1)
    assert (task.stdout, task.stderr) == ("/home/ubuntu\nubuntu\nroot\n", "oh\n")
    with pytest.raises(jubilant.TaskError) as failure:
        juju.exec("exit 7", machine=0)
    assert failure.value.task.return_code == 7


def test_ssh_runs_a_command_on_a_units_machine(juju: jubilant.Juju, web: str) -> None:
    host = juju.status().machines["0"].hostname
    assert juju.ssh(web, "hostname") == f"{host}\n"
    assert juju.ssh(0, "echo", "$HOME") == "/home/ubuntu\n"
    assert juju.ssh(0, "sudo", "id", "-un") == "root\n"
    assert juju.ssh("agent/1", "hostname") != f"{host}\n"
    juju.ssh(0, "sudo useradd --create-home --shell /bin/sh visitor")
    assert juju.ssh(0, "id -un; pwd", user="visitor") == "visitor\n/home/visitor\n"
    with pytest.raises(jubilant.CLIError):
        juju.ssh(0, "false")


def test_scp_copies_files_and_folders_both_ways(
    juju: jubilant.Juju, web: str, tmp_path: Path
) -> None:
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner/file").write_bytes(bytes(range(256)))
    juju.scp(folder / "inner/file", f"{web}:/tmp/copy")
    juju.scp(f"{web}:/tmp/copy", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == bytes(range(256))
    juju.scp(tmp_path / "back", "0:/tmp/")
    assert "back" in juju.ssh(0, "ls /tmp").split()
    juju.scp(folder, "1:/tmp/tree", scp_options=["-r"])
    juju.scp("1:/tmp/tree", tmp_path / "tree", scp_options=["-r"])
    assert (tmp_path / "tree/inner/file").read_bytes() == bytes(range(256))
    juju.ssh(0, "touch '/tmp/no 1' '/tmp/no 2'; sudo install --mode 600 /dev/null /tmp/secret")
    juju.cli("scp", "0:/tmp/no*", str(tmp_path))
    assert {file.name for file in tmp_path.glob("no*")} == {"no 1", "no 2"}
    for source in ("0:/tmp/nothing", "0:/tmp/nothing*", "0:/tmp/secret", "0:/tmp"):
        with pytest.raises(jubilant.CLIError):
            juju.scp(source, tmp_path / "gone")
        assert not (tmp_path / "gone").exists()


def test_scp_takes_a_path_with_a_colon_for_a_path(
    juju: jubilant.Juju, web: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:b").write_text("here")
    juju.scp("./a:b", f"{web}:/tmp/x")
    assert juju.ssh(web, "cat /tmp/x; stat -c %U /tmp/x") == "hereubuntu\n"


def test_an_action_runs_on_several_units_and_can_be_looked_up(
    juju: jubilant.Juju, web: str
) -> None:
    told = json.loads(juju.cli("run", "web/0", "web/1", "greet", "who=me", "--format", "json"))
    assert {unit: task["status"] for unit, task in told.items()} == {
        "web/0": "completed",
        "web/1": "completed",
    }
    number = told["web/1"]["id"]
    assert json.loads(juju.cli("show-task", number, "--format", "json")) == told["web/1"]
    listed = json.loads(juju.cli("operations", "--actions", "greet", "--format", "json"))
    (operation,) = [o for o in listed.values() if number in o["tasks"]]
    assert (operation["summary"], operation["status"]) == ("action greet", "completed")
    assert operation["action"]["parameters"]["who"] == "me"
    both = json.loads(juju.cli("exec", "--all", "--format", "json", "--", "hostname"))
    assert {"0", "1"} <= set(both)
    units = json.loads(juju.cli("exec", "--app", "web", "--format=json", "--", "echo $PWD"))
    assert units["web/0"]["results"]["stdout"].endswith("unit-web-0/charm\n")
    assert {"web/0", "web/1"} <= set(units)


def test_configuration_is_read_set_and_reset(juju: jubilant.Juju, web: str) -> None:
    assert juju.config("web") == {"colour": "red", "size": 5, "quiet": False}
    juju.config("web", {"share": 0.5, "quiet": True, "colour": "sea green"})
    assert juju.config("web") == {"colour": "sea green", "size": 5, "share": 0.5, "quiet": True}
    assert juju.exec("config-get colour; config-get quiet", unit=web).stdout == "sea green\nTrue\n"
    juju.config("web", reset=["colour", "share", "quiet"])
    assert juju.config("web") == {"colour": "red", "size": 5, "quiet": False}


def test_a_model_has_configuration_and_constraints(juju: jubilant.Juju, web: str) -> None:
    juju.model_config({"juju-http-proxy": "http://proxy.example"})
    assert juju.model_config()["juju-http-proxy"] == "http://proxy.example"
    shown = juju.exec("echo $JUJU_CHARM_HTTP_PROXY", unit=web).stdout
    assert shown == "http://proxy.example\n"
    juju.model_config(reset="juju-http-proxy")
    assert juju.model_config()["juju-http-proxy"] == ""
    juju.model_constraints({"mem": "2G"})
    assert juju.model_constraints() == {"mem": "2G"}


def test_show_model_and_show_unit_tell_what_there_is(juju: jubilant.Juju, web: str) -> None:
    model = juju.show_model()
    assert (model.short_name, model.model_type, model.life) == (juju.model, "iaas", "alive")
    unit = juju.show_unit("agent/0")
    address = juju.status().machines["0"].dns_name
    (info,) = unit.relation_info
    assert info.endpoint == "juju-info"
    assert info.related_units["web/0"].data == {
        "ingress-address": address,
        "egress-subnets": f"{address}/32",
    }
    assert info.local_unit is not None
    assert info.local_unit.data["ingress-address"] == address


def test_the_debug_log_can_be_limited(juju: jubilant.Juju, web: str) -> None:
    assert "unit-web-0" in juju.debug_log()
    assert len(juju.debug_log(limit=3).splitlines()) == 3


def test_trust_can_be_given_and_taken(juju: jubilant.Juju, web: str) -> None:
    assert juju.config("web", app_config=True)["trust"] is True
    juju.trust("web", remove=True)
    assert juju.config("web", app_config=True)["trust"] is False
    juju.trust("web")
    assert juju.config("web", app_config=True)["trust"] is True


def test_a_refresh_brings_new_settings_along(
    juju: jubilant.Juju, web: str, tmp_path: Path
) -> None:
    revision = juju.status().apps["web"].charm_rev
    ran = len(journal(juju))
    juju.refresh("web", path=pack_principal(tmp_path, changed="yes"), config={"size": 6})
    assert juju.status().apps["web"].charm_rev == revision + 1
    assert juju.config("web")["size"] == 6
    assert events(journal(juju)[ran:], web) == ["upgrade-charm", "config-changed"]


def test_units_come_and_go_with_their_machines(juju: jubilant.Juju, web: str) -> None:
    juju.add_unit("web", num_units=2, to=["1"])
    status = juju.status()
    assert set(status.apps["web"].units) == {"web/0", "web/1", "web/2", "web/3"}
    assert status.apps["web"].units["web/2"].machine == "1"
    new = status.apps["web"].units["web/3"].machine
    assert set(status.get_units("agent")) == {f"agent/{n}" for n in range(4)}
    juju.remove_unit("web/2")
    juju.remove_unit("web", num_units=1)
    status = juju.status()
    assert set(status.apps["web"].units) == {"web/0", "web/1"}
    assert new not in status.machines
    assert "1" in status.machines


def test_machines_can_be_added_and_used(juju: jubilant.Juju, charms: Path) -> None:
    before = set(juju.status().machines)
    juju.add_machine()
    (number,) = set(juju.status().machines) - before
    juju.deploy(pack(charms, "guest"), to=number)
    assert juju.status().apps["guest"].units["guest/0"].machine == number
    juju.remove_application("guest")
    status = juju.status()
    assert "guest" not in status.apps
    assert number not in status.machines


def test_a_temporary_model_is_gone_afterwards(juju: jubilant.Juju, charms: Path) -> None:
    with jubilant.temp_model() as other:
        other.deploy(pack(charms, "passing"))
        name = other.model
        assert name
        assert name in juju.cli("models", include_model=False)
        assert other.status().apps["passing"].units["passing/0"].juju_status.current == "idle"
    assert name not in juju.cli("models", include_model=False)
    with pytest.raises(jubilant.CLIError, match="not found"):
        jubilant.Juju(model=name).status()
