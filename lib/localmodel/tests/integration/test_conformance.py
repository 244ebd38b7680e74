"""Holds what a charm sees here against what it saw on a controller, tool by tool.

`transcripts/` has what a charm wrote down on Juju 4.0.15 (unmanaged cloud, Ubuntu 22.04), a file
for each hook of each unit: its environment, and what it asked of every hook tool with what came
back. `transcripts/dispatch` is that charm. The same charm runs here, in the same model.
"""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from difflib import ndiff
from pathlib import Path
from typing import Any

import jubilant
import pytest
import yaml

from lib.localmodel.tests.integration import probe

TRANSCRIPTS = Path(__file__).parent / "transcripts"
PROBE: dict[str, Any] = {
    "name": "probe",
    "peers": {"peers": {"interface": "probepeer"}},
    "provides": {"srv": {"interface": "probe"}},
    "requires": {"cli": {"interface": "probe"}},
    "extra-bindings": {"xb": None},
    "resources": {"res": {"type": "file", "filename": "res.txt"}},
}
JUJU_INFO = {"juju-info": {"interface": "juju-info", "scope": "container"}}
SUBPROBE = {**PROBE, "name": "subprobe", "subordinate": True, "requires": JUJU_INFO}
OPTIONS = {
    "s": {"type": "string", "default": "x y"},
    "empty": {"type": "string", "default": ""},
    "nodefault": {"type": "string"},
    "nodefint": {"type": "int"},
    "i": {"type": "int", "default": 7},
    "f": {"type": "float", "default": 0},
    "g": {"type": "float", "default": 1.5},
    "b": {"type": "boolean", "default": True},
    "sec": {"type": "secret"},
}

# Which unit here stands for which there: the leader of probe was the second unit.
UNITS = {
    "probe-1": "probe-0",
    "probe-0": "probe-1",
    "probeb-0": "probeb-0",
    "subprobe-0": "subprobe-0",
    "subprobe-1": "subprobe-1",
}
# What may differ, and why.
DIFFERS = {
    # The files' times, and the control group of the agent, which is not a service here.
    "id/cwd",
    # Juju's own manual; ours is shorter.
    "config-get --help",
    "juju-reboot --help",
    "relation-set --help",
    # Names the controller's address in an URL.
    "resource-get nosuch",
    # Followed by a listing of the folder of tools.
    "nosuchtool",
}
# What depends on how far the other machines have come, until all are idle.
DEPENDS_ON_OTHERS = ("goal-state", "status-get --application")
# Set by the shell, or different between any two machines.
ENVIRONMENT = {"SHLVL", "JUJU_MACHINE_ID", "JUJU_MODEL_NAME"}
# What is particular to a controller, a machine or a moment.
PARTICULAR = {
    # Juju fetches resources from its controller, and says so.
    r"HTTP request failed: Get https://\S+: ": "",
    r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}": "UUID",
    r"\b172\.3[01]\.\d+\.\d+\b": "ADDRESS",
    r"\b([0-9a-f]{2}:){5}[0-9a-f]{2}\b": "MAC",
    r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ": "TIME",
    r"-[0-9a-f]{32}\b": "-CONTEXT",
    r"\b(probe|subprobe)/[01]\b": r"\1/N",
    r"\bunit-(probe|subprobe)-[01]\b": r"unit-\1-N",
    r"\b(peers|srv|cli|juju-info):\d\b": r"\1:R",
    # The number of the hook, which the charm puts into what it sets.
    r"\b(msg|app) \d+": r"\1 N",
    r"\b1\.2\.\d+": "1.2.N",
    r"--label l\d+": "--label lN",
    r'secret "l\d+"': 'secret "lN"',
    r'consumer label "l\d+"': 'consumer label "lN"',
}


def pack_probe(folder: Path, metadata: dict[str, Any]) -> Path:
    path = folder / f"{metadata['name']}.charm"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.yaml", yaml.safe_dump(metadata))
        archive.writestr("config.yaml", yaml.safe_dump({"options": OPTIONS}))
        dispatch = zipfile.ZipInfo("dispatch")
        dispatch.external_attr = 0o100755 << 16
        archive.writestr(dispatch, (TRANSCRIPTS / "dispatch").read_text())
    return path


