"""Finds out which endpoints fit each other, and ties and unties them."""

from __future__ import annotations

from localmodel.charms import Meta, read_meta
from localmodel.errors import LocalModelError
from localmodel.state import Application, Endpoint, Model, Relation
from localmodel.store import Store


def integrate(store: Store, model: Model, one: str, other: str) -> Relation:
    """Relate two applications, each given as `APP` or `APP:ENDPOINT`."""
    pair = _match(store, model, one, other)
    text = " ".join(str(e) for e in pair)
    if find_relation(model, pair):
        raise LocalModelError(f'cannot add relation "{text}": relation already exists')
    container = any(
        read_meta(store.paths, model.apps[e.app].sha256).scope(e) == "container" for e in pair
    )
    apps = [model.apps[e.app] for e in pair]
    if container and not any(a.subordinate for a in apps):
        raise LocalModelError(
            f'cannot add relation "{text}": at least one side of a container-scoped relation'
            " must be a subordinate application"
        )
    return _add(model, list(pair), container=container)


def find_relation(model: Model, pair: tuple[Endpoint, Endpoint]) -> Relation | None:
    """Return the living relation between two endpoints, if there is one."""
    for relation in model.relations.values():
        if set(relation.endpoints) == set(pair) and relation.life == "alive":
            return relation
    return None


def is_integrated(store: Store, model: Model, one: str, other: str) -> bool:
    """Return whether a living relation fits, for a bundle that may ask for one that exists."""
    return bool(_list_fitting(model, one, other))


def remove_relation(model: Model, one: str, other: str) -> None:
    """Mark the relation between two applications as dying; its units are notified."""
    fitting = _list_fitting(model, one, other)
    if not fitting:
        for side in (one, other):
            model.app(side.partition(":")[0])
        raise LocalModelError(f'relation "{one} {other}" not found')
    if len(fitting) > 1:
        meant = _format_list([_format_endpoint(relation) for relation in fitting])
        raise LocalModelError(f'"{one} {other}" could refer to {meant}; name the endpoints')
    fitting[0].life = "dying"


def add_peer_relations(model: Model, app: Application, meta: Meta) -> None:
    """Every peer endpoint of a charm is a relation of the application with itself."""
    there = {r.endpoints[0].name for r in model.relations_of(app.name) if r.peer}
    for endpoint in meta.endpoints(app.name):
        if endpoint.role == "peer" and endpoint.name not in there:
            _add(model, [endpoint], container=False)


def _add(model: Model, endpoints: list[Endpoint], *, container: bool) -> Relation:
    relation = Relation(model.next_relation, endpoints, container)
    model.next_relation += 1
    model.relations[relation.id] = relation
    return relation


def _match(store: Store, model: Model, one: str, other: str) -> tuple[Endpoint, Endpoint]:
    """Return the one pair of endpoints, provider first, that `one` and `other` can mean."""
    candidates = [
        (a, b) if a.role == "provider" else (b, a)
        for a in _list_endpoints(store, model, one)
        for b in _list_endpoints(store, model, other)
        if a.app != b.app
        and a.interface == b.interface
        and {a.role, b.role} == {"provider", "requirer"}
    ]
    explicit = [pair for pair in candidates if not any(e.implicit for e in pair)]
    found = explicit or candidates
    if not found:
        raise LocalModelError(
            f'no relations found: "{one}" offers {_list_offered(store, model, one)},'
            f' "{other}" offers {_list_offered(store, model, other)}'
        )
    if len(found) > 1:
        options = _format_list([f"{a} {b}" for a, b in found])
        raise LocalModelError(f'ambiguous relation: "{one} {other}" could refer to {options}')
    return found[0]


def _list_endpoints(store: Store, model: Model, side: str) -> list[Endpoint]:
    name, _, wanted = side.partition(":")
    app = model.app(name)
    found = read_meta(store.paths, app.sha256).endpoints(name)
    if not wanted:
        return found
    named = [e for e in found if e.name == wanted]
    if not named:
        known = ", ".join(e.name for e in found)
        raise LocalModelError(f'application "{name}" has no "{wanted}" relation: it has {known}')
    return named


def _list_offered(store: Store, model: Model, side: str) -> str:
    ends = _list_endpoints(store, model, side)
    return ", ".join(f"{e.name} ({e.role} of {e.interface})" for e in ends if e.role != "peer")


def _list_fitting(model: Model, one: str, other: str) -> list[Relation]:
    def fits(endpoint: Endpoint, side: str) -> bool:
        return side in (endpoint.app, str(endpoint))

    return [
        r
        for r in model.relations.values()
        if not r.peer
        and r.life == "alive"
        and any(fits(a, one) and fits(b, other) for a, b in (r.endpoints, reversed(r.endpoints)))
    ]


def _format_endpoint(relation: Relation) -> str:
    return " ".join(str(e) for e in relation.endpoints)


def _format_list(items: list[str]) -> str:
    return "; ".join(f'"{item}"' for item in items)
