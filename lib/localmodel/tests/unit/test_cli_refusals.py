"""Wrong input: one ERROR line, exit code 1, and a database that is the same to the byte."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from pathlib import Path

import pytest
import yaml

from lib.localmodel.tests.unit.commandline import CommandLine
from lib.localmodel.tests.unit.driver import World
from lib.localmodel.tests.unit.packing import pack
from localmodel.operations.secrets import add_secret
from localmodel.paths import Paths
from localmodel.state import Model
from localmodel.store import Store


@pytest.fixture(scope="module")
def database(charms: Path, home: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What is stored of a model with web/0, search/0 attached, db/0 unrelated, and a secret."""
    folder = tmp_path_factory.mktemp("database")
    paths = Paths(folder, folder)
    paths.charms.symlink_to(home / "charms")
    store = Store(paths)
    store.set("underlay", "172.30.0.0/16")
    store.set("model", "m")
    world = World(store, Model(uuid=str(uuid.UUID(int=7)), name="m"), charms)
    for name in ("web", "search", "db"):
        world.deploy(name)
    world.integrate("web", "search")
    world.run_until_idle()
    add_secret(world.model, "token", {"key": "one"}, "")
    store.save(world.model)
    store.close()
    return paths.database.read_bytes()


@pytest.fixture
def model(cli: CommandLine, database: bytes) -> CommandLine:
    cli.paths.database.write_bytes(database)
    return cli


