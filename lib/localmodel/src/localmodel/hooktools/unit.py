"""The hook tools about the unit itself: whether it leads, what it keeps, and its reboot."""

from __future__ import annotations

import argparse
from typing import Any

from localmodel.context import HookContext, ToolError
from localmodel.hooktools.registry import arg, read_pairs, read_settings, tool


@tool("is-leader")
def is_leader(context: HookContext, args: argparse.Namespace, stdin: str) -> bool:
    return context.is_leader


@tool("state-get", arg("key", nargs="?"))
def state_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    kept = dict(sorted(context.kept().items()))
    if not kept and args.format == "json":
        return None
    return kept if args.key in (None, "-") else kept.get(args.key)


@tool("state-set", arg("--file"), arg("pairs", nargs="*"))
def state_set(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    values = read_settings(context, args.file, stdin)
    context.keep({**values, **read_pairs(args.pairs)})


@tool("state-delete", arg("key"))
def state_delete(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    context.keep({args.key: None})


@tool("juju-reboot", arg("--now", action="store_true"))
def juju_reboot(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    if context.task is not None:
        raise ToolError("juju-reboot is not supported when running an action.")
    context.wants_reboot = "now" if args.now else "later"
