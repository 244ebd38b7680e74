"""Reads a bundle with its overlays, and brings a model to what it says.

Strict, as Juju is: an unknown key is an error, and so is a machine that nothing uses. What the
local model has no counterpart of (storage, bindings, offers) is refused rather than ignored.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import yaml
from msgspec import Struct, field

from localmodel.charms import read_meta, store_charm
from localmodel.errors import LocalModelError
from localmodel.operations import applications
from localmodel.operations.machines import add_machine
from localmodel.operations.relations import integrate, is_integrated
from localmodel.state import Model
from localmodel.store import Store
from localmodel.typeguards import is_list, is_mapping


class BundleMachine(Struct, forbid_unknown_fields=True):
    """A machine that units are placed on; what it is made of is the local model's choice."""

    base: str = ""
    constraints: str = ""
    annotations: dict[str, str] = {}


class BundleApplication(Struct, forbid_unknown_fields=True):
    """One application of a bundle."""

    charm: str
    channel: str = ""
    revision: int | None = None
    base: str = ""
    num_units: int | None = None
    to: list[str | int] = []
    options: dict[str, Any] = {}
    constraints: str = ""
    resources: dict[str, str | int] = {}
    expose: bool = False
    trust: bool = False
    annotations: dict[str, str] = {}


class Bundle(Struct, forbid_unknown_fields=True):
    """A bundle, after its overlays."""

    applications: dict[str, BundleApplication]
    name: str = ""
    description: str = ""
    type: str = ""
    tags: list[str] = []
    default_base: str = field(name="default-base", default="")
    variables: dict[str, Any] = {}
    machines: dict[str, BundleMachine | None] = {}
    relations: list[list[str | list[str]]] = []


class LayerApplication(Struct):
    """What of an application must have the right shape before overlays can be laid over it."""

    options: dict[str, Any] | None = None
    resources: dict[str, Any] | None = None
    annotations: dict[str, Any] | None = None


class Layer(Struct):
    """A bundle's or an overlay's file, as far as merging looks into it."""

    applications: dict[str, LayerApplication | None] | None = None
    machines: dict[str | int, Any] | None = None
    relations: list[list[str | list[str]]] | None = None


def read_bundle(path: Path, overlays: Sequence[Path]) -> Bundle:
    """Read a bundle and lay its overlays over it.

    A file's further documents, after `---`, are overlays too.

    Args:
        path: its file, or a folder with a bundle.yaml.
    Raises: LocalModelError that names the file and the key.
    """
    body, *rest = _load(path)
    for layer in [*rest, *(layer for overlay in overlays for layer in _load(overlay))]:
        body = _merge(body, layer)
    body["machines"] = {str(k): v for k, v in _read_section(body, "machines").items()}
    try:
        bundle = msgspec.convert(body, Bundle)
    except msgspec.ValidationError as error:
        raise LocalModelError(f"cannot deploy bundle {path}: {error}") from error
    _check(path, bundle)
    return bundle


def deploy_bundle(store: Store, model: Model, bundle: Bundle, charm_folder: Path) -> list[str]:
    """Change a model to match a bundle; applications that exist already stay.

    Returns: what was done, a line each.
    """
    done: list[str] = []
    numbers: dict[str, str] = {}

    # Last those that are placed by another application's units.
    def leans_on_others(item: tuple[str, BundleApplication]) -> bool:
        return any(not str(directive).isdigit() for directive in item[1].to)

    for name, spec in sorted(bundle.applications.items(), key=leans_on_others):
        path, origin = applications.resolve_charm(spec.charm, charm_folder, Path("/"))
        resources = {k: str(v) for k, v in spec.resources.items() if not isinstance(v, int)}
        meta = read_meta(store.paths, store_charm(store.paths, path))
        if meta.subordinate and (spec.to or spec.num_units):
            raise LocalModelError(f'application "{name}" is a subordinate: leave num_units and to')
        if name in model.apps:
            if applications.refresh(
                store,
                model,
                name,
                path,
                options=spec.options,
                resources=resources,
                trust=spec.trust,
            ):
                done.append(f"upgrade {name}")
        else:
            applications.deploy(
                store,
                model,
                path,
                origin=origin,
                name=name,
                units=None if meta.subordinate else 0,
                options=spec.options,
                resources=resources,
                trust=spec.trust,
            )
            done.append(f"deploy application {name} from {spec.charm}")
        if spec.expose and not model.apps[name].exposed:
            model.apps[name].exposed = True
            done.append(f"expose all endpoints of {name} and allow access from CIDRs 0.0.0.0/0")
        if not meta.subordinate:
            done += _add_missing_units(store, model, name, spec, numbers)
    for one, other in list_pairs(bundle):
        if not is_integrated(store, model, one, other):
            integrate(store, model, one, other)
            done.append(f"add relation {one} - {other}")
    return done


def _add_missing_units(
    store: Store, model: Model, name: str, spec: BundleApplication, numbers: dict[str, str]
) -> list[str]:
    app = model.apps[name]
    wanted = 1 if spec.num_units is None else spec.num_units
    done: list[str] = []
    for index in range(len(model.units_of(name)), wanted):
        directive = None
        if spec.to:
            # The last placement serves the units that have none of their own.
            directive = str(spec.to[min(index, len(spec.to) - 1)])
        if directive is not None and directive.isdigit():
            if directive not in numbers:
                numbers[directive] = add_machine(store, model).number
            directive = numbers[directive]
        elif directive in model.apps:
            directive = f"{directive}/{min(index, len(model.units_of(str(directive))) - 1)}"
        (unit,) = applications.add_units(store, model, app, 1, [directive] if directive else [])
        done.append(f"add unit {unit.name} to machine {unit.machine}")
    return done