CASES = {
    # deploying
    "deploy nginx": '"nginx" not found',
    "deploy ./nginx.charm": "give a packed .charm file",
    "deploy ./folder": "folder: Juju 4 deploys packed charms only",
    "deploy ./broken.charm": "not a valid packed charm",
    "deploy web": 'cannot add application "web": application already exists',
    "deploy web 9lives": 'invalid application name "9lives"',
    "deploy web web-1": 'invalid application name "web-1"',
    "deploy web two --config prot=1": 'unknown option "prot": charm "web" has debug, motto',
    "deploy web two --config port=http": 'option "port" expected int, got "http"',
    "deploy web two --config share=0.5": 'option "share" expected float, got "0.5"',
    "deploy web two --config debug": "debug",
    "deploy web two --config title=@missing": 'option "title"',
    "deploy web two --resource pag=x": 'unrecognized resource "pag": charm "web" has image, page',
    "deploy web two --resource page=missing": "'missing' not found",
    "deploy web two --resource image=broken.charm": "OCI image",
    "deploy web two --resource page": 'expected "key=value", got "page"',
    "deploy web two --to 7": "machine 7 not found",
    "deploy web two --to lxd:0": 'placement "lxd:0"',
    "deploy web two --to db/9": 'unit "db/9" not found',
    "deploy web two --to zone": 'placement "zone" is neither a machine nor a unit',
    "deploy web two --to 0,0": "2 placements for 1 units",
    "deploy web two -n -1": "cannot add -1 units",
    "deploy web two -n many": "invalid int value: 'many'",
    "deploy search two --to 0": "cannot use --num-units or --to with subordinate",
    "deploy search two -n 2": "cannot use --num-units or --to with subordinate",
    "deploy stored": "the local model has no storage",
    "deploy web two --overlay o.yaml": "--overlay goes with a bundle only",
    "deploy bundle.yaml name": "can't be given for a bundle",
    "deploy bundle.yaml --to 0": "--to can't be given for a bundle",
    "deploy bundle.yaml": "unknown field `seris`",
    "deploy late.yaml": 'unknown option "prot"',
    "deploy missing.yaml": "cannot read bundle missing.yaml",
    "deploy": "arguments are required: charm",
    # relating
    "integrate web db": 'ambiguous relation: "web db"',
    "integrate web:nope db": 'application "web" has no "nope" relation: it has site, cache',
    "integrate web cache": 'application "cache" not found',
    "integrate web search": "relation already exists",
    "integrate web:site search:logs": 'no relations found: "web:site" offers site',
    "integrate web:cluster web:cluster": "no relations found",
    "integrate web": "arguments are required",
    "integrate web db --via 10.0.0.0/8": "cross-model",
    "remove-relation web db": 'relation "web db" not found',
    "remove-relation web cache": 'application "cache" not found',
    # units, applications, machines
    "add-unit cache": 'application "cache" not found',
    "add-unit search": "application is a subordinate",
    "add-unit web --to 9": "machine 9 not found",
    "remove-unit web/9 --no-prompt": 'unit "web/9" not found',
    "remove-unit search/0 --no-prompt": "unit is a subordinate",
    "remove-unit web --num-units 5 --no-prompt": "has 1 units, not 5",
    "remove-unit web db --num-units 1 --no-prompt": "goes with one application",
    "remove-unit web/0": "There is no terminal to ask on: give --no-prompt",
    "remove-application cache --no-prompt": 'application "cache" not found',
    "remove-application web cache --no-prompt": 'application "cache" not found',
    "remove-application web": "give --no-prompt",
    "add-machine lxd": 'placement "lxd"',
    "add-machine -n 0": "-n 0: give 1 or more",
    "remove-machine 9": "machine 9 not found",
    "remove-machine 0": "machine 0 hosts units search/0, web/0",
    # configuration
    "config cache": 'application "cache" not found',
    "config web prot": 'key "prot" not found in "web": it has',
    "config web prot=1": 'unknown option "prot"',
    "config web port=1 share=lots": 'option "share" expected float, got "lots"',
    "config web --reset prot": 'unknown option "prot"',
    "config web --file missing": "cannot read config missing",
    "model-config nope": 'key "nope" not found',
    "model-config nope=1": 'key "nope" not found',
    "model-config update-status-hook-interval=soon": 'interval "soon": give a span',
    "model-config update-status-hook-interval=0s": 'interval "0s": give 10s or more',
    "model-config update-status-hook-interval=9s": 'interval "9s": give 10s or more',
    "set-model-constraints speed=1": 'unknown constraint "speed": known are arch',
    "trust cache": 'application "cache" not found',
    # charms and resources
    "refresh cache": 'application "cache" not found',
    "refresh web --path ./gone.charm": "gone.charm' not found",
    "refresh web --path ./other.charm": 'charm "other" is not "web"',
    "refresh web --path ./turned.charm": "cannot change its subordinacy",
    "refresh search --path ./untied.charm": 'would break relation "juju-info"',
    "attach-resource web pag=x": 'unrecognized resource "pag"',
    "attach-resource web page=missing": "'missing' not found",
    "resources cache": 'application "cache" not found',
    # running
    "run web/0 fly": 'action "fly" not defined for unit "web/0", which has publish, restart',
    "run web/0 publish path": 'argument "path" must be of the form key.key.key...=value',
    "run web/0 publish path=[1": 'argument "path=[1" is not YAML: while parsing a flow sequence',
    "run web/0": "no action specified",
    "run restart": "no unit specified",
    "run web/0 db/0 restart": "all units must be of the same application",
    "run Web/0 restart": 'invalid unit or action name "Web/0"',
    "run web/0 publish --params missing": "cannot read parameters missing",
    "run web/0 restart --wait soon": '--wait "soon"',
    "run web/0 restart --wait 1.2.3s": '--wait "1.2.3s": give a span',
    "run web/0 restart --wait ²s": '--wait "²s": give a span',
    "run web/0 restart --wait 1s --background": "cannot specify both --wait and --background",
    "exec --unit web/0": "no commands specified",
    "exec -- ls": "You must specify a target",
    "exec --all --machine 0 -- ls": "You cannot specify --all and",
    "exec --application cache -- ls": 'application "cache" not found',
    "actions cache": 'application "cache" not found',
    "actions web --schema --format tabular": "full schema not compatible with tabular output",
    "show-task 7": 'task "7" not found',
    "show-operation 7": 'operation "7" not found',
    "show-machine 7": "machine 7 not found",
    "show-status-log web/7": 'unit "web/7" not found',
    "status --watch often": '--watch "often": give a span',
    "debug-log --level LOUD": "invalid choice: 'LOUD'",
    "ssh web/9 ls": 'unit "web/9" not found',
    "scp a b": "one of source and destination must be a machine's",
    "scp web/9:a b": 'unit "web/9" not found',
    "scp ./web/9:a b": "one of source and destination must be a machine's",
    "resolved web/0": 'unit "web/0" is not in an error state',
    "resolved web/9": 'unit "web/9" not found',
    "show-unit web/9": 'unit "web/9" not found',
    "show-application cache": 'application "cache" not found',
    # secrets
    "add-secret token key=x": 'secret with name "token" already exists',
    "add-secret other": "missing secret value or filename",
    "add-secret other k=x": 'key "k" not valid',
    "add-secret other key": 'key value "key" not valid: give KEY=VALUE',
    "add-secret other key#base64=!": 'key "key#base64"',
    "add-secret other key#file=missing": 'key "key#file"',
    "add-secret other --file missing": "'missing' is not a mapping",
    "update-secret none key=x": 'secret "none" not found',
    "update-secret token": "nothing to update",
    "grant-secret none web": 'secret "none" not found',
    "grant-secret token web,cache": 'application "cache" not found',
    "remove-secret none": 'secret "none" not found',
    "remove-secret token --revision 7": "has no revision 7",
    "show-secret none": 'secret "none" not found',
    "show-secret token --revision 7": "has no revision 7",
    # models and the command line itself
    "add-model m": 'model "m" already exists',
    "add-model My_Model": '"My_Model" is not a valid name',
    "add-model n --config nope=1": 'key "nope" not found',
    "add-model n --config update-status-hook-interval=0m": 'interval "0m": give 10s or more',
    "add-model n --config ignore-machine-addresses=1": '"1": give true or false',
    "destroy-model none --no-prompt": 'model "none" not found',
    "destroy-model m": "give --no-prompt",
    "switch none": 'model "none" not found',
    "status -m none": 'model "none" not found',
    "status --format xml": "invalid choice: 'xml'",
    "status --nonsense": "unrecognized arguments: --nonsense; see juju status --help",
    "frobnicate": 'juju: "frobnicate" is not a juju command. See "juju --help".',
    "bootstrap lxd": 'juju: "bootstrap" is not a juju command.',
    "help frobnicate": 'juju: "frobnicate" is not a juju command.',
    "debug-log --limit x": "invalid int value: 'x'",
}


