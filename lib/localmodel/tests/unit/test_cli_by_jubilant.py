"""jubilant drives the command line: every flag it passes is taken, all it parses is there."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path
from typing import Any

import jubilant
import pytest

from lib.localmodel.tests.unit.commandline import CommandLine
from lib.localmodel.tests.unit.packing import pack
from localmodel.cli.registry import Command
from localmodel.cli.registry import juju as registry
from localmodel.juju import load_verbs

# Methods for what the local model has not: clouds, keys, controllers, other models.
ELSEWHERE = {
    "add_cloud",
    "add_credential",
    "add_ssh_key",
    "bootstrap",
    "consume",
    "offer",
    "remove_ssh_key",
    "update_cloud",
}


def everything(juju: jubilant.Juju) -> None:
    """Call every method with every argument that it takes."""
    some = {"a": 1, "b": True}
    text = {"k": "v"}
    juju.add_machine(
        "lxd",
        base="ubuntu@24.04",
        constraints=some,
        disks=["a", "b"],
        num_machines=2,
        private_key="/k",
        public_key="/p",
    )
    juju.add_model("x", "cloud", controller="c", config=some, credential="c")
    juju.add_model("m")
    juju.add_secret("s", text, info="i")
    juju.add_unit("a", attach_storage=["s/0"], num_units=2, to=["0", "1"])
    juju.config("a")
    juju.config("a", app_config=True)
    juju.config("a", some, reset=["x", "y"])
    juju.config("a", reset="x")
    juju.debug_log(limit=5)
    juju.deploy(
        "./c.charm",
        "a",
        attach_storage="s/0",
        base="ubuntu@24.04",
        bind={"": "alpha"},
        channel="edge",
        config=some,
        constraints=some,
        force=True,
        num_units=2,
        overlays=["o.yaml", Path("p.yaml")],
        resources=text,
        revision=3,
        storage=text,
        to=["0", "1"],
        trust=True,
    )
    juju.destroy_model(
        "other",
        destroy_storage=True,
        force=True,
        no_wait=True,
        release_storage=True,
        timeout=5,
    )
    juju.exec("ls", "-l", "--all", machine=0, wait=3)
    juju.exec("ls -l", unit="a/0")
    juju.grant_secret("s", ["a", "b"])
    juju.integrate("a:x", "b", via=["10.0.0.0/8"])
    juju.model_config()
    juju.model_config(some, reset=["x"])
    juju.model_constraints()
    juju.model_constraints(some)
    juju.refresh(
        "a",
        base="ubuntu@24.04",
        channel="edge",
        config=some,
        force=True,
        path="./c.charm",
        resources=text,
        revision=3,
        storage=text,
        trust=True,
    )
    juju.remove_application("a", "b", destroy_storage=True, force=True)
    juju.remove_relation("a:x", "b", force=True)
    juju.remove_secret("s", revision=1)
    juju.remove_unit("a", destroy_storage=True, force=True, num_units=1)
    juju.remove_unit("a/0", "a/1")
    juju.run("a/0", "act", {"x": 1}, wait=5)
    juju.scp("a/0:/x", "y", container="c", host_key_checks=False, scp_options=["-r", "-C"])
    juju.scp("x", "a/0:y")
    juju.secrets(owner="a")
    juju.show_model("x")
    juju.show_secret("s", reveal=True, revision=1)
    juju.show_secret("s", revisions=True)
    juju.show_unit("a/0")
    juju.ssh("a/0", "ls", "-l", container="c", host_key_checks=False, user="ubuntu")
    juju.ssh(0, "ls", ssh_options=["-o", "X=y"])
    juju.status()
    juju.trust("a", remove=True, scope="cluster")
    juju.update_secret("s", text, info="i", name="n", auto_prune=True)
    juju.version()
    juju.wait(lambda status: True, delay=0, successes=1)


class Recorder(jubilant.Juju):
    """Notes the argument lists in place of running them."""

    def __init__(self) -> None:
        super().__init__(model="m")
        self.lines: list[list[str]] = []
        self.called: set[str] = set()

    def _cli(self, *args: str, include_model: bool = True, **_: Any) -> tuple[str, str]:
        if include_model:
            args = (args[0], "--model", "m", *args[1:])
        self.lines.append(list(args))
        self.called.add(inspect.currentframe().f_back.f_code.co_name)  # type: ignore[union-attr]
        raise RecordedError


class RecordedError(Exception):
    """Stops a method before it parses what nobody answered."""


def record() -> tuple[list[list[str]], set[str]]:
    """The argument lists of `everything`, and the methods called."""
    juju = Recorder()
    methods: set[str] = set()

    class Each:
        """Passes calls on one by one, past their ends."""

        def __getattr__(self, name: str) -> Any:
            methods.add(name)

            def call(*args: Any, **options: Any) -> None:
                with pytest.raises(RecordedError):
                    getattr(juju, name)(*args, **options)

            return call

    everything(Each())  # type: ignore[arg-type]
    return juju.lines, methods


LINES, METHODS = record()


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, argparse.Namespace]]:
    """What reaches the verbs, which are not run."""
    load_verbs()
    found: list[tuple[str, argparse.Namespace]] = []

    def note(command: Command) -> Command:
        return command._replace(run=lambda args: found.append((command.name, args)))

    commands = {name: note(command) for name, command in registry.commands.items()}
    monkeypatch.setattr(registry, "commands", commands)
    return found


def test_every_method_of_jubilant_is_called_here() -> None:
    public = {
        name
        for name, member in inspect.getmembers(jubilant.Juju, inspect.isfunction)
        if not name.startswith("_")
    }
    assert public - ELSEWHERE - {"cli"} == METHODS


# Not by the whole line: it may name a temporary file, and two processes would disagree on it.
@pytest.mark.parametrize("line", LINES, ids=lambda line: line[0])
def test_every_argument_list_of_jubilant_is_taken(
    parsed: list[tuple[str, argparse.Namespace]], line: list[str]
) -> None:
    assert registry.main(line) == 0
    ((name, args),) = parsed
    assert name == line[0]
    if "--model" in line:
        assert args.model == "m"


def test_words_after_a_command_are_left_to_it(
    parsed: list[tuple[str, argparse.Namespace]],
) -> None:
    registry.main(["exec", "--unit", "a/0", "--wait", "3s", "--", "ls", "--format", "json"])
    registry.main(["ssh", "a/0", "ls", "--model", "x"])
    assert parsed[0][1].command == ["--", "ls", "--format", "json"]
    assert (parsed[1][1].command, parsed[1][1].model) == (["ls", "--model", "x"], None)


class InProcess(jubilant.Juju):
    """Runs its commands in this process."""

    def __init__(self, command_line: CommandLine) -> None:
        super().__init__()
        self.command_line = command_line

    def _cli(self, *args: str, include_model: bool = True, **_: Any) -> tuple[str, str]:
        if include_model and self.model is not None:
            args = (args[0], "--model", self.model, *args[1:])
        result = self.command_line(*args)
        if result.code:
            raise jubilant.CLIError(result.code, list(args), result.out, result.err)
        return result.out, result.err


@pytest.fixture
def juju(cli: CommandLine) -> InProcess:
    juju = InProcess(cli)
    juju.add_model("m")
    return juju


def test_jubilant_deploys_relates_configures_and_removes(juju: InProcess, tmp_path: Path) -> None:
    pack(tmp_path, "web")
    juju.deploy("./web.charm", "site", num_units=2, config={"port": 81, "debug": True})
    juju.deploy("search")
    juju.integrate("site", "search")
    status = juju.wait(lambda s: len(s.apps["site"].units) == 2, delay=0, successes=1)
    assert set(status.apps["site"].units["site/1"].subordinates) == {"search/1"}
    assert juju.config("site")["port"] == 81
    juju.config("site", {"title": "a=b"}, reset=["port"])
    config = juju.config("site")
    assert (config["title"], config["port"], config["debug"]) == ("a=b", 80, True)
    assert juju.config("site", app_config=True) == {"trust": False}
    juju.trust("site", scope="cluster")
    assert juju.config("site", app_config=True) == {"trust": True}
    juju.add_unit("site", to="0")
    juju.remove_unit("site", num_units=1)
    juju.remove_unit("site/1")
    assert set(juju.status().apps["site"].units) == {"site/0"}
    juju.remove_relation("site", "search")
    juju.remove_application("site", "search", force=True)
    assert juju.status().apps == {}


def test_jubilant_keeps_secrets(juju: InProcess) -> None:
    juju.deploy("web")
    uri = juju.add_secret("token", {"key": "one"}, info="for web")
    juju.grant_secret("token", "web")
    juju.update_secret(uri, {"key": "two"}, auto_prune=True)
    (secret,) = juju.secrets()
    assert (secret.uri.unique_identifier, secret.name) == (uri.unique_identifier, "token")
    assert (secret.revision, secret.owner, secret.description) == (2, "<model>", "for web")
    assert juju.show_secret(uri, reveal=True).content == {"key": "two"}
    assert juju.show_secret("token", reveal=True, revision=1).content == {"key": "one"}
    revisions = juju.show_secret(uri, revisions=True).revisions
    assert revisions is not None
    assert [r.revision for r in revisions] == [1, 2]
    juju.remove_secret(uri, revision=2)
    juju.update_secret(uri, {"key": "three"})
    assert juju.show_secret("token", reveal=True).content == {"key": "three"}
    juju.remove_secret(uri)
    assert juju.secrets() == []


def test_jubilant_reads_models_units_and_versions(juju: InProcess) -> None:
    juju.deploy("web")
    assert juju.version().major == 4
    assert juju.show_model().short_name == "m"
    unit = juju.show_unit("web/0")
    assert (unit.machine, unit.leader, unit.life) == ("0", True, "alive")
    juju.model_config({"update-status-hook-interval": "1h"})
    assert juju.model_config()["update-status-hook-interval"] == "1h"
    juju.model_config(reset="update-status-hook-interval")
    assert juju.model_config()["update-status-hook-interval"] == "5m"
    juju.model_constraints({"mem": "2G"})
    assert juju.model_constraints() == {"mem": "2G"}
    assert juju.debug_log(limit=3) == ""
    juju.destroy_model("m")
    assert juju.model is None


def test_jubilant_is_told_of_an_action_that_is_not_there(juju: InProcess) -> None:
    juju.deploy("web")
    with pytest.raises(ValueError, match='action "fly" not defined'):
        juju.run("web/leader", "fly")