def read_transcript(text: str) -> dict[str, str]:
    """Return what is in a transcript, by the command that it answers."""
    for pattern, name in PARTICULAR.items():
        text = re.sub(pattern, name, text)
    # What state-set has kept: a key for each hook so far, in a line or in JSON.
    text = re.sub(r"^out: k\d+: v\n", "", text, flags=re.MULTILINE)
    text = re.sub(r'("k\d+":"v",?)+', '"kN":"v"', text)
    text = re.sub(r"k\d+=v", "kN=v", text)
    sections: dict[str, str] = {}
    for section in text.split("## ")[1:]:
        command, _, answer = section.partition("\n")
        if command == "env":
            lines = (line for line in answer.splitlines() if line.split("=")[0] not in ENVIRONMENT)
            answer = "\n".join(lines)
        # A command may be asked again later in the hook.
        sections.setdefault(command, "")
        sections[command] += answer
    return sections


def kinds(folder: Path) -> dict[str, Path]:
    """Return the last transcript of each hook, such as 012-update-status of update-status."""
    return {file.name.partition("-")[2]: file for file in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def seen(juju: jubilant.Juju, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the charm wrote down here."""
    charms, found = (tmp_path_factory.mktemp(name) for name in ("probes", "seen"))
    pack_probe(charms, PROBE)
    pack_probe(charms, SUBPROBE)
    (charms / "res.txt").write_text("resource\n")
    bundle = {
        "applications": {
            "probe": {"charm": "./probe.charm", "num_units": 2, "resources": {"res": "./res.txt"}},
            "subprobe": {"charm": "./subprobe.charm"},
            "probeb": {"charm": "./probe.charm", "num_units": 1},
        },
        "relations": [["subprobe:juju-info", "probe:juju-info"], ["probe:srv", "probeb:cli"]],
    }
    (charms / "bundle.yaml").write_text(yaml.safe_dump(bundle))
    juju.deploy(charms / "bundle.yaml")
    assert juju.model
    probe.command("localmodel", "tick", "--model", juju.model)
    for upper in (probe.home() / "machines").glob("*/upper/var/tmp/probe"):
        shutil.copytree(upper, found, dirs_exist_ok=True)
    return found


@pytest.mark.parametrize("there", UNITS)
def test_a_unit_runs_the_hooks_that_it_ran_on_a_controller(seen: Path, there: str) -> None:
    ours = [f.name for f in sorted((seen / UNITS[there]).iterdir()) if f.name[0].isdigit()]
    hooks = [name.partition("-")[2] for name in ours]
    theirs = [file.name.partition("-")[2] for file in sorted((TRANSCRIPTS / there).iterdir())]
    # The relations of a unit are created in any order.
    assert sorted(set(hooks)) == sorted(set(theirs))
    last = [hook for hook in hooks if not hook.endswith("-created") and hook != "update-status"]
    known = [hook for hook in theirs if not hook.endswith("-created") and hook != "update-status"]
    assert last == known


@pytest.mark.parametrize("there", UNITS)
def test_a_unit_sees_what_it_saw_on_a_controller(seen: Path, there: str) -> None:
    ours = {k: f for k, f in kinds(seen / UNITS[there]).items() if f.name[0].isdigit()}
    different = []
    for hook, file in kinds(TRANSCRIPTS / there).items():
        theirs, own = (read_transcript(path.read_text()) for path in (file, ours[hook]))
        for command in theirs.keys() | own.keys():
            if command in DIFFERS:
                continue
            if hook != "update-status" and command.startswith(DEPENDS_ON_OTHERS):
                continue
            if hook.endswith("-created") and command.startswith(("relation-", "network-get")):
                continue  # the others may be created before or after
            expected, found = theirs.get(command, "not asked"), own.get(command, "not asked")
            if expected != found:
                lines = ndiff(expected.splitlines(), found.splitlines())
                changed = [line for line in lines if line[0] in "-+"]
                different.append("\n".join([f"{hook}: {command}", *changed]))
    assert not different, "\n".join(different)


# The charms of the model whose status was taken, as far as a status shows them.
NOTE = "status-set active 'serving on http://172.17.0.1/'"
SERVE = f"application-version-set 2.4.52-1ubuntu4.27; open-port 80/tcp; {NOTE}"
SEARCH = """
application-version-set 'mlucas 20.1.1'
case $JUJU_UNIT_NAME in
*/1) status-set active 'standby: mprime/0 works on this machine' ;;
*) status-set active 'M110503: 7.2 %, 2 min left' ;;
esac
"""
SEARCH_ENDPOINTS: dict[str, Any] = {
    "subordinate": True,
    "provides": {"cos-agent": {"interface": "cos_agent"}},
    "requires": {
        "juju-info": {"interface": "juju-info", "scope": "container"},
        "receive-ca-cert": {"interface": "certificate_transfer"},
        "charm-tracing": {"interface": "tracing"},
    },
}

# What may differ in a status, and why: by the path of its keys, where * is any key.
STATUS_DIFFERS = {
    "model.name": "of the model's own",
    "model.controller": "of the controller's own",
    "model.cloud": "machines were given to Juju by hand there",
    "machines.*.hostname": "of the machine's own",
    "machines.*.instance-id": "of the cloud's own",
    "machines.*.machine-status.message": "of the cloud's own",
    "machines.*.network-interfaces.docker0": "Juju lists the engine's bridge",
    "machines.*.base": "what this host runs",
    "applications.*.base": "what this host runs",
    "applications.mprime.application-status.message": "that of any unit, where several are alike",
    "applications.search2.version": "it had units, which are gone, but not what they had set",
}
STATUS_PARTICULAR = {
    **PARTICULAR,
    r"\b172\.17\.0\.1$": "ADDRESS",
    r"^\d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\dZ$": "TIME",
    r"^\d\d:\d\d:\d\dZ$": "TIME",
    r"cores=\d+ mem=\d+M": "cores=N mem=N",
}


def flatten(value: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Yield each value of a document with the path of its keys, but for what may differ."""
    for pattern in STATUS_DIFFERS:
        keys = pattern.split(".")
        if len(keys) == len(path) and all(k in ("*", p) for k, p in zip(keys, path, strict=True)):
            return
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from flatten(inner, (*path, key))
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from flatten(inner, (*path, str(number)))
    else:
        text = value
        for pattern, name in STATUS_PARTICULAR.items():
            text = re.sub(pattern, name, text) if isinstance(text, str) else text
        yield ".".join(path), text


