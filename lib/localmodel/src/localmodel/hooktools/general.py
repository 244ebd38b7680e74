"""The hook tools, but for those that deal with secrets."""

from __future__ import annotations

import argparse
import json
from typing import Any

import yaml

from localmodel.context import HookContext, ToolError
from localmodel.hooktools.registry import arg, read_file, read_pairs, tool
from localmodel.state import Relation, Status, Unit, iso
from localmodel.tasks import Task

WORKLOAD_STATUSES = ("maintenance", "blocked", "waiting", "active", "unknown")
LOG_LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

RELATION = arg("-r", "--relation", default=None)
APP = arg("--app", action="store_true")


def _relation(context: HookContext, reference: str | None) -> Relation:
    """The relation that ``-r`` names (``name:3`` or ``3``), or the hook's own."""
    if reference is None:
        if context.hook.relation is None:
            raise ToolError("no relation id specified")
        return context.relation(context.hook.relation)
    number = reference.rpartition(":")[2]
    if not number.isdigit():
        raise ToolError(f'invalid value "{reference}" for option -r: invalid relation id')
    return context.relation(int(number))


def _settings(context: HookContext, file: str | None, stdin: str) -> dict[str, str]:
    """Read the mapping in ``--file``, which "-" says is on standard input."""
    text = stdin if file in (None, "-") else read_file(context, file)
    try:
        body = _load(text) or {}
    except yaml.YAMLError as e:
        raise ToolError(f"cannot read settings: {e}") from e
    if not isinstance(body, dict):
        raise ToolError("cannot read settings: not a mapping")
    return {str(k): "" if v is None else str(v) for k, v in body.items()}


def _load(text: str) -> Any:
    """Read YAML, and JSON by its own rules: as YAML, its escapes beyond 16 bit are other text."""
    try:
        return json.loads(text)
    except ValueError:
        return yaml.safe_load(text)


@tool("config-get", arg("-a", "--all", action="store_true"), arg("key", nargs="?"))
def config_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    if args.key and args.key != "-":
        return context.config.get(args.key)
    return context.config


@tool("is-leader")
def is_leader(context: HookContext, args: argparse.Namespace, stdin: str) -> bool:
    return context.is_leader


@tool("relation-ids", arg("name", nargs="?"))
def relation_ids(context: HookContext, args: argparse.Namespace, stdin: str) -> list[str]:
    found = []
    for relation in context.model.relations_seen_by(context.unit):
        endpoint = relation.endpoint_of(context.unit.app)
        if endpoint.name == args.name and relation.id in context.unit.local.relations:
            found.append(f"{endpoint.name}:{relation.id}")
    if context.hook.relation is not None:
        # In relation-created the unit is told of the relation by this very hook.
        own = context.model.relations.get(context.hook.relation)
        if own and own.endpoint_of(context.unit.app).name == args.name:
            found.append(f"{args.name}:{own.id}")
    return sorted(set(found))


