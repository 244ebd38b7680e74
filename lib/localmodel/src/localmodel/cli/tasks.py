"""Actions, commands, shells and copies."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from localmodel.agent import Agent
from localmodel.charms import Action, read_meta
from localmodel.cli.commands import MODEL, arg, flag, form, ignored, say
from localmodel.cli.registry import juju
from localmodel.cli.session import changing, model_name, open_store, show
from localmodel.dispatch import AGENT_PATH
from localmodel.errors import LocalModelError
from localmodel.host import processes
from localmodel.host.machine import Instance
from localmodel.state import Model, Unit, iso
from localmodel.tasks import JUJU_EXEC, Task

WAIT = arg("--wait", help="how long it may take, such as 30s, 5m, 1h")


@juju.command(
    "run",
    MODEL,
    form("plain", "json", "yaml"),
    arg("unit", help="a unit, or APP/leader"),
    arg("action"),
    arg("params", nargs="*", metavar="KEY=VALUE"),
    arg("--params", dest="file", help="a YAML file with parameters"),
    flag("--string-args", help="take values as text, not as YAML"),
    WAIT,
)
def run(args: argparse.Namespace) -> int:
    """Run an action on a unit and print its results."""
    timeout = _seconds(args.wait)
    with changing(args.model) as agent:
        unit = agent.model.unit(args.unit)
        meta = read_meta(agent.store.paths, agent.model.apps[unit.app].sha256)
        if args.action not in meta.actions:
            known = ", ".join(sorted(meta.actions)) or "none"
            raise LocalModelError(
                f'action "{args.action}" not defined for unit "{unit.name}",'
                f" which has {known} (not found)"
            )
        params = _read_params(args)
        _check_params(args.action, meta.actions[args.action], params)
        agent.run_until_idle()
        _require_installed(unit)
        task = _new_task(agent, unit.name, args.action, params)
        if args.format == "plain":
            say(f"Running operation {task.id} with 1 task\n  - task {task.id} on {unit.tag}\n")
        agent.run_action(unit, task, timeout)
    return _print_task(task, args.format)


@juju.command(
    "exec",
    MODEL,
    form("plain", "json", "yaml"),
    arg("-u", "--unit"),
    arg("--machine"),
    WAIT,
    arg("command", nargs=argparse.REMAINDER, metavar="-- COMMAND"),
    passes_on=True,
)
def execute(args: argparse.Namespace) -> int:
    """Run a shell command on a machine, or with a unit's hook tools."""
    words = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not words:
        raise LocalModelError("no command given: put it after --")
    if (args.unit is None) == (args.machine is None):
        raise LocalModelError("give either --unit or --machine")
    script = words[0] if len(words) == 1 else shlex.join(words)
    timeout = _seconds(args.wait)
    with changing(args.model) as agent:
        agent.run_until_idle()
        if args.unit:
            unit = agent.model.unit(args.unit)
            _require_installed(unit)
            task = _new_task(agent, unit.name, JUJU_EXEC, {})
            agent.run_command(unit, task, script, timeout)
        else:
            machine = agent.model.machine(args.machine)
            task = _new_task(agent, machine.number, JUJU_EXEC, {})
            _run_on_machine(agent.instance(machine), task, script, timeout)
    return _print_task(task, args.format)


@juju.command(
    "ssh",
    MODEL,
    flag("--no-host-key-checks", help=argparse.SUPPRESS),
    ignored("--container", value=True),
    arg("target", metavar="[USER@]UNIT|MACHINE"),
    arg("command", nargs=argparse.REMAINDER),
    passes_on=True,
)
def ssh(args: argparse.Namespace) -> int:
    """Open a shell on a machine, as root, or run a command in one."""
    user, _, target = args.target.rpartition("@")
    words = args.command[1:] if args.command[:1] == ["--"] else args.command
    shell = ["/bin/bash", "-lc", " ".join(words)] if words else ["/bin/bash", "-l"]
    if user and user != "root":
        shell = ["/usr/bin/sudo", "-iu", user, *(["--", *shell] if words else [])]
    command = _target(args.model, target).command(shell, "/root")
    return subprocess.run(command, env=_login(), check=False).returncode


@juju.command(
    "scp",
    MODEL,
    flag("-r", dest="recursive", help="folders too"),
    ignored("-C"),
    ignored("-q"),
    flag("--no-host-key-checks", help=argparse.SUPPRESS),
    ignored("--container", value=True),
    arg("source", metavar="[[USER@]UNIT|MACHINE:]PATH"),
    arg("destination", metavar="[[USER@]UNIT|MACHINE:]PATH"),
)
def scp(args: argparse.Namespace) -> None:
    """Copy files to or from a machine."""
    source, destination = _place(args.model, args.source), _place(args.model, args.destination)
    if (source[0] is None) == (destination[0] is None):
        raise LocalModelError("one of source and destination must be a machine's, as 0:PATH")
    option = "-rT" if args.recursive else "-T"
    # Piped through cat and tar, which open each side's files in its own root.
    if args.recursive:
        reader = ["/usr/bin/tar", "-C", source[1], "-cf", "-", "."]
        writer = ["/bin/sh", "-c", 'mkdir -p "$1" && tar -C "$1" -xf -', option, destination[1]]
    else:
        name = Path(source[1]).name
        reader = ["/bin/cat", "--", source[1]]
        script = 't=$1; [ ! -d "$t" ] || t=$t/$2; cat >"$t"'
        writer = ["/bin/sh", "-c", script, "sh", destination[1], name]
    first = subprocess.Popen(_on(source[0], reader), stdout=subprocess.PIPE)
    second = subprocess.run(_on(destination[0], writer), stdin=first.stdout, check=False)
    if first.wait() or second.returncode:
        raise LocalModelError(f"copying {args.source} to {args.destination} failed")


