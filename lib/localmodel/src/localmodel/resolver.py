"""Says which hook a unit wants next, by comparing what it was told with what the model says.

The same approach as Juju's uniter: there is no queue of events that could be lost or out of date.
A hook that was interrupted or failed stays the unit's `pending` one until it has succeeded or has
been resolved. The order of events is that of facts in Juju's documentation ("Hook", "Lifecycle").
"""

from __future__ import annotations

import hashlib

import msgspec

from localmodel import quirks
from localmodel.charms import Meta
from localmodel.secrets import schedule_rotation
from localmodel.state import Hook, Model, Relation, RelationView, Unit

# The version that a unit knows of another's settings between relation-joined and -changed.
UNTOLD = -1


def merge_config(model: Model, unit: Unit, meta: Meta) -> dict[str, object]:
    """Return the values that the charm sees: the operator's over the defaults."""
    options = model.apps[unit.app].options
    values = {name: options.get(name, option.default) for name, option in meta.options.items()}
    return {name: value for name, value in values.items() if value is not None}


def hash_config(model: Model, unit: Unit, meta: Meta) -> str:
    """Changes whenever config-changed is due: with the values, the trust, or the address."""
    app = model.apps[unit.app]
    body = [
        sorted(merge_config(model, unit, meta).items()),
        app.trust,
        model.addresses_of(unit.machine)[0],
    ]
    return hashlib.sha256(msgspec.json.encode(body)).hexdigest()


def choose_hook(model: Model, unit: Unit, meta: Meta, now: float) -> Hook | None:
    """Return the hook that a unit wants to run now, or None if it is idle or waits for a retry.

    Args:
        meta: the metadata of the charm that the unit's application has now.
        now: seconds since the epoch.
    """
    local = unit.local
    if unit.pending is not None:
        waits = unit.failures > 0 and now < unit.retry_at
        return None if waits else unit.pending
    if local.started and local.boot != model.machines[unit.machine].boot:
        # As in worker/uniter/reboot: before all but an unfinished hook, also of a dying unit.
        return Hook("start", "start")
    if not local.installed:
        return None if unit.life == "dying" else Hook("install", "install")
    if unit.life == "dying":
        return _choose_when_dying(model, unit)
    app = model.apps[unit.app]
    if (local.charm, local.modified) != (app.sha256, app.modified):
        return Hook("upgrade-charm", "upgrade-charm")
    for relation in _sort_relations(model.relations_seen_by(unit)):
        if relation.life == "alive" and relation.id not in local.relations:
            return _make_relation_hook(model, relation, unit, "relation-created")
    if app.leader == unit.name and not local.leader:
        return Hook("leader-elected", "leader-elected")
    if local.config != hash_config(model, unit, meta):
        return Hook("config-changed", "config-changed")
    if not local.started:
        return Hook("start", "start")
    for relation in _sort_relations(model.relations_seen_by(unit)):
        if hook := _choose_in_relation(model, unit, relation):
            return hook
    if hook := _choose_secret_hook(model, unit, now):
        return hook
    if now - local.updated >= read_update_interval(model):
        return Hook("update-status", "update-status")
    return None


def read_update_interval(model: Model) -> float:
    """Return the model's `update-status-hook-interval`, in seconds."""
    return parse_span(str(model.config.get("update-status-hook-interval", "5m")))


def parse_span(span: str) -> float:
    """Return how long a span such as `30s`, `5m` or `1h` is."""
    units = {"s": 1, "m": 60, "h": 3600}
    return float(span[:-1]) * units[span[-1]]


def record_hook(model: Model, unit: Unit, hook: Hook, meta: Meta, now: float) -> None:
    """Record what a unit now knows, after the hook has succeeded or was given up."""
    local = unit.local
    unit.pending, unit.failures, unit.retry_at = None, 0, 0.0
    match hook.kind:
        case "install" | "upgrade-charm":
            local.charm = model.apps[unit.app].sha256
            local.modified = model.apps[unit.app].modified
            local.config = None
        case "config-changed":
            local.config = None if local.echo else hash_config(model, unit, meta)
            local.echo = False
        case "leader-elected":
            local.leader = True
        case "start":
            local.started = True
            local.boot = model.machines[unit.machine].boot
            local.updated = local.updated or now
        case "update-status":
            local.updated = now
        case "stop":
            local.stopped = True
        case "remove":
            local.removed = True
        case "secret-changed":
            local.secrets[hook.secret] = hook.revision
        case "secret-rotate":
            if secret := model.secrets.get(hook.secret):
                schedule_rotation(secret, now)
        case "secret-expired":
            if (secret := model.secrets.get(hook.secret)) and hook.revision in secret.revisions:
                secret.revisions[hook.revision].expires = None
        case _:
            if hook.relation is not None:
                _record_relation_hook(model, unit, hook, hook.relation)


