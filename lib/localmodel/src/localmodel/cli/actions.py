"""Runs actions and commands."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from localmodel.agent import Agent
from localmodel.charms import read_meta
from localmodel.cli.arguments import MODEL, arg, flag, form, ignored, read_span, split_values
from localmodel.cli.operations import PLAIN, print_log, print_plainly
from localmodel.cli.registry import juju
from localmodel.cli.session import changing
from localmodel.cli.shells import login
from localmodel.cli.terminal import print_document, print_note
from localmodel.errors import LocalModelError
from localmodel.machines import processes
from localmodel.machines.instance import Instance
from localmodel.operations import actions
from localmodel.state import Model, Unit
from localmodel.tasks import JUJU_EXEC, Operation, Task

# How long a task may take where --wait does not say, in seconds: an action, and a command.
ACTION_WAIT = 60.0
COMMAND_WAIT = 300.0

WAIT = arg("--wait", help="how long to wait, such as 30s, 5m, 1h")
BACKGROUND = flag("--background", help="do not wait; print the operation's number")
UNIT = re.compile(r"^[a-z][a-z0-9-]*/(\d+|leader)$")
ACTION = re.compile(r"^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$")


@juju.command(
    "run",
    MODEL,
    form("plain", "json", "yaml"),
    arg("words", nargs="+", metavar="UNIT... ACTION [KEY=VALUE...]", help="APP/leader is a unit"),
    arg("--params", dest="file", help="a YAML file with parameters"),
    flag("--string-args", help="read values as text, not as YAML"),
    WAIT,
    BACKGROUND,
    *PLAIN,
)
def run(args: argparse.Namespace) -> int:
    """Run an action on units and print its results."""
    targets, name, words = _split_words(args.words)
    wait = _read_wait(args, ACTION_WAIT)
    params = actions.read_params(words, args.file, as_text=args.string_args)
    with changing(args.model) as agent:
        model = agent.model
        for unit in _find_units(model, targets):
            actions.require_action(unit, _read_meta(agent, unit), name)
        agent.run_until_idle()
        summary = f"action {name}"
        operation = actions.make_operation(
            model, summary, targets, lambda n: model.unit(n).name, name, params
        )
        agent.save()
        _print_start(operation, quiet=args.background or args.format != "plain")
        for task in operation.tasks:
            _run_action(agent, model.unit(task.target), task, wait)
        agent.store.save_operation(model, operation)
    return _print_outcome(operation, args)


def _split_words(words: Sequence[str]) -> tuple[list[str], str, list[str]]:
    """Return the units, the action and its parameters. Raises: LocalModelError."""
    units: list[str] = []
    for position, word in enumerate(words):
        if UNIT.match(word):
            units.append(word)
            continue
        if not ACTION.match(word):
            raise LocalModelError(f'invalid unit or action name "{word}"')
        if not units:
            raise LocalModelError("no unit specified")
        if len({unit.partition("/")[0] for unit in units}) > 1:
            raise LocalModelError("all units must be of the same application")
        return units, word, list(words[position + 1 :])
    raise LocalModelError("no action specified")


def _find_units(model: Model, targets: Iterable[str]) -> Iterator[Unit]:
    for target in targets:
        try:
            yield model.unit(target)
        except LocalModelError:
            continue  # It gets no task, and its name is told.


def _read_meta(agent: Agent, unit: Unit) -> Any:
    return read_meta(agent.store.paths, agent.model.apps[unit.app].sha256)


def _run_action(agent: Agent, unit: Unit, task: Task, wait: float | None) -> None:
    action = _read_meta(agent, unit).actions[task.action]
    refusal = actions.explain_refusal(task.action, action, task.params)
    if refusal:
        task.end("failed", refusal)
        return
    task.params = actions.fill_defaults(action, task.params)
    _require_installed(unit)
    task.start()
    if not agent.run_action(unit, task, wait):
        task.end("aborted", f"ended after {wait:g} s")


@juju.command(
    "exec",
    MODEL,
    form("plain", "json", "yaml"),
    arg("-u", "--unit", action="append", help="units, separated by commas"),
    arg("-a", "--application", "--app", action="append", help="all units of applications"),
    arg("--machine", action="append", help="machines, separated by commas"),
    flag("--all", help="all machines"),
    WAIT,
    BACKGROUND,
    *PLAIN,
    ignored("--parallel"),
    ignored("--execution-group", value=True),
    arg("command", nargs=argparse.REMAINDER, metavar="-- COMMAND"),
    passes_on=True,
)
def execute(args: argparse.Namespace) -> int:
    """Run a shell command: on machines as the user ubuntu, on units as root in their context."""
    words = args.command[1:] if args.command[:1] == ["--"] else args.command
    if not words:
        raise LocalModelError("no commands specified")
    units, apps, machines = (
        split_values(args.unit),
        split_values(args.application),
        split_values(args.machine),
    )
    if args.all and (units or apps or machines):
        raise LocalModelError("You cannot specify --all and individual machines, units or apps")
    if not (args.all or units or apps or machines):
        raise LocalModelError(
            "You must specify a target, either through --all, --machine, --application or --unit"
        )
    script = words[0] if len(words) == 1 else shlex.join(words)
    wait = _read_wait(args, COMMAND_WAIT)
    with changing(args.model) as agent:
        model = agent.model
        agent.run_until_idle()
        for app in apps:
            units += [u.name for u in model.units_of(model.app(app).name)]
        if args.all:
            machines = sorted(model.machines, key=int)

        def resolve(target: str) -> str:
            return model.unit(target).name if "/" in target else model.machine(target).number

        targets = [*machines, *units]
        operation = actions.make_operation(
            model, f"exec {script}", targets, resolve, JUJU_EXEC, {"command": script}
        )
        agent.save()
        for task in operation.tasks:
            _run_command(agent, task, script, wait)
        agent.store.save_operation(model, operation)
    return _print_outcome(operation, args)


def _run_command(agent: Agent, task: Task, script: str, wait: float | None) -> None:
    if task.kind == "unit":
        unit = agent.model.unit(task.target)
        _require_installed(unit)
        task.start()
        ended = agent.run_command(unit, task, script, wait)
    else:
        task.start()
        instance = agent.instance(agent.model.machine(task.target))
        ended = _run_on_machine(instance, task, script, wait)
    if not ended:
        task.end("aborted", f"ended after {wait:g} s")


def _run_on_machine(instance: Instance, task: Task, script: str, wait: float | None) -> bool:
    """Run a command as the user ubuntu; whether it came to its end in time."""
    process = subprocess.Popen(
        login(instance, f"exec /bin/bash -c {shlex.quote(script)}"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        out, err = process.communicate(timeout=wait)
    except subprocess.TimeoutExpired:
        # What runs in the machine would outlive the process that stands outside for it.
        processes.kill(processes.list_tree(process.pid))
        process.communicate()
        return False
    task.finish(process.returncode, out.splitlines(), err.splitlines())
    return True


def _require_installed(unit: Unit) -> None:
    if not unit.local.installed:
        raise LocalModelError(
            f'unit "{unit.name}" is not installed yet: see juju status and juju debug-log'
        )


def _read_wait(args: argparse.Namespace, otherwise: float) -> float:
    if args.wait is None:
        return otherwise
    if args.background:
        raise LocalModelError("cannot specify both --wait and --background")
    return read_span("--wait", args.wait)


def _print_start(operation: Operation, *, quiet: bool) -> None:
    if quiet or not operation.tasks:
        return
    count = len(operation.tasks)
    print_note(f"Running operation {operation.id} with {count} task{'s' if count > 1 else ''}")
    for task in operation.tasks:
        print_note(f"  - task {task.id} on {task.kind}-{task.target.replace('/', '-')}")
    print_note("")


def _print_outcome(operation: Operation, args: argparse.Namespace) -> int:
    """Print what came of an operation; the exit code says whether a program has failed."""
    tasks = operation.tasks
    if not tasks:
        print_note(f"Operation {operation.id} failed to schedule any tasks:\n{operation.fail}")
        return 0
    if operation.fail:
        print_note(f"Some actions could not be scheduled:\n{operation.fail}\n")
    if args.background:
        _print_numbers(operation)
        return 0
    late = [f"{task.kind} {task.target}" for task in tasks if task.status == "aborted"]
    if late:
        raise LocalModelError(f"timed out waiting for results from: {', '.join(sorted(late))}")
    if args.format != "plain":
        print_document({task.target: task.document() for task in tasks}, args.format)
    elif tasks[0].action == JUJU_EXEC:
        _print_output(tasks)
    else:
        for task in tasks if len(tasks) == 1 else ():
            print_log(task)
        print_plainly(tasks)
    failed = [task for task in tasks if task.return_code > 0]
    if failed:
        plural = "s" if len(failed) > 1 else ""
        listed = [f' - id "{t.id}" with return code {t.return_code}' for t in failed]
        raise LocalModelError(
            "\n".join(
                [
                    f"the following task{plural} failed:",
                    *listed,
                    "",
                    f"use 'juju show-task' to inspect the failure{plural}",
                    "",
                ]
            )
        )
    return 0


def _print_numbers(operation: Operation) -> None:
    tasks = operation.tasks
    if len(tasks) == 1:
        print_note(f"Scheduled operation {operation.id} with task {tasks[0].id}")
    else:
        print_note(f"Scheduled operation {operation.id} with {len(tasks)} tasks")
        print_document({task.target: {"id": task.id} for task in tasks}, "yaml")
    print_note(f"Check operation status with 'juju show-operation {operation.id}'")
    number = tasks[0].id if len(tasks) == 1 else "<id>"
    print_note(f"Check task status with 'juju show-task {number}'")


def _print_output(tasks: Sequence[Task]) -> None:
    """Print what commands have written, as `juju exec` does."""
    for task in tasks:
        text = task.results.get("stdout", "") + task.results.get("stderr", "")
        print(f"{task.target}:\n{text}" if len(tasks) > 1 else text, end="")
        if len(tasks) > 1:
            print()
