"""The hook tools about storage, of which there is none here."""

from __future__ import annotations

import argparse
from typing import Any

from localmodel.context import HookContext, ToolError, UsageError
from localmodel.hooktools.registry import arg, tool


@tool("storage-list", arg("name", nargs="?"))
def storage_list(context: HookContext, args: argparse.Namespace, stdin: str) -> list[str]:
    return []


@tool("storage-get", arg("-s"), arg("key", nargs="?"))
def storage_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    if args.s is None:
        raise UsageError("no storage instance specified")
    raise UsageError(f'invalid value "{args.s}" for option -s: storage not found')


@tool("storage-add", arg("pairs", nargs="*"))
def storage_add(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    raise ToolError("the local model has no storage")