def _record_relation_hook(model: Model, unit: Unit, hook: Hook, number: int) -> None:
    views = unit.local.relations
    relation = model.relations.get(number)
    if hook.kind == "relation-broken":
        views.pop(number, None)
        if relation and unit.name in relation.scope:
            relation.scope.remove(unit.name)
        return
    view = views.setdefault(number, RelationView())
    if hook.kind == "relation-joined":
        view.units[hook.remote_unit] = UNTOLD
    elif hook.kind == "relation-departed":
        view.units.pop(hook.remote_unit, None)
    elif hook.kind == "relation-changed" and relation:
        told = view.units if hook.remote_unit else view.apps
        entity = hook.remote_unit or hook.remote_app
        told[entity] = relation.version(entity)


def _sort_relations(relations: list[Relation]) -> list[Relation]:
    """Oldest first, peer relations last."""
    return sorted(relations, key=lambda r: (r.peer, r.id))


def _is_implicit(relation: Relation, unit: Unit) -> bool:
    """A principal gets no hooks for the juju-info endpoint that its charm doesn't declare."""
    return relation.endpoint_of(unit.app).implicit


def _make_relation_hook(
    model: Model, relation: Relation, unit: Unit, kind: str, remote: str = "", departing: str = ""
) -> Hook:
    endpoint = relation.endpoint_of(unit.app)
    other = relation.other_app(unit.app)
    return Hook(
        name=f"{endpoint.name}-{kind}",
        kind=kind,
        relation=relation.id,
        remote_unit=remote,
        remote_app="" if quirks.forgets_application(kind, model.apps.get(other)) else other,
        departing=departing,
    )


def _choose_in_relation(model: Model, unit: Unit, relation: Relation) -> Hook | None:
    view = unit.local.relations.get(relation.id)
    if view is None or _is_implicit(relation, unit):
        return None
    if relation.life == "dying":
        return _choose_when_leaving(model, unit, relation, view)
    if hook := _find_owed_change(model, relation, unit, view):
        return hook
    present = model.remote_units(relation, unit)
    for name in sorted(set(view.units) - set(present)):
        return _make_relation_hook(
            model, relation, unit, "relation-departed", name, departing=name
        )
    other = relation.other_app(unit.app)
    # A unit is told of its own application's settings too, in a peer relation.
    if relation.version(other) > view.apps.get(other, 0):
        return _make_relation_hook(model, relation, unit, "relation-changed")
    for name, version in view.units.items():
        if relation.version(name) != version:
            return _make_relation_hook(model, relation, unit, "relation-changed", name)
    for name in present:
        if name not in view.units:
            return _make_relation_hook(model, relation, unit, "relation-joined", name)
    return None


def _find_owed_change(
    model: Model, relation: Relation, unit: Unit, view: RelationView
) -> Hook | None:
    """A join is followed by its change before anything else, even where all of it is dying."""
    for name, version in view.units.items():
        if version == UNTOLD:
            return _make_relation_hook(model, relation, unit, "relation-changed", name)
    return None


def _choose_when_leaving(
    model: Model, unit: Unit, relation: Relation, view: RelationView
) -> Hook | None:
    if hook := _find_owed_change(model, relation, unit, view):
        return hook
    for name in sorted(view.units):
        departing = unit.name if unit.life == "dying" else name
        return _make_relation_hook(model, relation, unit, "relation-departed", name, departing)
    return None if relation.peer else _make_relation_hook(model, relation, unit, "relation-broken")


def _choose_when_dying(model: Model, unit: Unit) -> Hook | None:
    local = unit.local
    for relation in _sort_relations(
        [r for r in model.relations.values() if r.id in local.relations]
    ):
        if _is_implicit(relation, unit):
            continue
        hook = _choose_when_leaving(model, unit, relation, local.relations[relation.id])
        if hook is not None:
            return hook
    if quirks.loses_stop(unit):
        return None
    if not local.stopped:
        return Hook("stop", "stop")
    if not local.removed:
        return Hook("remove", "remove")
    return None


def _choose_secret_hook(model: Model, unit: Unit, now: float) -> Hook | None:
    for secret in model.secrets.values():
        consumer = secret.consumers.get(unit.name)
        if consumer and secret.owner != unit.name:
            told = max(unit.local.secrets.get(secret.uri, 0), consumer.revision)
            if secret.newest > told:
                return Hook(
                    "secret-changed",
                    "secret-changed",
                    secret=secret.uri,
                    label=consumer.label,
                    revision=secret.newest,
                )
        leads = model.apps[unit.app].leader == unit.name
        if secret.owner == unit.name or (secret.owner == unit.app and leads):
            if secret.rotates_at is not None and now >= secret.rotates_at:
                return Hook(
                    "secret-rotate", "secret-rotate", secret=secret.uri, label=secret.label
                )
            for number, revision in secret.revisions.items():
                if revision.expires is not None and now >= revision.expires:
                    return Hook(
                        "secret-expired",
                        "secret-expired",
                        secret=secret.uri,
                        label=secret.label,
                        revision=number,
                    )
    return None
