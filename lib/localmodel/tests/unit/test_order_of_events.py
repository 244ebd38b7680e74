"""The table "Order of events" of how Juju runs a machine charm, row by row."""

from __future__ import annotations

from pathlib import Path

from lib.localmodel.tests.unit.driver import World, of
from lib.localmodel.tests.unit.packing import pack
from localmodel.operations import applications
from localmodel.state import Bag, Hook, Model, Unit

SUBORDINATE_ARRIVES = [
    "install",
    "juju-info-relation-created",
    "searchers-relation-created",
    "leader-elected",
    "config-changed",
    "start",
    "juju-info-relation-joined web/0",
    "juju-info-relation-changed web/0",
]


def test_a_principal_installs_is_elected_configured_and_started(world: World) -> None:
    world.deploy("web")
    assert of(world.run_until_idle(), "web/0") == [
        "install",
        "cluster-relation-created",
        "leader-elected",
        "config-changed",
        "start",
    ]


def test_relations_are_created_before_and_joined_after_a_principals_start(world: World) -> None:
    world.deploy("web")
    world.deploy("db")
    world.integrate("web:database", "db:db")
    events = world.run_until_idle()
    assert of(events, "web/0") == [
        "install",
        "database-relation-created",
        "cluster-relation-created",
        "leader-elected",
        "config-changed",
        "start",
        "database-relation-joined db/0",
        "database-relation-changed db/0",
    ]
    assert of(events, "db/0") == [
        "install",
        "db-relation-created",
        "leader-elected",
        "config-changed",
        "start",
        "db-relation-joined web/0",
        "db-relation-changed web/0",
    ]


def test_only_the_leader_is_told_of_its_election(world: World) -> None:
    world.deploy("web", units=3)
    events = world.run_until_idle()
    elected = [unit for unit, event in events if event == "leader-elected"]
    assert elected == ["web/0"]
    assert world.model.apps["web"].leader == "web/0"


def test_peers_join_each_other(world: World) -> None:
    world.deploy("web", units=2)
    events = world.run_until_idle()
    assert of(events, "web/0")[-2:] == [
        "cluster-relation-joined web/1",
        "cluster-relation-changed web/1",
    ]
    assert of(events, "web/1")[-2:] == [
        "cluster-relation-joined web/0",
        "cluster-relation-changed web/0",
    ]


def test_a_subordinate_has_no_unit_until_it_is_related(world: World) -> None:
    world.deploy("search")
    assert world.run_until_idle() == []
    assert world.model.units == {}


def test_a_subordinate_arrives_after_its_principals_own_install(world: World) -> None:
    world.deploy("web")
    world.deploy("search")
    world.integrate("web", "search")
    events = world.run_until_idle()
    assert of(events, "search/0") == SUBORDINATE_ARRIVES
    assert events.index(("web/0", "install")) < events.index(("search/0", "install"))
    assert world.model.units["search/0"].principal == "web/0"
    assert world.model.units["search/0"].machine == world.model.units["web/0"].machine


def test_a_principal_gets_no_hook_for_the_implicit_endpoint(world: World) -> None:
    world.deploy("web")
    world.deploy("search")
    world.integrate("web", "search")
    world.run_until_idle()
    world.unrelate("web", "search")
    events = world.run_until_idle()
    assert [e for e in of(events, "web/0") if "juju-info" in e] == []


def test_broken_names_the_other_application_unless_it_is_being_removed(world: World) -> None:
    world.deploy("web")
    world.deploy("db")
    world.deploy("search")
    world.integrate("web", "search:juju-info")
    world.integrate("db", "search:juju-info")
    world.run_until_idle()
    told: list[str] = []

    def note(model: Model, unit: Unit, hook: Hook) -> None:
        if hook.kind == "relation-broken" and unit.name == "search/1":
            told.append(hook.remote_app)

    world.charm = note
    world.unrelate("web", "search:juju-info")
    world.run_until_idle()
    assert told == ["web"]
    world.remove("db")
    world.run_until_idle()
    assert told == ["web", ""]


def test_a_subordinate_sees_every_principal_and_all_its_peers(pair: World) -> None:
    unit = pair.model.units["search/1"]
    relations = {r.endpoint_of("search").name: r for r in pair.model.relations_seen_by(unit)}
    assert pair.model.remote_units(relations["juju-info"], unit) == ["web/0", "web/1"]
    assert pair.model.remote_units(relations["searchers"], unit) == ["search/0"]


