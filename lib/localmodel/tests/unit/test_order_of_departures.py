"""The rows of "Order of events" on what leaves: relations, units, applications, leaders."""

from __future__ import annotations

import pytest

from lib.localmodel.tests.unit.driver import World, of
from localmodel.lifecycle import advance

SUBORDINATE_LEAVES = [
    "juju-info-relation-departed web/0 (search/0 departs)",
    "juju-info-relation-broken",
    "stop",
    "remove",
]


@pytest.fixture
def related(world: World) -> World:
    """web/0 and web/1 related to db/0, idle."""
    world.deploy("web", units=2)
    world.deploy("db")
    world.integrate("web:database", "db:db")
    world.run_until_idle()
    return world


def test_a_removed_relation_takes_the_subordinate_with_it(attached: World) -> None:
    attached.unrelate("web", "search")
    events = attached.run_until_idle()
    assert of(events, "search/0") == SUBORDINATE_LEAVES
    assert of(events, "web/0") == []
    assert set(attached.model.units) == {"web/0"}
    assert all(r.peer for r in attached.model.relations.values())


def test_a_leaving_subordinate_departs_from_its_peers_without_a_broken(pair: World) -> None:
    pair.unrelate("web", "search")
    events = pair.run_until_idle()
    assert of(events, "search/0") == [
        "juju-info-relation-departed web/0 (search/0 departs)",
        "juju-info-relation-departed web/1 (search/0 departs)",
        "juju-info-relation-broken",
        "searchers-relation-departed search/1 (search/0 departs)",
        "stop",
        "remove",
    ]
    assert of(events, "search/1") == [
        "juju-info-relation-departed web/0 (search/1 departs)",
        "juju-info-relation-departed web/1 (search/1 departs)",
        "juju-info-relation-broken",
        "searchers-relation-departed search/0 (search/1 departs)",
        "stop",
        "remove",
    ]


def test_a_subordinate_without_peers_goes_before_its_stop(world: World) -> None:
    world.deploy("web")
    world.deploy("agent")
    world.integrate("web", "agent")
    world.run_until_idle()
    world.unrelate("web", "agent")
    assert of(world.run_until_idle(), "agent/0") == [
        "juju-info-relation-departed web/0 (agent/0 departs)",
        "juju-info-relation-broken",
    ]
    assert set(world.model.units) == {"web/0"}


def test_surviving_peers_see_the_others_departure_and_a_new_leader(pair: World) -> None:
    pair.remove_unit("web/0")
    events = pair.run_until_idle()
    assert of(events, "search/1") == [
        "leader-elected",
        "juju-info-relation-departed web/0 (web/0 departs)",
        "searchers-relation-departed search/0 (search/0 departs)",
    ]
    assert of(events, "web/1") == [
        "leader-elected",
        "cluster-relation-departed web/0 (web/0 departs)",
    ]


def test_a_principal_stays_until_its_subordinate_is_gone(attached: World) -> None:
    attached.remove("web")
    events: list[tuple[str, str]] = []
    while attached.step():
        events = attached.events
        if "search/0" in attached.model.units:
            assert "web/0" in attached.model.units
    assert of(events, "search/0") == SUBORDINATE_LEAVES
    assert of(events, "web/0") == ["stop", "remove"]
    assert (attached.model.units, attached.model.machines) == ({}, {})
    assert set(attached.model.apps) == {"search"}


def test_a_removed_subordinate_application_leaves_its_principal_alone(attached: World) -> None:
    attached.remove("search")
    events = attached.run_until_idle()
    assert of(events, "search/0") == SUBORDINATE_LEAVES
    assert of(events, "web/0") == []
    assert set(attached.model.apps) == {"web"}


def test_a_subordinate_comes_back_with_the_next_number_when_related_again(
    attached: World,
) -> None:
    attached.unrelate("web", "search")
    advance(attached.model)
    attached.integrate("web", "search")
    events = attached.run_until_idle()
    assert of(events, "search/0") == SUBORDINATE_LEAVES
    assert of(events, "search/1")[0] == "install"
    assert set(attached.model.units) == {"web/0", "search/1"}