@tool("relation-list", RELATION, APP)
def relation_list(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    relation = _relation(context, args.relation)
    return relation.other_app(context.unit.app) if args.app else context.members(relation)


@tool("relation-get", RELATION, APP, arg("key", nargs="?"), arg("entity", nargs="?"))
def relation_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    relation = _relation(context, args.relation)
    entity = args.entity or context.hook.remote_unit or context.hook.remote_app
    if not entity:
        raise ToolError("no unit or application specified")
    if args.app:
        entity = entity.partition("/")[0]
    data = context.read_bag(relation, entity)
    return data if args.key in (None, "-") else data.get(args.key)


@tool("relation-set", RELATION, APP, arg("--file"), arg("pairs", nargs="*"))
def relation_set(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    relation = _relation(context, args.relation)
    changes = _settings(context, args.file, stdin)
    entity = context.unit.app if args.app else context.unit.name
    context.write_bag(relation, entity, changes | read_pairs(args.pairs))


@tool("relation-model-get", RELATION)
def relation_model_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    _relation(context, args.relation)
    return {"uuid": context.model.uuid}


@tool("network-get", RELATION, arg("binding"))
def network_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    if args.relation is not None:
        _relation(context, args.relation)
    return context.network(args.binding)


def _boolean(text: str) -> bool:
    return text.lower() == "true"


APPLICATION = arg("--application", nargs="?", const=True, default=False, type=_boolean)


@tool("status-set", APPLICATION, arg("status"), arg("message", nargs="*"))
def status_set(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    if args.status not in WORKLOAD_STATUSES:
        allowed = ", ".join(WORKLOAD_STATUSES)
        raise ToolError(f'invalid status "{args.status}", expected one of: {allowed}')
    status = Status(args.status, " ".join(args.message))
    context.set_status(status, of_app=bool(args.application))


@tool("status-get", arg("--include-data", action="store_true"), APPLICATION)
def status_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    def show(status: Status) -> Any:
        if not args.include_data:
            return status.current
        return {
            "status": status.current,
            "message": status.message,
            "status-data": status.data,
        }

    if not args.application:
        return show(context.unit.workload)
    context.require_leader("cannot get application status")
    units = context.model.units_of(context.unit.app)
    body = show(context.app.status or Status("unknown"))
    if not args.include_data:
        return body
    return {"application-status": {**body, "units": {u.name: show(u.workload) for u in units}}}


def _port(words: list[str]) -> str:
    text = words[0].lower()
    if text == "icmp":
        return text
    span, _, protocol = text.partition("/")
    low, _, high = span.partition("-")
    ends = [low, high or low]
    if not all(e.isdigit() and 1 <= int(e) <= 65535 for e in ends) or int(ends[0]) > int(ends[1]):
        raise ToolError(f'invalid port "{words[0]}": expected <port>[-<port>]/<protocol> or icmp')
    if protocol not in ("", "tcp", "udp"):
        raise ToolError(f'invalid protocol "{protocol}": expected tcp, udp or icmp')
    return f"{span}/{protocol or 'tcp'}"


@tool("open-port", arg("--endpoints"), arg("port", nargs=1))
def open_port(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    context.set_port(_port(args.port), True)


@tool("close-port", arg("--endpoints"), arg("port", nargs=1))
def close_port(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    context.set_port(_port(args.port), False)


@tool("opened-ports", arg("--endpoints", action="store_true"))
def opened_ports(context: HookContext, args: argparse.Namespace, stdin: str) -> list[str]:
    # Every port is open for all endpoints: there is one network only.
    return [f"{p} (*)" for p in context.unit.ports] if args.endpoints else context.unit.ports


@tool("juju-log", arg("--log-level", "-l", default="INFO"), arg("message", nargs="*"))
def juju_log(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    level = args.log_level.upper()
    if level not in LOG_LEVELS:
        raise ToolError(f'unknown log level "{args.log_level}"')
    context.log(level, " ".join(args.message))


@tool("application-version-set", arg("version"))
def application_version_set(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    context.set_version(args.version)


@tool("state-get", arg("key", nargs="?"))
def state_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    kept = context.kept()
    return kept if args.key in (None, "-") else kept.get(args.key)


@tool("state-set", arg("--file"), arg("pairs", nargs="*"))
def state_set(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    values = _settings(context, args.file, stdin)
    context.keep({**values, **read_pairs(args.pairs)})


@tool("state-delete", arg("key"))
def state_delete(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    context.keep({args.key: None})


@tool("resource-get", arg("name"))
def resource_get(context: HookContext, args: argparse.Namespace, stdin: str) -> str:
    return context.resource(args.name)


@tool("storage-list", arg("name", nargs="?"))
def storage_list(context: HookContext, args: argparse.Namespace, stdin: str) -> list[str]:
    return []


@tool("storage-get", arg("-s"), arg("key", nargs="?"))
def storage_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    raise ToolError(f'invalid value "{args.s}" for option -s: storage not found')


@tool("storage-add", arg("pairs", nargs="*"))
def storage_add(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    raise ToolError("the local model has no storage")


@tool("goal-state")
def goal_state(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    model, unit = context.model, context.unit

    def show(units: list[Unit]) -> dict[str, Any]:
        return {
            u.name: {"status": u.workload.current, "since": iso(u.workload.since)} for u in units
        }

    relations: dict[str, Any] = {}
    for relation in model.relations_seen_by(unit):
        other = relation.other_app(unit.app)
        remote = show([u for u in model.units_of(other) if u is not unit])
        group = relations.setdefault(relation.endpoint_of(unit.app).name, {})
        group |= {other: {"status": "joined", "since": iso(model.created)}, **remote}
    return {"units": show(model.units_of(unit.app)), "relations": relations}


@tool("credential-get")
def credential_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    raise ToolError("cannot access cloud credentials: the local model has no cloud")


@tool("juju-reboot", arg("--now", action="store_true"))
def juju_reboot(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    if context.task is not None:
        raise ToolError("juju-reboot is not supported when running an action.")
    context.wants_reboot = "now" if args.now else "later"


def _task(context: HookContext) -> Task:
    if context.task is None:
        raise ToolError("not running an action")
    return context.task


@tool("action-get", arg("key", nargs="?"))
def action_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    value: Any = _task(context).params
    for part in args.key.split(".") if args.key else []:
        value = value.get(part) if isinstance(value, dict) else None
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
    _task(context).log.append(" ".join(args.message))


@tool("action-fail", arg("message", nargs="*"))
def action_fail(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    _task(context).fail(" ".join(args.message) or "action failed without reason given")