def test_a_subordinate_of_two_applications_sees_the_principals_of_both(world: World) -> None:
    world.deploy("web")
    world.deploy("db")
    world.deploy("search")
    world.integrate("web", "search:juju-info")
    world.integrate("db", "search:juju-info")
    events = world.run_until_idle()
    assert [e for e in of(events, "search/0") if "joined" in e] == [
        "juju-info-relation-joined web/0",
        "juju-info-relation-joined db/0",
        "searchers-relation-joined search/1",
    ]
    assert [e for e in of(events, "search/1") if "joined" in e] == [
        "juju-info-relation-joined web/0",
        "juju-info-relation-joined db/0",
        "searchers-relation-joined search/0",
    ]


def test_subordinates_see_each_other_on_their_own_principal_only(world: World) -> None:
    world.deploy("web")
    world.deploy("search")
    world.deploy("agent")
    world.integrate("web", "search:juju-info")
    world.integrate("web", "agent:juju-info")
    world.integrate("search:metrics", "agent:scraped")
    world.add_unit("web")
    events = world.run_until_idle()
    for number in (0, 1):
        assert [e for e in of(events, f"agent/{number}") if "scraped-relation-joined" in e] == [
            f"scraped-relation-joined search/{number}"
        ]


def test_a_subordinates_peers_come_last(pair: World) -> None:
    pair.add_unit("web")
    events = of(pair.run_until_idle(), "search/2")
    assert events[:5] == [e for e in SUBORDINATE_ARRIVES[:6] if e != "leader-elected"]
    assert events[5:11] == [
        f"juju-info-relation-{what} web/{number}"
        for number in range(3)
        for what in ("joined", "changed")
    ]
    assert events[11:] == [
        "searchers-relation-joined search/0",
        "searchers-relation-changed search/0",
        "searchers-relation-joined search/1",
        "searchers-relation-changed search/1",
    ]


def test_each_units_bag_holds_its_address(attached: World) -> None:
    expected = {"ingress-address": "172.30.0.2", "egress-subnets": "172.30.0.2/32"}
    relation = next(r for r in attached.model.relations.values() if r.container)
    assert relation.bags["web/0"].data == expected
    assert relation.bags["search/0"].data == expected


def test_config_changed_follows_each_change_twice(attached: World) -> None:
    attached.configure("search", image="mprime")
    assert attached.run_until_idle() == [("search/0", "config-changed")] * 2
    attached.configure("search", image="mprime")
    assert attached.run_until_idle() == []
    attached.configure("search", image="mlucas")
    assert attached.run_until_idle() == [("search/0", "config-changed")] * 2


def test_two_changes_before_the_hook_are_told_as_one(attached: World) -> None:
    attached.configure("web", port="8080")
    attached.configure("web", title="x")
    assert attached.run_until_idle() == [("web/0", "config-changed")] * 2


def test_a_reset_fires_nothing_and_is_seen_by_the_next_hook(attached: World) -> None:
    attached.configure("search", image="mprime")
    attached.run_until_idle()
    applications.set_options(attached.store, attached.model, "search", {}, ["image"])
    assert attached.run_until_idle() == []
    assert "image" not in attached.model.apps["search"].options
    attached.now += 300
    assert ("search/0", "update-status") in attached.run_until_idle()


def test_a_reset_together_with_a_value_is_told(attached: World) -> None:
    attached.configure("web", port="8080")
    attached.run_until_idle()
    applications.set_options(attached.store, attached.model, "web", {"title": "x"}, ["port"])
    assert attached.run_until_idle() == [("web/0", "config-changed")] * 2


def test_trust_is_announced_as_configuration(attached: World) -> None:
    attached.model.apps["web"].trust = True
    assert attached.run_until_idle() == [("web/0", "config-changed")]


def test_a_refresh_upgrades_and_configures(attached: World, tmp_path: Path) -> None:
    assert attached.refresh("search", pack(tmp_path, "search", {"dispatch": "two"}))
    assert attached.run_until_idle() == [
        ("search/0", "upgrade-charm"),
        ("search/0", "config-changed"),
    ]
    assert attached.model.units["search/0"].local.charm == attached.model.apps["search"].sha256


def test_a_refresh_to_the_same_charm_runs_nothing(attached: World) -> None:
    assert not attached.refresh("search", attached.charms / "search.charm")
    assert attached.run_until_idle() == []


