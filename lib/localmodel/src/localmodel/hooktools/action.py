"""The hook tools of an action that runs: its parameters, its results and its log."""

from __future__ import annotations

import argparse
from typing import Any

from localmodel.context import HookContext, ToolError
from localmodel.hooktools.registry import arg, read_pairs, tool
from localmodel.tasks import Task
from localmodel.typeguards import is_mapping


def _task(context: HookContext) -> Task:
    if context.task is None:
        raise ToolError("not running an action")
    return context.task


@tool("action-get", arg("key", nargs="?"))
def action_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    value: Any = _task(context).params
    path: list[str] = args.key.split(".") if args.key else []
    for part in path:
        value = value.get(part) if is_mapping(value) else None
    return value


@tool("action-set", arg("pairs", nargs="*"))
def action_set(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    task = _task(context)
    for key, value in read_pairs(args.pairs).items():
        if key.partition(".")[0] in ("stdout", "stderr", "stdout-encoding", "stderr-encoding"):
            raise ToolError(f'cannot set reserved action key "{key}"')
        task.set_result(key, value)


@tool("action-log", arg("message", nargs="*"))
def action_log(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    _task(context).note(" ".join(args.message))


@tool("action-fail", arg("message", nargs="*"))
def action_fail(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    _task(context).fail(" ".join(args.message) or "action failed without reason given")
