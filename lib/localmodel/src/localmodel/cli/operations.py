"""Shows which actions there are, and what came of those that ran."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from datetime import datetime

from localmodel import goyaml
from localmodel.charms import read_meta
from localmodel.cli.arguments import MODEL, arg, flag, form, ignored, split_values
from localmodel.cli.registry import juju
from localmodel.cli.session import choose_model, open_store, reading
from localmodel.cli.terminal import print_document, print_note
from localmodel.errors import LocalModelError
from localmodel.operations import actions
from localmodel.tables import format_columns
from localmodel.tasks import Operation, Task
from localmodel.typeguards import is_mapping

PLAIN = (ignored("--color"), ignored("--no-color"), ignored("--utc"))


def print_log(task: Task) -> None:
    for moment, line in task.log:
        print_note(f"{time.strftime('%H:%M:%S', time.localtime(moment))} {line}")


def print_plainly(tasks: Sequence[Task]) -> None:
    """Print what actions have set, as `juju run` and `juju show-task` do."""
    hidden = ("return-code", "stdout", "stderr")
    printed: dict[str, dict[str, str]] = {}
    for task in tasks:
        results = {k: v for k, v in task.results.items() if k not in hidden}
        text = goyaml.dump(results, sort_keys=True) if results else ""
        output = text if task.results else f"Task {task.id} {task.status}\n"
        printed[task.target] = {"id": task.id, "output": output, "status": task.status}
        if task.message:
            printed[task.target]["message"] = task.message
    if len(tasks) > 1:
        print_document(printed, "yaml")
        return
    (task,) = tasks
    if task.status == "failed":
        print(f"Action id {task.id} failed: {task.message}")
    print(printed[task.target]["output"])
    for name in ("stdout", "stderr"):
        if name in task.results:
            print(task.results[name].strip("\n"))


@juju.command(
    "actions",
    MODEL,
    arg("application"),
    arg("--format", choices=("tabular", "json", "yaml"), help="output format"),
    flag("--schema", help="the whole schema of each"),
    aliases=("list-actions",),
)
def list_actions(args: argparse.Namespace) -> None:
    """List the actions of an application's charm."""
    if args.schema and args.format == "tabular":
        raise LocalModelError("full schema not compatible with tabular output")
    with reading(args.model) as (store, model):
        found = read_meta(store.paths, model.app(args.application).sha256).actions
    if args.schema:
        shown = {name: actions.make_schema(name, action) for name, action in sorted(found.items())}
        print_document(shown, args.format or "yaml")
        return
    told = {name: found[name].description or "No description" for name in sorted(found)}
    if args.format in ("json", "yaml"):
        print_document(told, args.format)
    elif not told:
        print_note(f"No actions defined for {args.application}.")
    else:
        rows = [["Action", "Description"]]
        for name, text in told.items():
            first, *rest = text.strip().splitlines()
            rows += [[name, first], *(["", line] for line in rest)]
        print(format_columns(rows))


@juju.command("show-action", MODEL, arg("application"), arg("action"))
def show_action(args: argparse.Namespace) -> int:
    """Show what an action does and takes."""
    with reading(args.model) as (store, model):
        found = read_meta(store.paths, model.app(args.application).sha256).actions
    if args.action not in found:
        print_note(f'unknown action "{args.action}"\n')
        return 1
    action = found[args.action]
    print(f"{action.description or 'No description'}\n\nArguments")
    taken = {
        name: {key: schema.get(key) for key in ("type", "description")}
        for name, schema in sorted(action.params.items())
        if is_mapping(schema)
    }
    print(goyaml.dump(taken))
    return 0


@juju.command(
    "show-task",
    MODEL,
    arg("id"),
    form("plain", "json", "yaml"),
    ignored("--wait", value=True),
    ignored("--watch"),
    *PLAIN,
)
def show_task(args: argparse.Namespace) -> None:
    """Show what came of a task."""
    for operation in _list_operations(args.model):
        for task in operation.tasks:
            if task.id != args.id:
                continue
            if args.format == "plain":
                print_log(task)
                print_plainly([task])
            else:
                print_document(task.document(), args.format)
            return
    raise LocalModelError(f'task "{args.id}" not found')


@juju.command(
    "show-operation",
    MODEL,
    arg("id"),
    form("yaml", "json"),
    ignored("--wait", value=True),
    ignored("--watch"),
    *PLAIN,
)
def show_operation(args: argparse.Namespace) -> None:
    """Show what came of an operation and its tasks."""
    for operation in _list_operations(args.model):
        if operation.id == args.id:
            print_document({operation.id: operation.document()}, args.format)
            return
    raise LocalModelError(f'operation "{args.id}" not found')


@juju.command(
    "operations",
    MODEL,
    form("plain", "json", "yaml"),
    arg("--applications", "--apps", action="append", help="only on units of these applications"),
    arg("--units", action="append", help="only on these units"),
    arg("--machines", action="append", help="only on these machines"),
    arg("--actions", action="append", help="only these actions"),
    arg("--status", action="append", help="only with these statuses"),
    arg("--limit", type=int, default=50, help="how many at most"),
    arg("--offset", type=int, default=0, help="how many to skip at the beginning"),
    *PLAIN,
    aliases=("list-operations",),
)
def operations(args: argparse.Namespace) -> None:
    """List the operations of a model."""
    apps, targets = (
        split_values(args.applications),
        {*split_values(args.units), *split_values(args.machines)},
    )
    names, statuses = split_values(args.actions), split_values(args.status)

    def wanted(operation: Operation) -> bool:
        touched = {task.target for task in operation.tasks}
        if apps or targets:
            touched = {t for t in touched if t in targets or t.partition("/")[0] in apps}
        elif not names:
            # Commands on machines are told only where they are asked for.
            touched = {t for t in touched if "/" in t}
        of_name = not names or any(task.action in names for task in operation.tasks)
        return bool(touched) and of_name and (not statuses or operation.status in statuses)

    found = [operation for operation in _list_operations(args.model) if wanted(operation)]
    found = found[args.offset : args.offset + args.limit]
    if not found:
        print_note("no matching operations")
    elif args.format == "plain":
        rows = [["ID", "Status", "Started", "Finished", "Task IDs", "Summary"]]
        for operation in found:
            ids = [task.id for task in operation.tasks]
            listed = ",".join(ids[:5]) + ("..." if len(ids) > 5 else "")
            moments = [_make_summary(m) for m in (operation.started, operation.completed)]
            rows.append([operation.id, operation.status, *moments, listed, operation.summary])
        print(format_columns(rows, right=(0,)))
    else:
        print_document({operation.id: operation.document() for operation in found}, args.format)


def _list_operations(given: str | None) -> list[Operation]:
    store = open_store()
    return store.operations(store.load(choose_model(store, given)))


def _make_summary(moment: float) -> str:
    here = datetime.fromtimestamp(moment).astimezone()
    return here.strftime("%Y-%m-%dT%H:%M:%S") if moment else ""