def test_a_removed_unit_says_that_it_departs_itself(related: World) -> None:
    related.remove_unit("web/0")
    events = related.run_until_idle()
    assert of(events, "web/0") == [
        "database-relation-departed db/0 (web/0 departs)",
        "database-relation-broken",
        "cluster-relation-departed web/1 (web/0 departs)",
        "stop",
        "remove",
    ]
    assert of(events, "db/0") == ["db-relation-departed web/0 (web/0 departs)"]


def test_a_removed_relation_between_principals_departs_and_breaks_on_both_sides(
    related: World,
) -> None:
    related.unrelate("web", "db")
    events = related.run_until_idle()
    assert of(events, "db/0") == [
        "db-relation-departed web/0 (web/0 departs)",
        "db-relation-departed web/1 (web/1 departs)",
        "db-relation-broken",
    ]
    for unit in ("web/0", "web/1"):
        assert of(events, unit) == [
            "database-relation-departed db/0 (db/0 departs)",
            "database-relation-broken",
        ]


def test_a_removed_application_breaks_the_relations_of_the_other_side(related: World) -> None:
    related.remove("db")
    events = related.run_until_idle()
    assert of(events, "db/0")[-2:] == ["stop", "remove"]
    for unit in ("web/0", "web/1"):
        assert of(events, unit)[-1] == "database-relation-broken"
    assert "db" not in related.model.apps


def test_leadership_passes_to_the_oldest_that_stays(world: World) -> None:
    world.deploy("web", units=3)
    world.run_until_idle()
    world.remove_unit("web/0")
    advance(world.model)
    assert world.model.apps["web"].leader == "web/1"
    events = world.run_until_idle()
    assert [u for u, e in events if e == "leader-elected"] == ["web/1"]
    assert of(events, "web/1")[0] == "leader-elected"


def test_a_unit_that_was_never_installed_goes_without_hooks(world: World) -> None:
    world.deploy("web")
    world.remove("web")
    assert world.run_until_idle() == []
    assert (world.model.apps, world.model.units, world.model.machines) == ({}, {}, {})


def test_the_machine_goes_with_its_last_principal(world: World) -> None:
    world.deploy("web")
    world.deploy("db", to=["0"])
    world.run_until_idle()
    world.remove("web")
    world.run_until_idle()
    assert set(world.model.machines) == {"0"}
    world.remove("db")
    world.run_until_idle()
    assert world.model.machines == {}


def test_a_machine_without_units_stays_until_it_is_removed(world: World) -> None:
    number = world.add_machine()
    world.run_until_idle()
    assert set(world.model.machines) == {number}


def test_a_forced_removal_runs_no_last_hooks(attached: World) -> None:
    attached.remove("web", force=True)
    assert attached.run_until_idle() == []
    assert (attached.model.units, attached.model.machines) == ({}, {})


def test_a_dying_unit_whose_hook_has_failed_waits_to_be_resolved(attached: World) -> None:
    unit = attached.model.units["search/0"]
    attached.configure("search", image="x")
    hook = attached.next(unit)
    assert hook is not None
    attached.begin(unit, hook)
    unit.failures, unit.retry_at = 1, attached.now + 300
    attached.unrelate("web", "search")
    assert attached.run_until_idle() == []
    attached.now += 300
    assert of(attached.run_until_idle(), "search/0") == ["config-changed", *SUBORDINATE_LEAVES]


def test_the_bags_and_scopes_of_what_has_left_are_gone(related: World) -> None:
    related.remove_unit("web/0")
    related.run_until_idle()
    for relation in related.model.relations.values():
        assert "web/0" not in relation.scope
        assert "web/0" not in relation.bags


def test_a_join_is_followed_by_its_change_even_where_the_unit_is_dying(world: World) -> None:
    world.deploy("web", units=2)
    while world.events[-1:] != [("web/1", "cluster-relation-joined web/0")]:
        world.step()
    world.events.clear()
    world.remove("web")
    assert of(world.run_until_idle(), "web/1") == [
        "cluster-relation-changed web/0",
        "cluster-relation-departed web/0 (web/1 departs)",
        "stop",
        "remove",
    ]
