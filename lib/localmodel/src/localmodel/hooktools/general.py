"""The hook tools, but for those that deal with secrets."""

from __future__ import annotations

import argparse
import json
from typing import Any

import yaml

from localmodel.context import HookContext, ToolError, UsageError
from localmodel.hooktools.registry import Raw, arg, read_file, read_pairs, tool
from localmodel.state import Relation, Status, Unit, iso
from localmodel.status import application_state
from localmodel.tasks import Task

WORKLOAD_STATUSES = ("maintenance", "blocked", "waiting", "active")
LOG_LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")

RELATION = arg("-r", "--relation", default=None)
APP = arg("--app", action="store_true")


def _relation(context: HookContext, reference: str | None) -> Relation:
    """The relation that ``-r`` names (``name:3`` or ``3``), or the hook's own."""
    if reference is None:
        if context.hook.relation is None:
            raise UsageError("no relation id specified")
        return context.relation(context.hook.relation)
    number = reference.rpartition(":")[2]
    if not number.isdigit():
        raise UsageError(f'invalid value "{reference}" for option -r: invalid relation id')
    return context.relation(int(number), reference)


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
    found = dict(sorted(context.config.items()))
    if args.key and args.key != "-":
        return found.get(args.key)
    if args.all:
        return {name: found.get(name) for name in sorted(context.meta.options)}
    return found


@tool("is-leader")
def is_leader(context: HookContext, args: argparse.Namespace, stdin: str) -> bool:
    return context.is_leader


@tool("relation-ids", arg("name", nargs="?"))
def relation_ids(context: HookContext, args: argparse.Namespace, stdin: str) -> list[str]:
    if args.name is None and context.hook.relation is None:
        raise UsageError("no endpoint name specified")
    found = []
    own = None
    if context.hook.relation is not None:
        own = context.model.relations.get(context.hook.relation)
    wanted = args.name or (own.endpoint_of(context.unit.app).name if own else "")
    for relation in context.model.relations_seen_by(context.unit):
        endpoint = relation.endpoint_of(context.unit.app)
        if endpoint.name == wanted and relation.id in context.unit.local.relations:
            found.append(f"{endpoint.name}:{relation.id}")
    # In relation-created the unit is told of the relation by this very hook.
    if own and own.endpoint_of(context.unit.app).name == wanted:
        found.append(f"{wanted}:{own.id}")
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
    data = dict(sorted(context.read_bag(relation, entity).items()))
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


#: What network-get can be asked for alone, by its flag.
NETWORK_FLAGS = ("--bind-address", "--egress-subnets", "--ingress-address", "--primary-address")


@tool(
    "network-get",
    RELATION,
    *(arg(flag, action="store_true") for flag in NETWORK_FLAGS),
    arg("binding", nargs="?"),
)
def network_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    if args.binding is None:
        raise UsageError("no arguments specified")
    if args.relation is not None:
        _relation(context, args.relation)
    network = context.network(args.binding)
    (device,) = network["bind-addresses"]
    address = device["addresses"][0]["value"]
    parts = {
        "bind-address": address,
        "egress-subnets": network["egress-subnets"],
        "ingress-address": network["ingress-addresses"][0],
        "primary-address": address,
    }
    asked = {name: part for name, part in parts.items() if vars(args)[name.replace("-", "_")]}
    if asked:
        return asked if len(asked) > 1 else next(iter(asked.values()))
    if args.format == "json":
        return network
    # YAML has the names of Juju 2.3 besides.
    addresses = [each | {"address": each["value"]} for each in device["addresses"]]
    old = {"macaddress": device["mac-address"], "interfacename": device["interface-name"]}
    return network | {"bind-addresses": [device | {"addresses": addresses} | old]}


@tool("unit-get", arg("setting", nargs="?"))
def unit_get(context: HookContext, args: argparse.Namespace, stdin: str) -> str:
    if args.setting not in ("private-address", "public-address"):
        unknown = f'unknown setting "{args.setting}"' if args.setting else "no setting specified"
        raise UsageError(unknown)
    return context.machine.address


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
    body = show(application_state(context.model, context.app) or Status("unknown"))
    return {"application-status": body | {"units": units}}


