"""The documents of the commands that show one thing, as `juju show-unit` and its relatives."""

from __future__ import annotations

from typing import Any

from localmodel.charms import read_meta
from localmodel.machines.template import read_host_base
from localmodel.secrets import USER
from localmodel.state import JUJU_VERSION, Application, Model, Secret, Unit, format_iso
from localmodel.status import CLOUD, CONTROLLER, format_charm, parse_base
from localmodel.store import Store


def make_unit_document(model: Model, unit: Unit) -> dict[str, Any]:
    """Return the document of `juju show-unit`."""
    app = model.apps[unit.app]
    infos: list[dict[str, Any]] = []
    for relation in model.relations_seen_by(unit):
        other = relation.other_app(unit.app)
        info: dict[str, Any] = {
            "relation-id": relation.id,
            "endpoint": relation.endpoint_of(unit.app).name,
            "related-endpoint": relation.endpoint_of(other).name,
            "application-data": relation.bag(other).data,
            "related-units": {
                n: {"in-scope": True, "data": relation.bag(n).data}
                for n in model.remote_units(relation, unit)
            },
        }
        if unit.name in relation.scope:
            info["local-unit"] = {"in-scope": True, "data": relation.bag(unit.name).data}
        infos.append(info)
    return {
        unit.name: {
            "workload-version": app.version,
            "machine": unit.machine,
            "opened-ports": unit.ports,
            "public-address": model.addresses_of(unit.machine)[0],
            "charm": format_charm(app),
            "leader": app.leader == unit.name,
            "life": unit.life,
            "relation-info": infos,
        }
    }


def make_model_document(model: Model) -> dict[str, Any]:
    """Return the document of `juju show-model`."""
    return {
        model.name: {
            "name": f"admin/{model.name}",
            "short-name": model.name,
            "model-uuid": model.uuid,
            "model-type": "iaas",
            "controller-uuid": "00000000-0000-0000-0000-000000000000",
            "controller-name": CONTROLLER,
            "is-controller": False,
            "owner": "admin",
            "cloud": CLOUD,
            "type": "localmodel",
            "life": model.life,
            "status": {"current": "available", "since": format_iso(model.created)},
            "agent-version": JUJU_VERSION,
        }
    }


def make_application_document(store: Store, model: Model, app: Application) -> dict[str, Any]:
    """Return the document of `juju show-application`."""
    meta = read_meta(store.paths, app.sha256)
    return {
        app.name: {
            "charm": app.charm_name,
            "charm-origin": app.origin,
            "charm-version": "",
            "charm-rev": app.revision,
            "base": "@".join(parse_base(app.base or read_host_base()).values()),
            "principal": not app.subordinate,
            "exposed": app.exposed,
            "remote": False,
            "life": app.life,
            "trust": app.trust,
            "endpoint-bindings": {e.name: "alpha" for e in meta.endpoints(app.name)},
        }
    }


def make_secret_document(
    secret: Secret, *, reveal: int | None = None, history: bool = False
) -> Any:
    """Return a secret as `juju show-secret` and `juju secrets` give it; the key is its identifier.

    Args:
        reveal: the revision whose content to show.
        history: whether to list the revisions.
    """
    identifier = secret.uri.removeprefix("secret:")
    shown: dict[str, Any] = {
        "revision": secret.newest,
        "owner": "<model>" if secret.owner == USER else secret.owner,
        "created": format_iso(secret.created),
        "updated": format_iso(secret.updated),
    }
    optional = {
        "name": secret.name,
        "label": secret.label,
        "description": secret.description,
        "rotation": "" if secret.rotate == "never" else secret.rotate,
    }
    shown |= {k: v for k, v in optional.items() if v}
    if secret.rotates_at is not None:
        shown["rotates"] = format_iso(secret.rotates_at)
    if secret.grants:
        shown["access"] = [
            {
                "target": f"{'unit' if '/' in g.target else 'application'}-{g.target}",
                "scope": "model" if g.relation is None else f"relation-{g.relation}",
                "role": "view",
            }
            for g in secret.grants
        ]
    if history:
        shown["revisions"] = [
            {
                "revision": number,
                "backend": "internal",
                "created": format_iso(revision.created),
                "updated": format_iso(revision.created),
                **({"expires": format_iso(revision.expires)} if revision.expires else {}),
            }
            for number, revision in secret.revisions.items()
        ]
    if reveal is not None:
        shown["content"] = {"Data": secret.revisions[reveal].content}
        shown["checksum"] = ""
    return {identifier: shown}


def make_config_document(store: Store, model: Model, app: Application) -> dict[str, Any]:
    """Return the document of `juju config`."""
    meta = read_meta(store.paths, app.sha256)
    settings: dict[str, Any] = {}
    for name, option in meta.options.items():
        is_set = name in app.options
        value = app.options.get(name, option.default)
        entry: dict[str, Any] = {"description": option.description, "type": option.type}
        if option.default is not None:
            entry["default"] = option.default
        entry["source"] = "user" if is_set else "default" if value is not None else "unset"
        if value is not None:
            entry["value"] = value
        settings[name] = entry
    trust = {
        "default": False,
        "description": "Does this application have access to trusted credentials",
        "source": "user" if app.trust else "default",
        "type": "bool",
        "value": app.trust,
    }
    return {
        "application": app.name,
        "application-config": {"trust": trust},
        "charm": app.charm_name,
        "settings": settings,
    }


def list_resources(store: Store, app: Application) -> list[dict[str, Any]]:
    """Return an application's resources, attached or not."""
    meta = read_meta(store.paths, app.sha256)
    return [
        {
            "name": name,
            "type": kind.type,
            "description": kind.description,
            "origin": "upload" if name in app.resources else "",
            "revision": app.resources[name].revision if name in app.resources else None,
            "fingerprint": app.resources[name].sha256 if name in app.resources else "",
        }
        for name, kind in meta.resources.items()
    ]
