"""The hook tools by which a charm says how it is: status, version and log."""

from __future__ import annotations

import argparse
from typing import Any

from localmodel.context import HookContext, ToolError, UsageError
from localmodel.hooktools.registry import arg, tool
from localmodel.state import Status
from localmodel.status import find_application_state
from localmodel.store import LOG_LEVELS

WORKLOAD_STATUSES = ("maintenance", "blocked", "waiting", "active")

APPLICATION = arg("--application", action="store_true")


@tool("status-set", APPLICATION, arg("status", nargs="?"), arg("message", nargs="*"))
def status_set(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    if args.status is None:
        raise UsageError("invalid args, require <status> [message]")
    if args.status not in WORKLOAD_STATUSES:
        allowed = " ".join(WORKLOAD_STATUSES)
        raise UsageError(f'invalid status "{args.status}", expected one of [{allowed}]')
    status = Status(args.status, " ".join(args.message))
    context.set_status(status, of_app=bool(args.application))


@tool("status-get", arg("--include-data", action="store_true"), APPLICATION)
def status_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    def show(status: Status) -> dict[str, Any]:
        if not args.include_data:
            return {"status": status.current}
        return {
            "message": status.message,
            "status": status.current,
            "status-data": status.data,
        }

    if not args.application:
        plain = args.format == "smart" and not args.include_data
        return context.unit.workload.current if plain else show(context.unit.workload)
    if not context.is_leader:
        raise ToolError("finding application status: this unit is not the leader")
    units = {u.name: show(u.workload) for u in context.model.units_of(context.unit.app)}
    body = show(find_application_state(context.model, context.app) or Status("unknown"))
    return {"application-status": body | {"units": units}}


@tool("application-version-set", arg("version", nargs="?"))
def application_version_set(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    if args.version is None:
        raise UsageError("no version specified")
    context.set_version(args.version)


@tool(
    "juju-log",
    arg("--debug", action="store_true"),
    arg("--log-level", "-l", default="INFO"),
    arg("message", nargs="*"),
)
def juju_log(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    if not args.message:
        raise UsageError("no message specified")
    level = "DEBUG" if args.debug else args.log_level.upper()
    context.log(level if level in LOG_LEVELS else "INFO", " ".join(args.message))
