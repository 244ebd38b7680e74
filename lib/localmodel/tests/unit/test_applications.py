from __future__ import annotations

from pathlib import Path

import pytest

from lib.localmodel.tests.unit.driver import World
from lib.localmodel.tests.unit.packing import pack
from localmodel.errors import LocalModelError
from localmodel.operations import applications, machines
from localmodel.state import Hook


def fail(world: World, unit: str, hook: str = "config-changed") -> None:
    """Let a unit be in error after a hook."""
    found = world.model.unit(unit)
    found.pending, found.failures, found.retry_at = Hook(hook, hook), 1, world.now + 300


def test_units_go_where_they_are_placed_and_the_rest_on_new_machines(world: World) -> None:
    world.add_machine()
    world.deploy("web", units=3, to=["0", "new"])
    assert [u.machine for u in world.model.units_of("web")] == ["0", "1", "2"]
    assert world.add_unit("web", "web/1").machine == "1"
    assert world.add_unit("web").machine == "3"


def test_a_machine_that_is_going_takes_no_unit(world: World) -> None:
    number = world.add_machine()
    world.model.machines[number].life = "dying"
    with pytest.raises(LocalModelError, match="machine 0 not found"):
        world.deploy("web", to=[number])


def test_an_application_may_have_no_units(world: World) -> None:
    world.deploy("web", units=0)
    assert (world.model.units, world.model.machines) == ({}, {})


@pytest.mark.parametrize("name", ["web", "a", "my-web", "web2", "web-a1", "x1y"])
def test_an_application_may_be_named(world: World, name: str) -> None:
    assert world.deploy("web", name).name == name


@pytest.mark.parametrize("name", ["Web", "1web", "web-1", "-web", "web-", "web_x", "a/b", ""])
def test_an_application_may_not_be_named(world: World, name: str) -> None:
    if name:
        with pytest.raises(LocalModelError, match=f'invalid application name "{name}"'):
            world.deploy("web", name)
    else:
        assert world.deploy("web", name).name == "web"


def test_a_charms_revision_grows_with_each_build_and_deployment(
    world: World, tmp_path: Path
) -> None:
    assert world.deploy("web").revision == 0
    assert world.deploy("web", "site").revision == 1
    world.refresh("web", pack(tmp_path, "web", {"dispatch": "2"}))
    assert world.model.apps["web"].revision == 2


def test_a_refresh_forgets_options_that_the_charm_no_longer_has(
    world: World, tmp_path: Path
) -> None:
    world.deploy("web", options={"port": "81", "motto": "go"})
    world.refresh("web", pack(tmp_path, "web", options={"motto": {"type": "string"}}))
    assert world.model.apps["web"].options == {"motto": "go"}


def test_a_failed_unit_upgrades_once_it_is_resolved_even_when_forced(
    world: World, tmp_path: Path
) -> None:
    world.deploy("web")
    world.run_until_idle()
    fail(world, "web/0")
    newer = pack(tmp_path, "web", {"dispatch": "2"})
    world.refresh("web", newer)
    assert world.run_until_idle() == []
    applications.refresh(world.store, world.model, "web", newer, force_units=True)
    assert world.run_until_idle() == []
    assert world.model.apps["web"].revision == 1
    applications.resolve(world.store, world.model, "web/0", retry=True)
    assert "upgrade-charm" in [event for _, event in world.run_until_idle()]


def test_resolved_runs_the_failed_hook_again_at_once(world: World) -> None:
    world.deploy("web")
    world.run_until_idle()
    fail(world, "web/0", "update-status")
    applications.resolve(world.store, world.model, "web/0", retry=True)
    assert world.run_until_idle() == [("web/0", "update-status")]


def test_resolved_without_a_retry_counts_the_hook_as_done(world: World) -> None:
    world.deploy("web")
    world.run_until_idle()
    world.configure("web", port="81")
    fail(world, "web/0")
    applications.resolve(world.store, world.model, "web/0", retry=False)
    assert world.run_until_idle() == []
    unit = world.model.units["web/0"]
    assert (unit.pending, unit.failures) == (None, 0)


def test_a_new_file_for_a_resource_upgrades_the_charm(world: World, tmp_path: Path) -> None:
    app = world.deploy("web")
    world.run_until_idle()
    page = tmp_path / "page.html"
    page.write_text("one")
    applications.attach_resource(world.store, world.model, app, "page", str(page))
    assert (app.resources["page"].revision, app.resources["page"].filename) == (0, "page.html")
    assert [e for _, e in world.run_until_idle()] == ["upgrade-charm", "config-changed"]
    applications.attach_resource(world.store, world.model, app, "page", str(page))
    assert world.run_until_idle() == []
    page.write_text("two")
    applications.attach_resource(world.store, world.model, app, "page", str(page))
    assert app.resources["page"].revision == 1
    kept = world.store.paths.resources / app.resources["page"].sha256
    assert kept.read_text() == "two"


def test_the_newest_units_are_taken_away_first(world: World) -> None:
    app = world.deploy("web", units=12)
    assert applications.choose_units(world.model, app, 3) == ["web/9", "web/10", "web/11"]
    for count in (0, 13):
        with pytest.raises(LocalModelError, match=f"has 12 units, not {count}"):
            applications.choose_units(world.model, app, count)


def test_units_are_removed_all_or_none(world: World) -> None:
    world.deploy("web", units=2)
    with pytest.raises(LocalModelError, match='unit "web/7" not found'):
        applications.remove_units(world.store, world.model, ["web/0", "web/7"], force=False)
    assert all(u.life == "alive" for u in world.model.units.values())


def test_a_machine_is_removed_by_force_with_all_its_units(related: World) -> None:
    with pytest.raises(LocalModelError, match="machine 0 hosts units search/0, web/0"):
        machines.remove_machine(related.model, "0", force=False)
    machines.remove_machine(related.model, "0", force=True)
    events = related.run_until_idle()
    assert {u for u, _ in events} == {"web/1", "search/1", "db/0"}
    assert set(related.model.machines) == {"1", "2"}
    assert set(related.model.units) == {"web/1", "search/1", "db/0"}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [("./a.charm", True), ("../a", True), ("/a", True), ("local:a", True), ("a", False)],
)
def test_a_path_begins_with_a_dot_or_a_slash(reference: str, expected: bool) -> None:
    assert applications.is_path(reference) is expected


def test_a_charm_that_needs_storage_is_refused_and_one_that_may_do_without_is_not(
    world: World, tmp_path: Path
) -> None:
    with pytest.raises(LocalModelError, match="the local model has no storage"):
        world.deploy("stored")
    optional = {"data": {"type": "filesystem", "multiple": {"range": "0-"}}}
    path = pack(tmp_path, "roomy", storage=optional)
    assert applications.deploy(world.store, world.model, path).name == "roomy"