def _on(instance: Instance | None, argv: list[str]) -> list[str]:
    return instance.command(argv, "/root") if instance else argv


def _place(model: str | None, text: str) -> tuple[Instance | None, str]:
    """A side of a copy: the machine, or None for this host, and the path."""
    target, colon, path = text.partition(":")
    if not colon or "/" in target.partition("/")[2]:
        return None, text
    return _target(model, target.rpartition("@")[2]), path or "."


def _target(given: str | None, target: str) -> Instance:
    """The machine that a unit's or a machine's name stands for."""
    store = open_store()
    model = store.load(model_name(store, given))
    number = model.unit(target).machine if "/" in target else target
    machine = model.machine(number)
    return Instance(store.paths, machine.name, machine.address)


def _login() -> dict[str, str]:
    """What a login on the machine begins with."""
    return {
        "HOME": "/root",
        "USER": "root",
        "LOGNAME": "root",
        "SHELL": "/bin/bash",
        "LANG": "C.UTF-8",
        "PATH": AGENT_PATH,
        "TERM": os.environ.get("TERM", "dumb"),
    }


def _run_on_machine(instance: Instance, task: Task, script: str, timeout: float | None) -> None:
    process = subprocess.Popen(
        instance.command(["/bin/bash", "-c", script], "/root"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=_login(),
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired as e:
        # What nsenter has started in the machine would outlive it.
        processes.kill(processes.tree(process.pid))
        process.communicate()
        raise LocalModelError(f"timed out waiting for results from: machine {task.target}") from e
    task.finish(process.returncode, out.splitlines(), err.splitlines())


def _new_task(agent: Agent, target: str, action: str, params: dict[str, Any]) -> Task:
    model: Model = agent.model
    task = Task(str(model.next_task), target, action, params)
    model.next_task += 1
    agent.save()
    return task


def _require_installed(unit: Unit) -> None:
    if not unit.local.installed:
        raise LocalModelError(
            f'unit "{unit.name}" is not installed yet: see juju status and juju debug-log'
        )


def _read_params(args: argparse.Namespace) -> dict[str, Any]:
    """An action's parameters: the file's, and over them ``a.b=c`` words, whose values are YAML."""
    params: dict[str, Any] = {}
    if args.file:
        try:
            params = yaml.safe_load(Path(args.file).read_text()) or {}
        except (OSError, yaml.YAMLError) as e:
            raise LocalModelError(f"cannot read parameters {args.file}: {e}") from e
        if not isinstance(params, dict):
            raise LocalModelError(f"cannot read parameters {args.file}: not a mapping")
    for word in args.params:
        key, equals, text = word.partition("=")
        if not equals or not key:
            raise LocalModelError(f'argument "{word}" must be of the form key=value')
        *parents, last = key.split(".")
        level = params
        for parent in parents:
            level = level.setdefault(parent, {})
        level[last] = text if args.string_args else yaml.safe_load(text)
    return params


def _check_params(name: str, action: Action, params: dict[str, Any]) -> None:
    """Refuse parameters that the charm's schema does not allow, as Juju does before it runs."""
    schema = {
        "type": "object",
        "properties": action.params,
        "required": action.required,
        "additionalProperties": action.additional,
    }
    error = jsonschema.Draft7Validator(schema).iter_errors(params)
    for problem in error:
        where = "".join(f".{part}" for part in problem.absolute_path)
        raise LocalModelError(f'validation failed for action "{name}"{where}: {problem.message}')
    for key, schema_of in action.params.items():
        if isinstance(schema_of, dict) and "default" in schema_of:
            params.setdefault(key, schema_of["default"])


def _seconds(text: str | None) -> float | None:
    """Read a span such as ``30s`` or ``1m30s``. Raises: LocalModelError."""
    if text is None:
        return None
    parts = re.findall(r"([\d.]+)(ms|s|m|h)", text)
    if not parts or "".join(n + u for n, u in parts) != text:
        raise LocalModelError(f'--wait "{text}": give a span such as 30s, 5m or 1m30s')
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    return sum(float(number) * units[unit] for number, unit in parts)


def _print_task(task: Task, form: str) -> int:
    """Print what came of a task; the exit code says whether it failed."""
    failed = task.status != "completed" or task.results["return-code"] != 0
    if form == "plain":
        _print_plainly(task)
    else:
        body = {
            "id": task.id,
            "status": task.status,
            "timing": {
                "enqueued": iso(task.started),
                "started": iso(task.started),
                "completed": iso(task.completed),
            },
            "log": [f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}" for line in task.log],
            "results": task.results,
        }
        if task.message:
            body["message"] = task.message
        show({task.target: body}, form)
    if failed:
        print("ERROR the following task failed:", file=sys.stderr)
        print(f' - id "{task.id}" with return code {task.results["return-code"]}', file=sys.stderr)
        if task.message:
            print(f"   {task.message}", file=sys.stderr)
        print("\ntask failed", file=sys.stderr)
    return 1 if failed else 0


def _print_plainly(task: Task) -> None:
    results = dict(task.results)
    results.pop("return-code", None)
    stderr = results.pop("stderr", "")
    stdout = results.pop("stdout", "")
    for line in task.log:
        print(line, file=sys.stderr)
    if results:
        print(yaml.safe_dump(results, sort_keys=False, allow_unicode=True), end="")
    print(stdout, end="")
    print(stderr, end="", file=sys.stderr)