def list_pairs(bundle: Bundle) -> list[tuple[str, str]]:
    """Return the two sides of each relation."""
    found: list[tuple[str, str]] = []
    for relation in bundle.relations:
        one, other = relation
        sides = [other] if isinstance(other, str) else other
        found += [(str(one), side) for side in sides]
    return found


def is_bundle(path: Path) -> bool:
    """Return whether what is deployed is a bundle: its file, or a folder with one."""
    return path.suffix in (".yaml", ".yml") or (path / "bundle.yaml").is_file()


def _load(path: Path) -> list[dict[str, Any]]:
    """Return a file's documents, their paths made absolute and included files read."""
    path = path / "bundle.yaml" if path.is_dir() else path
    try:
        bodies = list(yaml.safe_load_all(path.read_text()))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise LocalModelError(f"cannot read bundle {path}: {error}") from error
    # A document that is empty, such as one after a last ---, says nothing.
    bodies = [body for number, body in enumerate(bodies) if number == 0 or body is not None]
    return [_resolve(path, body) for body in bodies or [None]]


def _resolve(path: Path, body: Any) -> dict[str, Any]:
    if not is_mapping(body):
        raise LocalModelError(f"cannot read bundle {path}: not a mapping")
    try:
        msgspec.convert(body, Layer)
    except msgspec.ValidationError as error:
        raise LocalModelError(f"cannot read bundle {path}: {error}") from error
    for spec in _read_section(body, "applications").values():
        if not is_mapping(spec):
            continue
        if isinstance(spec.get("charm"), str) and applications.is_path(spec["charm"]):
            spec["charm"] = str((path.parent / spec["charm"]).resolve())
        for key, value in _read_section(spec, "options").items():
            spec["options"][key] = _include(path.parent, value)
        for key, value in _read_section(spec, "resources").items():
            if isinstance(value, str):
                spec["resources"][key] = str((path.parent / value).resolve())
    return body


def _read_section(body: dict[str, Any], key: str) -> dict[str, Any]:
    """Return a mapping of a bundle; an empty one where the key is left out, or left empty."""
    return body.get(key) or {}


def _include(folder: Path, value: Any) -> Any:
    """Replace `include-file://PATH` and `include-base64://PATH` by the file's content."""
    for scheme in ("include-file://", "include-base64://"):
        if isinstance(value, str) and value.startswith(scheme):
            try:
                data = (folder / value.removeprefix(scheme)).read_bytes()
                encode = scheme == "include-base64://"
                return (base64.b64encode(data) if encode else data).decode()
            except (OSError, UnicodeDecodeError) as error:
                raise LocalModelError(f"cannot include {value}: {error}") from error
    return value


def _merge(base: dict[str, Any], overlay: dict[str, Any]) -> dict[str, Any]:
    """Lay an overlay over a bundle as Juju does.

    Its relations come on top, applications that it sets to nothing go with their relations, and
    within an application options and resources are merged while everything else is replaced.
    """
    merged = base | {k: v for k, v in overlay.items() if k not in ("applications", "relations")}
    apps = dict(_read_section(base, "applications"))
    dropped: set[str] = set()
    for name, spec in _read_section(overlay, "applications").items():
        if spec is None:
            apps.pop(name, None)
            dropped.add(name)
        elif is_mapping(apps.get(name)) and is_mapping(spec):
            inner = {
                k: _read_section(apps[name], k) | _read_section(spec, k)
                for k in ("options", "resources", "annotations")
                if k in apps[name] or k in spec
            }
            apps[name] = apps[name] | spec | inner
        else:
            apps[name] = spec
    merged["applications"] = apps
    relations: list[Any] = [*(base.get("relations") or ()), *(overlay.get("relations") or ())]
    merged["relations"] = [r for r in relations if not _split_sides(r) & dropped]
    return merged


def _split_sides(relation: Any) -> set[str]:
    flat = [s for side in relation for s in (side if is_list(side) else [side])]
    return {str(s).partition(":")[0] for s in flat}


def _check(path: Path, bundle: Bundle) -> None:
    problems: list[str] = []
    used: set[str] = set()
    for name, spec in bundle.applications.items():
        for directive in map(str, spec.to):
            used.add(directive)
            target = directive.partition("/")[0]
            if directive.isdigit() and directive not in bundle.machines:
                problems.append(f'application "{name}" refers to undefined machine {directive}')
            elif not directive.isdigit() and target not in {*bundle.applications, "new"}:
                problems.append(f'application "{name}" has invalid placement "{directive}"')
        if (spec.num_units or 0) < 0:
            problems.append(f'application "{name}" has negative num_units')
    problems += [
        f'machine "{number}" is not referred to by a placement directive'
        for number in bundle.machines
        if number not in used
    ]
    for relation in bundle.relations:
        if len(relation) != 2:
            problems.append(f"relation {relation} must name two endpoints")
            continue
        problems += [
            f'relation {relation} refers to application "{side}" not defined'
            for side in _split_sides(relation) - set(bundle.applications)
        ]
    if problems:
        raise LocalModelError(f"cannot deploy bundle {path}: " + "; ".join(problems))
