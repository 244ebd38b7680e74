"""What these tests stand on: packed charms in sh that journal what they do, and a command line."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jubilant
import yaml

SHIM = Path(sys.prefix) / "shim"

# Where charms journal, on their machine; tests put files here that hooks look for.
PROBE = "/var/lib/probe"

# A charm's dispatch: journals, then takes in what the charm has for this hook or action.
DISPATCH = """\
#!/bin/sh
set -eu
probe=/var/lib/probe
name=${JUJU_DISPATCH_PATH##*/}
mkdir -p $probe
note() {
    fields="$1|$JUJU_UNIT_NAME|$name|$JUJU_CONTEXT_ID|${JUJU_REMOTE_UNIT:-}"
    echo "$fields|${JUJU_DEPARTING_UNIT:-}|$(pwd)|$(id -un)|$(readlink /proc/$$/fd/0)" \\
        >>$probe/journal
}
tr '\\0' '\\n' </proc/$$/environ >"$probe/$(echo "$JUJU_UNIT_NAME" | tr / -).$name"
note begin
if [ -e "./$JUJU_DISPATCH_PATH" ]; then . "./$JUJU_DISPATCH_PATH"; fi
note end
"""


def pack(
    folder: Path,
    name: str,
    hooks: Mapping[str, str] | None = None,
    *,
    config: Mapping[str, Any] | None = None,
    actions: Mapping[str, Any] | None = None,
    files: Mapping[str, str] | None = None,
    **metadata: Any,
) -> Path:
    """Pack a charm; `hooks` are bodies in sh, by the name of their hook or action."""
    actions = actions or {}
    content = {
        "metadata.yaml": yaml.safe_dump({"name": name, "summary": name, **metadata}),
        "config.yaml": yaml.safe_dump({"options": config or {}}),
        "actions.yaml": yaml.safe_dump(actions),
        "dispatch": DISPATCH,
        **(files or {}),
    }
    for hook, body in (hooks or {}).items():
        content[f"{'actions' if hook in actions else 'hooks'}/{hook}"] = body
    path = folder / f"{name}.charm"
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in content.items():
            info = zipfile.ZipInfo(file)
            info.external_attr = (0o100755 if file == "dispatch" else 0o100644) << 16
            archive.writestr(info, text)
    return path


@dataclass
class Run:
    """One dispatch as the charm itself journalled it.

    `alone` is whether the run before it on its machine had come to its end by then.
    """

    unit: str
    name: str
    context: str
    remote: str
    departing: str
    folder: str
    user: str
    stdin: str
    ended: bool = False
    alone: bool = True

    def __str__(self) -> str:
        return f"{self.name} {self.remote}".strip()


def read_journal(text: str) -> list[Run]:
    runs: list[Run] = []
    for line in text.splitlines():
        what, *fields = line.split("|")
        if what == "begin":
            unit, name, context, remote, departing, folder, user, stdin = fields
            alone = not runs or runs[-1].ended
            runs.append(
                Run(unit, name, context, remote, departing, folder, user, stdin, alone=alone)
            )
        else:
            next(r for r in runs if r.context == fields[2]).ended = True
    return runs


def as_root(juju: jubilant.Juju, target: str | int, script: str) -> str:
    """Run a script on a machine as root, and return what it says. Who logs in is ubuntu."""
    return juju.ssh(target, "sudo", "/bin/bash", "-c", shlex.quote(script))


def journal(juju: jubilant.Juju, machine: int = 0) -> list[Run]:
    """Everything that has run on a machine, in order."""
    return read_journal(as_root(juju, str(machine), f"cat {PROBE}/journal"))


def events(runs: Sequence[Run], unit: str) -> list[str]:
    """A unit's hooks in order, each with the remote unit it was about, if any."""
    return [str(r) for r in runs if r.unit == unit]


def environment(juju: jubilant.Juju, unit: str, name: str, machine: int = 0) -> dict[str, str]:
    """The environment of a unit's latest run of a hook or an action."""
    text = as_root(juju, str(machine), f"cat {PROBE}/{unit.replace('/', '-')}.{name}")
    pairs = (line.partition("=") for line in text.splitlines())
    return {name: value for name, _, value in pairs}


def touch(juju: jubilant.Juju, name: str, machine: int = 0) -> None:
    """Put a file there that hooks look for."""
    as_root(juju, str(machine), f"mkdir -p {PROBE}; touch {PROBE}/{name}")


def remove(juju: jubilant.Juju, name: str, machine: int = 0) -> None:
    as_root(juju, str(machine), f"rm {PROBE}/{name}")


def command(*argv: str | Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run `juju` or `localmodel` to its end."""
    program, *words = map(str, argv)
    return subprocess.run(
        [SHIM / program, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=check,
    )


def start(*argv: str | Path) -> subprocess.Popen[str]:
    """Start `juju` or `localmodel` in a process group of its own, as a shell does."""
    program, *words = map(str, argv)
    return subprocess.Popen(
        [SHIM / program, *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def home() -> Path:
    """Where the instance under test keeps what it has."""
    return Path("/var/lib") / os.environ["LOCALMODEL_NAME"]
