"""Deploys, configures, refreshes and removes applications and their units."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from localmodel import quirks
from localmodel.charms import Meta, Option, find_charm, read_meta, store_charm
from localmodel.errors import LocalModelError
from localmodel.lifecycle import add_unit, release_unit, set_agent
from localmodel.machines.template import read_host_base
from localmodel.operations.machines import place_unit
from localmodel.operations.relations import add_peer_relations
from localmodel.paths import MAX_SOCKET
from localmodel.resolver import hash_config, record_hook
from localmodel.state import Application, Hook, Model, Resource, Unit
from localmodel.store import Store, write_atomically
from localmodel.typeguards import is_mapping

APP_NAME = re.compile(r"^[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*$")


def is_path(reference: str) -> bool:
    """Return whether a charm is given as a file rather than by its name on Charmhub."""
    return reference.startswith((".", "/")) or reference.startswith("local:")


def resolve_charm(reference: str, charm_folder: Path, base: Path) -> tuple[Path, str]:
    """Return where a charm lies, and its origin.

    Args:
        charm_folder: the folder that stands in for Charmhub.
        base: what a relative path is relative to.
    """
    if is_path(reference):
        path = base / reference.removeprefix("local:")
        if path.is_dir():
            raise LocalModelError(
                f"{path} is a folder: Juju 4 deploys packed charms only; run charmcraft pack"
            )
        return path.resolve(), "local"
    return find_charm(reference.removeprefix("ch:"), charm_folder), "charmhub"


def deploy(
    store: Store,
    model: Model,
    path: Path,
    *,
    origin: str = "local",
    name: str | None = None,
    units: int | None = None,
    to: Sequence[str] = (),
    options: Mapping[str, Any] | None = None,
    resources: Mapping[str, str] | None = None,
    trust: bool = False,
) -> Application:
    """Add an application of a packed charm, with its units and peer relations.

    Args:
        units: how many, 1 by default; a subordinate has none.
        to: machines to put them on, one for each; new machines for the rest.
    """
    sha256 = store_charm(store.paths, path)
    meta = read_meta(store.paths, sha256)
    name = name or meta.name
    if not APP_NAME.match(name):
        raise LocalModelError(f'invalid application name "{name}"')
    if len(name) > store.paths.longest_app:
        raise LocalModelError(
            f'application name "{name}" is {len(name)} characters long; at most'
            f" {store.paths.longest_app} fit into the path of a unit's socket, which has"
            f" {MAX_SOCKET} bytes (unix(7)): give the application a shorter name"
        )
    if name in model.apps:
        raise LocalModelError(f'cannot add application "{name}": application already exists')
    if meta.subordinate and (to or units not in (None, 0, 1)):
        raise LocalModelError(
            f'cannot use --num-units or --to with subordinate application "{name}"'
        )
    if any(_minimum_count(s) > 0 for s in meta.storage.values()):
        raise LocalModelError(f'cannot deploy "{name}": the local model has no storage')
    app = Application(
        name=name,
        charm=f"local:{meta.name}" if origin == "local" else f"ch:{meta.name}",
        charm_name=meta.name,
        revision=_next_revision(model, meta.name),
        sha256=sha256,
        origin="local" if origin == "local" else "charmhub",
        subordinate=meta.subordinate,
        trust=trust,
        options=read_options(meta, options or {}),
        base=read_host_base(),
    )
    model.apps[name] = app
    add_peer_relations(model, app, meta)
    for resource, file in (resources or {}).items():
        attach_resource(store, model, app, resource, file)
    if not meta.subordinate:
        add_units(store, model, app, 1 if units is None else units, to)
    return app


def add_units(
    store: Store, model: Model, app: Application, count: int, to: Sequence[str] = ()
) -> list[Unit]:
    """Add units of a principal application."""
    if app.subordinate:
        raise LocalModelError(
            f'cannot add unit to application "{app.name}": application is a subordinate'
        )
    if count < 0:
        raise LocalModelError(f"cannot add {count} units: give 0 or more")
    if len(to) > count:
        raise LocalModelError(f"{len(to)} placements for {count} units: give at most one for each")
    directives = [*to, *([None] * (count - len(to)))]
    return [add_unit(model, app, place_unit(store, model, d).number) for d in directives]


def remove_units(store: Store, model: Model, names: Sequence[str], *, force: bool) -> None:
    """Mark units as dying; with `force` they go without their last hooks."""
    units = [model.unit(name) for name in names]
    for unit in units:
        if unit.principal:
            raise LocalModelError(
                f'cannot remove unit "{unit.name}": unit is a subordinate, remove its relation'
            )
    for unit in units:
        _kill_unit(model, unit, force=force)


def choose_units(model: Model, app: Application, count: int) -> list[str]:
    """Return the units that `remove-unit APP --num-units N` takes: the newest."""
    units = model.units_of(app.name)
    if not 0 < count <= len(units):
        raise LocalModelError(f'application "{app.name}" has {len(units)} units, not {count}')
    return [u.name for u in units[-count:]]


def remove_application(store: Store, model: Model, name: str, *, force: bool) -> None:
    """Mark an application, its units and relations as dying."""
    app = model.app(name)
    app.life = "dying"
    for unit in model.units_of(name):
        _kill_unit(model, unit, force=force)


def _kill_unit(model: Model, unit: Unit, *, force: bool) -> None:
    unit.life = "dying"
    if force:
        for each in [unit, *model.subordinates_of(unit.name)]:
            release_unit(each)


def refresh(
    store: Store,
    model: Model,
    name: str,
    path: Path,
    *,
    force_units: bool = False,
    options: Mapping[str, Any] | None = None,
    resources: Mapping[str, str] | None = None,
    trust: bool = False,
) -> bool:
    """Move an application to another build of its charm; whether it differs from the present one.

    Args:
        force_units: upgrade units whose hook has failed, too; else they upgrade once resolved.
    """
    app = model.app(name)
    sha256 = store_charm(store.paths, path)
    meta = read_meta(store.paths, sha256)
    if meta.name != app.charm_name:
        raise LocalModelError(
            f'cannot refresh "{name}": charm "{meta.name}" is not "{app.charm_name}"'
        )
    if meta.subordinate != app.subordinate:
        raise LocalModelError(f'cannot refresh "{name}": cannot change its subordinacy')
    _check_endpoints_stay(model, app, meta)
    app.options = {k: v for k, v in app.options.items() if k in meta.options}
    app.options |= read_options(meta, options or {})
    app.trust = app.trust or trust
    changed = sha256 != app.sha256
    if changed:
        app.sha256 = sha256
        app.revision = _next_revision(model, meta.name)
        add_peer_relations(model, app, meta)
    for resource, file in (resources or {}).items():
        attach_resource(store, model, app, resource, file)
    if force_units and not quirks.ignores_force_units():
        for unit in model.units_of(name):
            if unit.failures:
                unit.pending, unit.failures = None, 0
    return changed


def _check_endpoints_stay(model: Model, app: Application, meta: Meta) -> None:
    there = {(e.name, e.role, e.interface) for e in meta.endpoints(app.name)}
    for relation in model.relations_of(app.name):
        endpoint = relation.endpoint_of(app.name)
        if (endpoint.name, endpoint.role, endpoint.interface) not in there:
            raise LocalModelError(
                f'cannot refresh "{app.name}": would break relation "{endpoint.name}"'
            )


def set_options(
    store: Store, model: Model, name: str, values: Mapping[str, Any], reset: Sequence[str]
) -> None:
    """Set and reset configuration; what is reset has its default again."""
    app = model.app(name)
    meta = read_meta(store.paths, app.sha256)
    for option in reset:
        if option not in meta.options:
            raise LocalModelError(f'unknown option "{option}"')
    units = [u for u in model.units_of(name) if u.local.config == hash_config(model, u, meta)]
    settings = {k: v for k, v in app.options.items() if k not in reset}
    app.options = settings | read_options(meta, values)
    for unit in units:
        digest = hash_config(model, unit, meta)
        if quirks.misses_reset(values, reset):
            unit.local.config = digest
        elif digest != unit.local.config:
            unit.local.echo = quirks.tells_twice(values)


def read_options(meta: Meta, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return values of the type that the charm declares, from text or from a bundle's YAML."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        if name not in meta.options:
            known = ", ".join(sorted(meta.options)) or "none"
            raise LocalModelError(f'unknown option "{name}": charm "{meta.name}" has {known}')
        found[name] = read_value(name, meta.options[name], value)
    return found


def read_value(name: str, option: Option, value: Any) -> Any:
    """Return one value of the option's type.

    Raises: LocalModelError that names the option, its type and what was given.
    """
    refusal = LocalModelError(f'option "{name}" expected {option.type}, got "{value}"')
    text = str(value).strip()
    match option.type:
        case "boolean":
            if text.lower() not in ("true", "false"):
                raise refusal
            return text.lower() == "true"
        case "int" | "float":
            try:
                number = int(text) if option.type == "int" else float(text)
            except ValueError as error:
                raise refusal from error
            # JSON, in which models are kept, has no infinity.
            if not math.isfinite(number):
                raise refusal
            return number
        case "secret":
            if text and not re.match(r"^secret:[a-z0-9/:-]+$", text):
                raise refusal
            return text
        case _:
            return value if isinstance(value, str) else text


def attach_resource(store: Store, model: Model, app: Application, name: str, file: str) -> None:
    """Give an application a file for one of its charm's resources."""
    meta = read_meta(store.paths, app.sha256)
    if name not in meta.resources:
        known = ", ".join(sorted(meta.resources)) or "none"
        raise LocalModelError(f'unrecognized resource "{name}": charm "{meta.name}" has {known}')
    if meta.resources[name].type != "file":
        raise LocalModelError(f'resource "{name}" is an OCI image, for Kubernetes charms only')
    path = Path(file)
    if not path.is_file():
        raise LocalModelError(f'resource "{name}": file {file!r} not found')
    data = path.read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    kept = store.paths.resources / digest
    if not kept.is_file():
        write_atomically(kept, data)
    before = app.resources.get(name)
    if before and (before.sha256, before.filename) == (digest, path.name):
        return
    revision = before.revision + 1 if before else 0
    app.resources[name] = Resource(name, digest, path.name, revision)
    app.modified += 1


def resolve(store: Store, model: Model, name: str, *, retry: bool) -> None:
    """Resolve a unit's failed hook: run it again now, or mark it as done."""
    unit = model.unit(name)
    if unit.pending is None or not unit.failures:
        raise LocalModelError(f'unit "{name}" is not in an error state')
    if retry:
        unit.retry_at = 0.0
        return
    meta = read_meta(store.paths, model.apps[unit.app].sha256)
    hook: Hook = unit.pending
    unit.local.echo = False
    record_hook(model, unit, hook, meta, time.time())
    set_agent(unit, "idle")


def _next_revision(model: Model, charm: str) -> int:
    number = model.next_revision.get(charm, 0)
    model.next_revision[charm] = number + 1
    return number


def _minimum_count(storage: Any) -> int:
    """Return how many of a storage a charm needs (metadata: `multiple: {range: 1-10}`)."""
    if not is_mapping(storage) or "multiple" not in storage:
        return 1
    digits = re.match(r"\d+", str(storage["multiple"].get("range", "1")))
    return int(digits.group()) if digits else 1