@pytest.fixture
def files(tmp_path: Path) -> None:
    """What the cases refer to, in the folder where commands run."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.charm").write_text("no archive")
    pack(tmp_path, "other")
    pack(tmp_path, "web", filename="turned", subordinate=True)
    juju_info = {"host-info": {"interface": "juju-info", "scope": "container"}}
    pack(tmp_path, "search", filename="untied", requires=juju_info)
    bundle = {"applications": {"two": {"charm": "web", "seris": "x"}}}
    (tmp_path / "bundle.yaml").write_text(yaml.safe_dump(bundle))
    late = {"one": {"charm": "web"}, "two": {"charm": "web", "options": {"prot": 1}}}
    (tmp_path / "late.yaml").write_text(yaml.safe_dump({"applications": late}))


@pytest.mark.parametrize("line", CASES)
@pytest.mark.usefixtures("files")
def test_wrong_input_is_named_and_changes_nothing(model: CommandLine, line: str) -> None:
    before = model.stored()
    assert CASES[line] in model.refusal(*line.split())
    assert model.stored() == before


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("run web/9 restart", 'unit "web/9" not found'),
        ("run cache/leader restart", 'application "cache" not found'),
        ("exec --unit web/9 -- ls", 'unit "web/9" not found'),
        ("exec --machine 9 -- ls", "machine 9 not found"),
    ],
)
def test_what_has_no_target_is_scheduled_for_none_and_ends_well(
    model: CommandLine, line: str, told: str
) -> None:
    result = model(*line.split())
    says = f"Operation 1 failed to schedule any tasks:\n{told}\n"
    assert (result.code, result.out, result.err) == (0, "", says)
    shown = model.do("operations", "--actions", "restart,juju-exec", "--format", "json")
    assert shown == ""


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("", '(root) : "path" property is missing and required, given {}'),
        ("path=1", "(root).path : must be of type string, given 1"),
        (
            "path=x colour=red",
            '(root) : additional property "colour" is not allowed,'
            ' given {"colour":"red","path":"x"}',
        ),
        ("path=x tags=y", "(root).tags : must be of type object, given true"),
        ("path=x tags=1 tags.a=2 mode.b=1", '(root).mode : must be of type string, given {"b":1}'),
    ],
)
def test_an_action_that_its_schema_refuses_is_a_failed_task_and_the_command_ends_well(
    model: CommandLine, words: str, told: str
) -> None:
    result = model("run", "--format", "json", "web/0", "publish", *words.split())
    task = json.loads(result.out)["web/0"]
    assert (result.code, result.err) == (0, "")
    assert (task["id"], task["status"]) == ("2", "failed")
    assert task["message"] == f"validation failed: {told}"
    assert "results" not in task
    plain = model("run", "web/0", "publish", *words.split())
    assert plain.out.startswith(f"Action id 4 failed: validation failed: {told}\n")
    assert plain.err.splitlines()[:2] == [
        "Running operation 3 with 1 task",
        "  - task 4 on unit-web-0",
    ]


@pytest.mark.parametrize(("typed", "meant"), [("stattus", "status"), ("deploi", "deploy")])
def test_a_mistyped_command_is_told_what_is_near(
    model: CommandLine, typed: str, meant: str
) -> None:
    result = model(typed)
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        f'ERROR juju: "{typed}" is not a juju command. See "juju --help".\n'
        f"\nDid you mean:\n\t{meant}\n"
    )


def test_no_model_is_selected_at_first(cli: CommandLine) -> None:
    assert "No selected model: make one" in cli.refusal("status")


def test_whoever_is_not_root_is_told_so(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("localmodel.cli.session.os.geteuid", lambda: 1000)
    assert "must run as root; use sudo" in cli.refusal("status")
    assert not cli.paths.database.exists()


def test_what_the_host_refuses_is_told_in_one_line(
    cli: CommandLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("LOCALMODEL_HOME", str(home))
    (home / "state.db").mkdir(parents=True)
    told = f"{home}/state.db: unable to open database file: fix that"
    assert told in cli.refusal("status")
    shutil.rmtree(home)
    home.touch()
    assert f"{home}: File exists: fix that" in cli.refusal("status")


def test_an_application_whose_sockets_would_have_no_path_is_refused_by_name(
    model: CommandLine,
) -> None:
    most = model.paths.longest_app
    before = model.stored()
    for words in (["deploy", "web"], ["deploy", "search"]):
        refusal = model.refusal(*words, "a" * (most + 1))
        assert f'"{"a" * (most + 1)}" is {most + 1} characters long; at most {most}' in refusal
        assert "which has 107 bytes" in refusal
    assert model.stored() == before
    model.do("deploy", "web", "a" * most)


def test_a_model_that_is_down_takes_no_changes(model: CommandLine) -> None:
    store = Store(model.paths)
    store.set("down", "yes")
    store.close()
    before = model.stored()
    assert model.refusal("deploy", "db", "x") == (
        "the local model is down: start it with localmodel up"
    )
    assert model.stored() == before
    assert "web/0*" in model.do("status")


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("frobnicate", 'localmodel: "frobnicate" is not a localmodel command.'),
        ("up --underlay 10.0.0.0/8", "does not overlap 10.0.2.0/24"),
        ("up --underlay 172.31.0.0/16", "machines have addresses in it"),
        ("reboot 9", "machine 9 not found"),
        ("reboot", "arguments are required: machine"),
        ("tick -m none", 'model "none" not found'),
    ],
)
def test_wrong_input_to_localmodel_changes_nothing(
    model: CommandLine, line: str, says: str
) -> None:
    before = model.stored()
    assert re.search(re.escape(says), model.refusal(*line.split(), program="localmodel"))
    assert model.stored() == before