def test_a_new_peer_endpoint_is_created_on_refresh(world: World, tmp_path: Path) -> None:
    world.deploy("db")
    world.run_until_idle()
    world.refresh("db", pack(tmp_path, "db", peers={"ring": {"interface": "ring"}}))
    assert of(world.run_until_idle(), "db/0") == [
        "upgrade-charm",
        "ring-relation-created",
        "config-changed",
    ]


def test_a_reboot_starts_every_unit_once(attached: World) -> None:
    attached.reboot("0")
    assert attached.run_until_idle() == [("web/0", "start"), ("search/0", "start")]
    assert attached.run_until_idle() == []


def test_start_after_a_reboot_comes_before_what_else_is_due(attached: World) -> None:
    attached.configure("search", image="mprime")
    attached.reboot("0")
    events = [event for name, event in attached.run_until_idle() if name == "search/0"]
    assert events == ["start", "config-changed", "config-changed"]


def test_update_status_comes_when_idle_for_five_minutes(attached: World) -> None:
    attached.now += 299
    assert attached.run_until_idle() == []
    attached.now += 1
    assert attached.run_until_idle() == [("web/0", "update-status"), ("search/0", "update-status")]
    assert attached.run_until_idle() == []


def test_the_model_chooses_how_often_update_status_comes(attached: World) -> None:
    attached.model.config["update-status-hook-interval"] = "1h"
    attached.now += 3599
    assert attached.run_until_idle() == []
    attached.now += 1
    assert len(attached.run_until_idle()) == 2


def test_an_interrupted_hook_runs_again_before_anything_else(attached: World) -> None:
    unit = attached.model.units["search/0"]
    attached.configure("search", image="x")
    hook = attached.next(unit)
    assert hook is not None
    assert hook.name == "config-changed"
    attached.begin(unit, hook)
    attached.configure("search", image="y")
    assert attached.run_until_idle() == [("search/0", "config-changed")] * 2


def test_a_failed_hook_waits_for_its_time(attached: World) -> None:
    unit = attached.model.units["web/0"]
    unit.pending, unit.failures = Hook("config-changed", "config-changed"), 1
    unit.retry_at = attached.now + 5
    attached.configure("web", port="1")
    attached.now += 4
    assert attached.run_until_idle() == []
    attached.now += 1
    assert attached.run_until_idle() == [("web/0", "config-changed")] * 2
    assert (unit.failures, unit.pending) == (0, None)


def test_settings_that_change_are_announced_to_the_other_side_only(world: World) -> None:
    world.deploy("web")
    world.deploy("db")
    world.integrate("web:database", "db:db")
    world.run_until_idle()
    relation = next(r for r in world.model.relations.values() if not r.peer)
    relation.bag("db/0").update({"password": "x"})
    assert world.run_until_idle() == [("web/0", "database-relation-changed db/0")]
    relation.bag("db").update({"version": "15"})
    assert world.run_until_idle() == [("web/0", "database-relation-changed db")]


def test_an_applications_settings_reach_every_remote_unit(world: World) -> None:
    world.deploy("web", units=2)
    world.deploy("db")
    world.integrate("web:database", "db:db")
    world.run_until_idle()
    relation = next(r for r in world.model.relations.values() if not r.peer)
    relation.bag("db").update({"version": "15"})
    assert sorted(world.run_until_idle()) == [
        ("web/0", "database-relation-changed db"),
        ("web/1", "database-relation-changed db"),
    ]


def test_a_write_that_changes_nothing_is_not_announced() -> None:
    bag = Bag()
    bag.update({"a": "1"})
    bag.update({"a": "1", "b": ""})
    assert (bag.version, bag.data) == (1, {"a": "1"})
    bag.update({"a": ""})
    assert (bag.version, bag.data) == (2, {})


def test_settings_written_in_joined_are_part_of_one_change(world: World) -> None:
    def charm(model: Model, unit: Unit, hook: Hook) -> None:
        if hook.kind == "relation-created" and unit.app == "db":
            assert hook.relation is not None
            model.relations[hook.relation].bag("db/0").update({"password": "x"})

    world.charm = charm
    world.deploy("db")
    world.deploy("web")
    world.integrate("web:database", "db:db")
    assert of(world.run_until_idle(), "web/0")[-2:] == [
        "database-relation-joined db/0",
        "database-relation-changed db/0",
    ]
