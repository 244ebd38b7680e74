"""The hook tools about relations: which there are, what they hold, and how far they are."""

from __future__ import annotations

import argparse
from typing import Any

from localmodel.context import HookContext, ToolError, UsageError
from localmodel.hooktools.registry import arg, is_number, read_pairs, read_settings, tool
from localmodel.state import Relation, Unit, format_iso

RELATION = arg("-r", "--relation", default=None)
APP = arg("--app", action="store_true")


def find_relation(context: HookContext, reference: str | None) -> Relation:
    """Return the relation that `-r` names (`name:3` or `3`), or the hook's own."""
    if reference is None:
        if context.hook.relation is None:
            raise UsageError("no relation id specified")
        return context.relation(context.hook.relation)
    number = reference.rpartition(":")[2]
    if not is_number(number):
        raise UsageError(f'invalid value "{reference}" for option -r: invalid relation id')
    return context.relation(int(number), reference)


@tool("relation-ids", arg("name", nargs="?"))
def relation_ids(context: HookContext, args: argparse.Namespace, stdin: str) -> list[str]:
    if args.name is None and context.hook.relation is None:
        raise UsageError("no endpoint name specified")
    found: list[str] = []
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
    relation = find_relation(context, args.relation)
    return relation.other_app(context.unit.app) if args.app else context.members(relation)


@tool("relation-get", RELATION, APP, arg("key", nargs="?"), arg("entity", nargs="?"))
def relation_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    relation = find_relation(context, args.relation)
    entity = args.entity or context.hook.remote_unit or context.hook.remote_app
    if not entity:
        raise ToolError("no unit or application specified")
    if args.app:
        entity = entity.partition("/")[0]
    data = dict(sorted(context.read_bag(relation, entity).items()))
    return data if args.key in (None, "-") else data.get(args.key)


@tool("relation-set", RELATION, APP, arg("--file"), arg("pairs", nargs="*"))
def relation_set(context: HookContext, args: argparse.Namespace, stdin: str) -> None:
    relation = find_relation(context, args.relation)
    changes = read_settings(context, args.file, stdin)
    entity = context.unit.app if args.app else context.unit.name
    context.write_bag(relation, entity, changes | read_pairs(args.pairs))


@tool("relation-model-get", RELATION)
def relation_model_get(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    find_relation(context, args.relation)
    return {"uuid": context.model.uuid}


@tool("goal-state")
def goal_state(context: HookContext, args: argparse.Namespace, stdin: str) -> Any:
    model, unit = context.model, context.unit

    def since(moment: float) -> str:
        return format_iso(moment).replace("T", " ")

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
