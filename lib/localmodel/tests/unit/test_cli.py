from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
import yaml

from lib.localmodel.tests.unit.commandline import CommandLine
from lib.localmodel.tests.unit.packing import pack
from localmodel import __main__ as local_main
from localmodel import juju as juju_main
from localmodel.cli.registry import Registry, juju, localmodel
from localmodel.cli.session import guarded
from localmodel.errors import LocalModelError
from localmodel.state import Hook
from localmodel.store import Store

# What the issue asks of the two command lines.
JUJU = """version add-model destroy-model models deploy integrate relate add-relation
remove-relation remove-application add-unit remove-unit add-machine remove-machine machines config
model-config refresh run exec ssh scp status show-unit show-model show-application debug-log
resolved add-secret update-secret grant-secret remove-secret show-secret secrets attach-resource
resources trust"""
LOCAL = "up down reboot tick"


def load() -> None:
    """Let the verbs register themselves, as the first command does."""
    for main in (juju_main, local_main):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["juju", "--help"])
            main.main()


load()
HELPS = [("juju", c) for c in juju.commands] + [("localmodel", c) for c in localmodel.commands]


@pytest.fixture
def model(cli: CommandLine) -> CommandLine:
    cli.do("add-model", "m")
    cli.do("deploy", "web")
    return cli


def test_every_command_that_is_promised_is_there() -> None:
    assert set(JUJU.split()) <= {*juju.commands, *juju.aliases}
    assert set(LOCAL.split()) == set(localmodel.commands)


@pytest.mark.parametrize(("program", "command"), HELPS)
def test_every_command_explains_itself(cli: CommandLine, program: str, command: str) -> None:
    text = cli.do(command, "--help", program=program)
    assert text.startswith(f"usage: {program} {command} ")
    registry: Registry = {"juju": juju, "localmodel": localmodel}[program]
    purpose = (registry.commands[command].run.__doc__ or "").strip().splitlines()[0]
    assert purpose in text
    assert re.search(rf"^  {command}\b.*{re.escape(purpose)}$", registry.overview(), re.MULTILINE)


@pytest.mark.parametrize("program", ["juju", "localmodel"])
def test_without_a_command_the_commands_are_listed(cli: CommandLine, program: str) -> None:
    result = cli(program=program)
    assert result.code == 2
    assert f"Usage: {program} COMMAND [OPTIONS]" in result.out
    assert cli.do("help", program=program) == cli.do("--help", program=program) == result.out


def test_aliases_do_the_same(model: CommandLine) -> None:
    model.do("deploy", "search")
    for alias in ("relate", "add-relation"):
        model.do(alias, "web", "search")
        model.do("remove-relation", "web", "search")


def test_a_deployed_charm_is_told_of_and_runs(model: CommandLine) -> None:
    result = model("deploy", "search", "finder")
    assert result.err == 'Deploying "finder" from charm-hub charm "search", revision 0\n'
    model.do("integrate", "web", "finder")
    assert set(model.model().units) == {"web/0", "finder/0"}
    assert "  finder/0*" in model.do("status")


def test_a_bundle_with_an_overlay_is_deployed(cli: CommandLine) -> None:
    cli.do("add-model", "m")
    bundle = {"applications": {"web": {"charm": "web"}, "search": {"charm": "search"}}}
    bundle["relations"] = [["web", "search"]]  # type: ignore[assignment]
    pack(cli.folder(), "search")
    overlay = {"applications": {"search": {"charm": "./search.charm"}}}
    Path("bundle.yaml").write_text(yaml.safe_dump(bundle))
    Path("local.yaml").write_text(yaml.safe_dump(overlay))
    result = cli("deploy", "./bundle.yaml", "--overlay", "local.yaml", "--map-machines=existing")
    assert result.code == 0, result.err
    assert result.err.splitlines()[-1] == "Deploy of bundle completed."
    before = cli.stored()
    cli.do("deploy", "./bundle.yaml", "--overlay", "./local.yaml")
    assert cli.stored() == before
    assert cli.model().apps["search"].origin == "local"


def test_configuration_is_set_from_words_and_files(model: CommandLine) -> None:
    Path("motto.txt").write_text("a\nb=c\n")
    model.do("config", "web", "port=81", "motto=@motto.txt", "title=x=y")
    shown = json.loads(model.do("config", "web", "--format", "json"))
    assert shown["settings"]["motto"]["value"] == "a\nb=c\n"
    assert shown["settings"]["title"]["value"] == "x=y"
    assert model.do("config", "web", "port") == "81\n"
    Path("web.yaml").write_text("web: {port: 90}\n")
    model.do("config", "web", "--file", "web.yaml", "--reset", "title,motto")
    assert model.model().apps["web"].options == {"port": 90}


