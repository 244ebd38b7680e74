"""Moves a model on between hooks: elects leaders, brings subordinates to life, lets the dying go.

Everything here is a pure change of the model; machines are made and removed by the agent.
"""

from __future__ import annotations

from localmodel import quirks
from localmodel.state import (
    Application,
    Machine,
    Model,
    Relation,
    RelationView,
    Status,
    Unit,
)


def advance(model: Model) -> None:
    """Take every step that needs no hook, until none is left. Safe to repeat."""
    steps = (
        _spread_death,
        _remove_dead_units,
        _remove_dead_relations,
        _remove_dead_applications,
        _release_machines,
        _enter_implicit_scopes,
        _add_subordinates,
        _elect_leaders,
    )
    changes = True
    while changes:
        changes = sum(step(model) for step in steps)


def add_unit(model: Model, app: Application, machine: str, principal: str | None = None) -> Unit:
    """Add a unit of an application on a machine, and return it."""
    unit = Unit(f"{app.name}/{app.next_unit}", app.name, machine, principal)
    app.next_unit += 1
    model.units[unit.name] = unit
    return unit


def enter_scope(model: Model, relation: Relation, unit: Unit) -> None:
    """Show a unit to the other side, with the settings that Juju itself puts in its bag."""
    if unit.name in relation.scope:
        return
    relation.scope.append(unit.name)
    address = model.addresses_of(unit.machine)[0]
    relation.bag(unit.name).update({"ingress-address": address, "egress-subnets": f"{address}/32"})


def release_unit(unit: Unit) -> None:
    """Give up what a unit still had to do, as `--force` does, so that it can go at once.

    It leaves its relations without being told so.
    """
    unit.life = "dying"
    unit.pending = None
    unit.local.stopped = unit.local.removed = True
    unit.local.relations.clear()


def _spread_death(model: Model) -> bool:
    """Death goes from application to units and relations, and from principal to subordinate."""
    changed = False
    for relation in model.relations.values():
        gone = any(
            e.app not in model.apps or model.apps[e.app].life == "dying"
            for e in relation.endpoints
        )
        if gone and relation.life == "alive":
            relation.life = "dying"
            changed = True
    for unit in model.units.values():
        if unit.life == "alive" and _should_die(model, unit):
            unit.life = "dying"
            changed = True
    return changed


def _should_die(model: Model, unit: Unit) -> bool:
    if model.apps[unit.app].life == "dying":
        return True
    if unit.principal is None:
        return False
    principal = model.units.get(unit.principal)
    if principal is None or principal.life == "dying":
        return True
    ties = [
        r
        for r in model.relations_seen_by(unit)
        if r.container and r.life == "alive" and r.other_app(unit.app) == principal.app
    ]
    return not ties


def _remove_dead_units(model: Model) -> bool:
    dead = [
        u
        for u in model.units.values()
        if u.life == "dying"
        and (u.local.removed or (not u.pending and _needs_no_stop(u)))
        # A principal stays until its subordinates are gone.
        and not model.subordinates_of(u.name)
    ]
    for unit in dead:
        del model.units[unit.name]
        for relation in model.relations.values():
            if unit.name in relation.scope:
                relation.scope.remove(unit.name)
            relation.bags.pop(unit.name, None)
        for secret in list(model.secrets.values()):
            secret.consumers.pop(unit.name, None)
            if secret.owner == unit.name:
                del model.secrets[secret.uri]
        app = model.apps[unit.app]
        if app.leader == unit.name:
            app.leader = None
        if not unit.principal and not _list_principals(model, unit.machine):
            model.machines[unit.machine].life = "dying"
    return bool(dead)


def _needs_no_stop(unit: Unit) -> bool:
    return not unit.local.installed or quirks.loses_stop(unit)


def _remove_dead_relations(model: Model) -> bool:
    dead = [
        r
        for r in model.relations.values()
        if r.life == "dying" and not any(r.id in u.local.relations for u in model.units.values())
    ]
    for relation in dead:
        del model.relations[relation.id]
        for secret in model.secrets.values():
            secret.grants = [g for g in secret.grants if g.relation != relation.id]
    return bool(dead)


def _remove_dead_applications(model: Model) -> bool:
    dead = [
        a.name
        for a in model.apps.values()
        if a.life == "dying" and not model.units_of(a.name) and not model.relations_of(a.name)
    ]
    for name in dead:
        del model.apps[name]
        for secret in [s for s in model.secrets.values() if s.owner == name]:
            del model.secrets[secret.uri]
    return bool(dead)


def _release_machines(model: Model) -> bool:
    """A model that is being destroyed takes its machines along once they are empty."""
    if model.life == "alive":
        return False
    idle = [m for m in model.machines.values() if m.life == "alive" and not _list_units(model, m)]
    for machine in idle:
        machine.life = "dying"
    return bool(idle)


def _enter_implicit_scopes(model: Model) -> bool:
    """A principal takes part in juju-info without a hook, once it is installed."""
    changed = False
    for unit in model.units.values():
        for relation in model.relations_of(unit.app):
            if not relation.endpoint_of(unit.app).implicit:
                continue
            views = unit.local.relations
            stays = relation.life == "alive" and unit.life == "alive"
            if stays and unit.local.installed and relation.id not in views:
                views[relation.id] = RelationView()
                enter_scope(model, relation, unit)
                changed = True
            elif not stays and relation.id in views:
                del views[relation.id]
                if unit.name in relation.scope:
                    relation.scope.remove(unit.name)
                changed = True
    return changed


def _add_subordinates(model: Model) -> bool:
    """One subordinate unit for each principal unit in a container-scoped relation."""
    changed = False
    for relation in model.relations.values():
        if not relation.container or relation.life == "dying":
            continue
        apps = sorted((model.apps[e.app] for e in relation.endpoints), key=lambda a: a.subordinate)
        if [a.subordinate for a in apps] != [False, True]:
            continue
        principals, subordinate = apps
        for unit in model.units_of(principals.name):
            has_one = any(u.app == subordinate.name for u in model.subordinates_of(unit.name))
            if unit.name in relation.scope and unit.life == "alive" and not has_one:
                add_unit(model, subordinate, unit.machine, unit.name)
                changed = True
    return changed


def _elect_leaders(model: Model) -> bool:
    changed = False
    for app in model.apps.values():
        leader = model.units.get(app.leader or "")
        if leader is not None and leader.life == "alive":
            continue
        heirs = [u for u in model.units_of(app.name) if u.life == "alive"]
        if not heirs:
            continue
        app.leader = heirs[0].name
        if leader is not None:
            leader.local.leader = False
        changed = True
    return changed


def _list_principals(model: Model, machine: str) -> list[Unit]:
    return [u for u in model.units.values() if u.machine == machine and not u.principal]


def _list_units(model: Model, machine: Machine) -> list[Unit]:
    return [u for u in model.units.values() if u.machine == machine.number]


def set_agent(unit: Unit, current: str, message: str = "") -> None:
    """Set a unit's agent status, keeping the time if it is what it was."""
    if (unit.agent.current, unit.agent.message) != (current, message):
        unit.agent = Status(current, message)
