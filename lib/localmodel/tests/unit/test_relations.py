from __future__ import annotations

from pathlib import Path

import pytest

from lib.localmodel.tests.unit.driver import World
from lib.localmodel.tests.unit.packing import pack
from localmodel.errors import LocalModelError
from localmodel.operations import applications


@pytest.fixture
def four(world: World) -> World:
    for name in ("web", "db", "search", "agent"):
        world.deploy(name)
    return world


def ends(world: World) -> list[str]:
    return [" ".join(map(str, r.endpoints)) for r in world.model.relations.values() if not r.peer]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("web:database", "db:db", "db:db web:database"),
        ("db:db", "web:database", "db:db web:database"),
        ("web:database", "db:backup", "db:backup web:database"),
        ("web:site", "db", "web:site db:proxied"),
        ("web", "search", "web:juju-info search:juju-info"),
        ("search", "web:juju-info", "web:juju-info search:juju-info"),
    ],
)
def test_the_endpoints_that_fit_are_related_provider_first(
    four: World, one: str, other: str, expected: str
) -> None:
    four.integrate(one, other)
    assert ends(four) == [expected]


def test_an_implicit_endpoint_is_used_only_where_no_other_fits(
    world: World, tmp_path: Path
) -> None:
    world.deploy("search")
    explicit = {"metrics": {"interface": "juju-info"}}
    path = pack(tmp_path, "metered", provides=explicit)
    applications.deploy(world.store, world.model, path)
    world.integrate("metered", "search")
    assert ends(world) == ["metered:metrics search:juju-info"]


@pytest.mark.parametrize(
    ("one", "other", "says"),
    [
        ("web", "db", '"web db" could refer to "web:site db:proxied"; "db:db web:database"'),
        ("web:database", "db", 'could refer to "db:db web:database"; "db:backup web:database"'),
        ("web:cache", "db", '"web:cache" offers cache .provider of memcache.'),
        ("web:cluster", "web:cluster", "no relations found"),
        ("web", "nginx", 'application "nginx" not found'),
        ("web:sit", "db", 'has no "sit" relation: it has site, cache, database, cluster'),
    ],
)
def test_what_does_not_fit_is_refused_with_what_there_is(
    four: World, one: str, other: str, says: str
) -> None:
    with pytest.raises(LocalModelError, match=says):
        four.integrate(one, other)
    assert ends(four) == []


def test_a_container_scoped_relation_needs_a_subordinate(world: World) -> None:
    world.deploy("loner")
    world.deploy("host")
    with pytest.raises(LocalModelError, match="must be a subordinate application"):
        world.integrate("loner", "host")


def test_a_relation_is_removed_by_its_applications_or_endpoints(four: World) -> None:
    for one, other in (
        ("web", "search"),
        ("search:juju-info", "web"),
        ("web:juju-info", "search"),
    ):
        four.integrate("web", "search")
        four.unrelate(one, other)
        four.run_until_idle()
        assert ends(four) == []


def test_one_of_several_relations_must_be_named_to_be_removed(four: World) -> None:
    four.integrate("web:site", "db")
    four.integrate("web:database", "db:db")
    with pytest.raises(LocalModelError, match='could refer to "web:site db:proxied"; "db:db'):
        four.unrelate("web", "db")
    four.unrelate("web:database", "db")
    four.run_until_idle()
    assert ends(four) == ["web:site db:proxied"]


def test_a_relation_can_be_made_again_once_it_is_dying(four: World) -> None:
    four.integrate("web:site", "db")
    with pytest.raises(LocalModelError, match="relation already exists"):
        four.integrate("web:site", "db")
    four.run_until_idle()
    four.unrelate("web", "db")
    four.integrate("web:site", "db")
    four.run_until_idle()
    assert ends(four) == ["web:site db:proxied"]


def test_peers_are_related_from_the_start(four: World) -> None:
    peers = [str(r.endpoints[0]) for r in four.model.relations.values() if r.peer]
    assert peers == ["web:cluster", "search:searchers"]