def _port(words: list[str]) -> str:
    text = words[0].lower()
    if text == "icmp":
        return text
    span, _, protocol = text.partition("/")
    low, _, high = span.partition("-")
    ends = [low, high or low]
    for end in ends:
        # Python reads at most 4300 digits.
        if not (end.isascii() and end.isdigit() and len(end) < 20):
            raise UsageError(
                f'invalid port "{end}": strconv.Atoi: parsing "{end}": invalid syntax'
            )
    if not all(0 < int(end) <= 65535 for end in ends):
        raise UsageError(f"port range bounds must be between 0 and 65535, got {ends[0]}-{ends[1]}")
    if int(ends[0]) > int(ends[1]):
        raise UsageError(f"invalid port range {ends[0]}-{ends[1]}")
    if protocol not in ("", "tcp", "udp"):
        raise UsageError(f'invalid protocol "{protocol}", expected "tcp", "udp", or "icmp"')
    return f"{span}/{protocol or 'tcp'}"


@tool("open-port", arg("--endpoints"), arg("port", nargs=1))
def open_port(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    context.open_port(_port(args.port))


@tool("close-port", arg("--endpoints"), arg("port", nargs=1))
def close_port(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    context.close_port(_port(args.port))


@tool("opened-ports", arg("--endpoints", action="store_true"))
def opened_ports(context: HookContext, args: argparse.Namespace, stdin: str) -> list[str]:
    # Every port is open for all endpoints: there is one network only.
    return [f"{port} (*)" for port in context.ports] if args.endpoints else context.ports


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


@tool("application-version-set", arg("version", nargs="?"))
def application_version_set(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    if args.version is None:
        raise UsageError("no version specified")
    context.set_version(args.version)


@tool("state-get", arg("key", nargs="?"))
def state_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    kept = dict(sorted(context.kept().items()))
    if not kept and args.format == "json":
        return None
    return kept if args.key in (None, "-") else kept.get(args.key)


@tool("state-set", arg("--file"), arg("pairs", nargs="*"))
def state_set(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    values = _settings(context, args.file, stdin)
    context.keep({**values, **read_pairs(args.pairs)})


@tool("state-delete", arg("key"))
def state_delete(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    context.keep({args.key: None})


@tool("resource-get", arg("name", nargs="?"))
def resource_get(context: HookContext, args: argparse.Namespace, stdin: str) -> str:
    if args.name is None:
        raise UsageError("missing required resource name")
    return Raw(context.resource(args.name))


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


@tool("goal-state")
def goal_state(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    model, unit = context.model, context.unit

    def since(moment: float) -> str:
        return iso(moment).replace("T", " ")

    def show(units: list[Unit]) -> dict[str, Any]:
        return {
            u.name: {"status": u.workload.current, "since": since(u.workload.since)} for u in units
        }

    relations: dict[str, Any] = {}
    for relation in model.relations_seen_by(unit):
        if relation.peer:
            continue
        other = relation.other_app(unit.app)
        group = relations.setdefault(relation.endpoint_of(unit.app).name, {})
        status = "joined" if unit.name in relation.scope else "joining"
        group |= {other: {"status": status, "since": since(model.created)}}
        units = model.units_of(other)
        if relation.container and unit.principal is None:
            units = [u for u in units if u.principal == unit.name]
        group |= show(units)
    units = model.units_of(unit.app) if unit.principal is None else []
    return {"units": show(units), "relations": relations}


@tool("credential-get")
def credential_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    raise ToolError("cannot access cloud credentials: permission denied")


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
    _task(context).note(" ".join(args.message))


@tool("action-fail", arg("message", nargs="*"))
def action_fail(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    _task(context).fail(" ".join(args.message) or "action failed without reason given")