def test_a_bundle_that_has_a_name_is_deployed_with_a_warning(model: CommandLine) -> None:
    Path("named.yaml").write_text("name: pair\napplications: {web: {charm: web}}\n")
    assert "WARNING a bundle has no field name" in model("deploy", "./named.yaml").err
    Path("plain.yaml").write_text("applications: {web: {charm: web}}\n")
    assert "WARNING" not in model("deploy", "./plain.yaml").err


def test_a_deployments_configuration_file_is_read_by_the_applications_name(
    model: CommandLine,
) -> None:
    Path("all.yaml").write_text("search: {image: one}\nfinder: {image: two}\n")
    model.do("deploy", "search", "--config", "all.yaml")
    model.do("deploy", "search", "finder", "--config", "all.yaml")
    model.do("deploy", "search", "last", "--config", "image=one", "--config", "image=three")
    options = {name: app.options for name, app in model.model().apps.items() if app.subordinate}
    assert options == {
        "search": {"image": "one"},
        "finder": {"image": "two"},
        "last": {"image": "three"},
    }


def test_the_version_is_that_of_juju(cli: CommandLine) -> None:
    assert re.fullmatch(r"4\.0\.15-ubuntu-\w+\n", cli.do("version"))
    shown = json.loads(cli.do("version", "--format", "json", "--all"))
    assert shown["version"] == cli.do("version").strip()


def test_models_are_listed_and_selected(cli: CommandLine) -> None:
    assert "There are no models" in cli.do("models")
    cli.do("add-model", "one")
    cli.do("add-model", "two", "--no-switch")
    assert re.search(r"^one\*", cli.do("models"), re.MULTILINE)
    cli.do("switch", "localmodel:admin/two")
    assert json.loads(cli.do("models", "--format", "json"))["current-model"] == "two"
    cli.do("destroy-model", "two", "--no-prompt")
    assert [m["short-name"] for m in json.loads(cli.do("models", "--format=json"))["models"]] == [
        "one"
    ]


def test_the_model_may_be_given_by_the_environment(
    model: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    model.do("add-model", "other")
    monkeypatch.setenv("JUJU_MODEL", "m")
    assert "web/0" in model.do("status")
    assert "web/0" not in model.do("status", "-m", "other")


def test_a_destroyed_model_leaves_nothing(model: CommandLine) -> None:
    model.do("destroy-model", "m", "-y")
    assert [row[1] for row in model.stored()] == ["", "172.30.0.0/16"]


def test_resources_and_machines_are_listed(model: CommandLine) -> None:
    Path("p.html").write_text("x")
    model.do("attach-resource", "web", "page=p.html")
    rows = json.loads(model.do("resources", "web", "--format", "json"))["resources"]
    assert {r["name"]: r["origin"] for r in rows} == {"page": "upload", "image": ""}
    assert "page" in model.do("resources", "web")
    model.do("add-machine", "-n", "2")
    assert set(json.loads(model.do("machines", "--format=json"))["machines"]) == {"0", "1", "2"}
    model.do("remove-machine", "1", "2")
    assert len(model.do("machines").splitlines()) == 2


def test_tick_fires_update_status(model: CommandLine) -> None:
    model.events.clear()
    model.do("tick", program="localmodel")
    assert model.events == [("web/0", "update-status")]


@pytest.mark.parametrize(("option", "events"), [([], ["leader-elected"]), (["--no-retry"], [])])
def test_a_failed_units_hook_is_resolved(
    model: CommandLine, option: list[str], events: list[str]
) -> None:
    store = Store(model.paths)
    stored = store.load("m")
    unit = stored.units["web/0"]
    unit.pending, unit.failures = Hook("leader-elected", "leader-elected"), 1
    unit.retry_at = 1e12
    store.save(stored)
    store.close()
    model.events.clear()
    model.do("resolved", "web/0", *option)
    assert [e for _, e in model.events] == events
    assert model.model().units["web/0"].pending is None


def test_no_traceback_reaches_the_user(capsys: pytest.CaptureFixture[str]) -> None:
    def refuse() -> int:
        raise LocalModelError("give another one")

    def interrupt() -> int:
        raise KeyboardInterrupt

    assert guarded(refuse) == 1
    assert capsys.readouterr().err == "ERROR give another one\n"
    assert guarded(interrupt) == 130
    assert capsys.readouterr().err.startswith("ERROR interrupted")
