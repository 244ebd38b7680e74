"""A model as a bundle, and how a bundle differs from a model."""

from __future__ import annotations

from typing import Any

from localmodel.operations.bundles import Bundle, list_pairs
from localmodel.operations.relations import is_integrated
from localmodel.state import Application, Model
from localmodel.status import format_charm
from localmodel.store import Store


def export_bundle(model: Model) -> dict[str, Any]:
    """Return the document of `juju export-bundle`; a local charm has no path in it, as in Juju."""
    bodies = {name: _export(model, app) for name, app in sorted(model.apps.items())}
    used = {unit.machine for unit in model.units.values() if not unit.principal}
    body: dict[str, Any] = {}
    if bases := sorted({app.base for app in model.apps.values() if app.base}):
        body["default-base"] = f"{bases[0]}/stable"
    body["applications"] = bodies
    if used:
        body["machines"] = {number: {} for number in sorted(used, key=int)}
    relations = [[str(e) for e in r.endpoints] for r in model.relations.values() if not r.peer]
    return body | ({"relations": relations} if relations else {})


def _export(model: Model, app: Application) -> dict[str, Any]:
    body: dict[str, Any] = {"charm": format_charm(app)}
    if app.resources:
        body["resources"] = {name: r.revision for name, r in sorted(app.resources.items())}
    units = model.units_of(app.name)
    if units and not app.subordinate:
        body["num_units"] = len(units)
        body["to"] = [unit.machine for unit in units]
    if app.exposed:
        body["expose"] = True
    if app.options:
        body["options"] = dict(sorted(app.options.items()))
    return body | ({"trust": True} if app.trust else {})


def diff_bundle(store: Store, model: Model, bundle: Bundle) -> dict[str, Any]:
    """Return the document of `juju diff-bundle`: nothing where the model is as the bundle says."""
    found: dict[str, Any] = {}
    apps = {
        name: body for name in _list_names(model, bundle) if (body := _differ(model, bundle, name))
    }
    if apps:
        found["applications"] = apps
    wanted = [[one, other] for one, other in list_pairs(bundle)]
    missing = [
        pair
        for pair in wanted
        if not {side.partition(":")[0] for side in pair} <= set(model.apps)
        or not is_integrated(store, model, *pair)
    ]
    there = [[str(e) for e in r.endpoints] for r in model.relations.values() if not r.peer]
    extra = [ends for ends in there if not any(_covers(pair, ends) for pair in wanted)]
    relations = {"bundle-additions": missing, "model-additions": extra}
    if missing or extra:
        found["relations"] = {key: sorted(ends) for key, ends in relations.items() if ends}
    return found


def _list_names(model: Model, bundle: Bundle) -> list[str]:
    return sorted({*model.apps, *bundle.applications})


def _differ(model: Model, bundle: Bundle, name: str) -> dict[str, Any]:
    if name not in model.apps:
        return {"missing": "model"}
    if name not in bundle.applications:
        return {"missing": "bundle"}
    app, spec = model.apps[name], bundle.applications[name]
    found: dict[str, Any] = {}
    if not app.subordinate:
        wanted, there = 1 if spec.num_units is None else spec.num_units, len(model.units_of(name))
        if wanted != there:
            found["num_units"] = {"bundle": wanted, "model": there}
    if spec.expose != app.exposed:
        found["expose"] = {"bundle": spec.expose, "model": app.exposed}
    options = {
        key: {"bundle": spec.options.get(key), "model": app.options.get(key)}
        for key in sorted({*spec.options, *app.options})
        if str(spec.options.get(key)) != str(app.options.get(key))
    }
    return found | ({"options": options} if options else {})


def _covers(pair: list[str], ends: list[str]) -> bool:
    """Return whether a relation as a bundle names it, perhaps without endpoints, is this one."""

    def same(given: str, end: str) -> bool:
        return given in (end, end.partition(":")[0])

    one, other = pair
    first, second = ends
    return (same(one, first) and same(other, second)) or (same(one, second) and same(other, first))