def test_a_model_has_the_status_that_it_had_on_a_controller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")
    apache2 = probe.pack(tmp_path, "apache2", {"start": SERVE})
    tiny = probe.pack(tmp_path, "tiny", {"start": "status-set active hooks/update-status"})
    mprime = probe.pack(tmp_path, "mprime", {"start": SEARCH}, **SEARCH_ENDPOINTS)
    with jubilant.temp_model(config={"ignore-machine-addresses": False}) as juju:
        juju.deploy(apache2)
        juju.deploy(tiny, to="0")
        juju.deploy(apache2, "web2")
        juju.deploy(mprime)
        juju.deploy(mprime, "search2")
        # The first unit is gone, and the charm of the second and third was rebuilt.
        for app in ("apache2", "tiny"):
            juju.integrate(app, "mprime")
        juju.remove_relation("apache2", "mprime")
        built = {"start": SEARCH, "remove": "true"}
        juju.refresh("mprime", path=probe.pack(tmp_path, "mprime", built, **SEARCH_ENDPOINTS))
        juju.integrate("apache2", "mprime")
        ours = dict(flatten(json.loads(juju.cli("status", "--format", "json"))))
    theirs = dict(flatten(json.loads((TRANSCRIPTS / "status.json").read_text())))
    expected, found = (sorted(f"{p}: {value}" for p, value in d.items()) for d in (theirs, ours))
    different = [line for line in ndiff(expected, found) if line[0] in "-+"]
    assert not different, "\n".join(different)
