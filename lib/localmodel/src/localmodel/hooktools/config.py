"""The hook tools for what an operator gives an application: options, resources, credentials."""

from __future__ import annotations

import argparse
from typing import Any

from localmodel.context import HookContext, ToolError, UsageError
from localmodel.hooktools.registry import Raw, arg, tool


@tool("config-get", arg("-a", "--all", action="store_true"), arg("key", nargs="?"))
def config_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    found = dict(sorted(context.config.items()))
    if args.key and args.key != "-":
        return found.get(args.key)
    if args.all:
        return {name: found.get(name) for name in sorted(context.meta.options)}
    return found


@tool("resource-get", arg("name", nargs="?"))
def resource_get(context: HookContext, args: argparse.Namespace, stdin: str) -> str:
    if args.name is None:
        raise UsageError("missing required resource name")
    return Raw(context.resource(args.name))


@tool("credential-get")
def credential_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    raise ToolError("cannot access cloud credentials: permission denied")
