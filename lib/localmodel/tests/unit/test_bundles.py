from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from lib.localmodel.tests.unit.driver import World, of
from lib.localmodel.tests.unit.packing import pack
from localmodel.errors import LocalModelError
from localmodel.operations.bundles import Bundle, deploy_bundle, read_bundle

BUNDLE: dict[str, Any] = {
    "name": "prime-time",
    "default-base": "ubuntu@24.04",
    "applications": {
        "web": {"charm": "web", "num_units": 2, "to": ["0", "1"], "options": {"port": 8080}},
        "search": {"charm": "search", "options": {"image": "mprime"}},
        "db": {"charm": "db", "to": ["web/0"]},
    },
    "machines": {"0": {}, "1": None},
    "relations": [["web:juju-info", "search:juju-info"], ["web:database", "db:db"]],
}


def write(folder: Path, body: Any, name: str = "bundle.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(body if isinstance(body, str) else yaml.safe_dump(body, sort_keys=False))
    return path


def changed(*path: str, to: Any) -> dict[str, Any]:
    """The bundle with one key set, or with `to` None taken away."""
    body = yaml.safe_load(yaml.safe_dump(BUNDLE))
    level = body
    for key in path[:-1]:
        level = level[key]
    if to is None:
        del level[path[-1]]
    else:
        level[path[-1]] = to
    return body


def deploy(world: World, body: Any, folder: Path, *overlays: Any) -> list[str]:
    paths = [write(folder, o, f"overlay{n}.yaml") for n, o in enumerate(overlays)]
    bundle = read_bundle(write(folder, body), paths)
    return deploy_bundle(world.store, world.model, bundle, world.charms)


def test_a_bundle_brings_applications_machines_and_relations(world: World, tmp_path: Path) -> None:
    done = deploy(world, BUNDLE, tmp_path)
    assert done == [
        "deploy application web from web",
        "add unit web/0 to machine 0",
        "add unit web/1 to machine 1",
        "deploy application search from search",
        "deploy application db from db",
        "add unit db/0 to machine 0",
        "add relation web:juju-info - search:juju-info",
        "add relation web:database - db:db",
    ]
    assert world.model.apps["web"].options == {"port": 8080}
    assert world.model.apps["web"].origin == "charmhub"
    events = world.run_until_idle()
    assert of(events, "search/1")[0] == "install"
    assert set(world.model.machines) == {"0", "1"}


def test_deploying_a_bundle_twice_changes_nothing(world: World, tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text("<p>")
    body = changed("applications", "web", "resources", to={"page": "page.html"})
    deploy(world, body, tmp_path)
    world.run_until_idle()
    before = msgspec.json.encode(world.model)
    assert deploy(world, body, tmp_path) == []
    assert msgspec.json.encode(world.model) == before
    assert world.run_until_idle() == []


def test_a_bundle_adds_what_is_missing(world: World, tmp_path: Path) -> None:
    deploy(world, BUNDLE, tmp_path)
    world.run_until_idle()
    body = changed("applications", "web", "num_units", to=3)
    body["applications"]["web"]["options"]["title"] = "new"
    assert deploy(world, body, tmp_path) == ["add unit web/2 to machine 2"]
    assert world.model.apps["web"].options == {"port": 8080, "title": "new"}


def test_a_bundle_upgrades_to_a_charm_with_new_options(world: World, tmp_path: Path) -> None:
    deploy(world, BUNDLE, tmp_path)
    world.run_until_idle()
    pack(tmp_path, "db", options={"size": {"type": "int"}})
    body = changed("applications", "db", "charm", to="./db.charm")
    body["applications"]["db"]["options"] = {"size": 5}
    assert deploy(world, body, tmp_path) == ["upgrade db"]
    assert world.model.apps["db"].options == {"size": 5}


def test_an_overlay_replaces_charms_and_merges_options(world: World, tmp_path: Path) -> None:
    pack(tmp_path, "web")
    overlay = {
        "applications": {
            "web": {
                "charm": "./web.charm",
                "num_units": 1,
                "to": ["0"],
                "options": {"title": "x"},
            },
            "search": None,
        },
        "machines": {"0": None},
    }
    deploy(world, BUNDLE, tmp_path, overlay)
    assert set(world.model.apps) == {"web", "db"}
    web = world.model.apps["web"]
    assert (web.origin, web.options) == ("local", {"port": 8080, "title": "x"})
    assert len(world.model.units_of("web")) == 1
    assert [str(e) for r in world.model.relations_of("db") for e in r.endpoints] == [
        "db:db",
        "web:database",
    ]


def test_an_overlays_relations_come_on_top(tmp_path: Path) -> None:
    body = changed("relations", to=[["web", "search"]])
    overlay = write(tmp_path, {"relations": [["web:database", "db:db"]]}, "o.yaml")
    bundle = read_bundle(write(tmp_path, body), [overlay])
    assert bundle.relations == [["web", "search"], ["web:database", "db:db"]]


def test_a_later_overlay_wins(tmp_path: Path) -> None:
    overlays = [
        write(tmp_path, {"applications": {"web": {"options": {"port": n}}}}, f"{n}.yaml")
        for n in (1, 2)
    ]
    bundle = read_bundle(write(tmp_path, BUNDLE), overlays)
    assert bundle.applications["web"].options == {"port": 2}
    assert bundle.applications["web"].num_units == 2


def test_paths_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    base = write(tmp_path / "a", changed("applications", "db", "charm", to="./db.charm"))
    spec = {"charm": "../dist/web.charm", "resources": {"page": "p.html"}}
    overlay = write(tmp_path / "b", {"applications": {"web": spec}}, "o.yaml")
    bundle = read_bundle(base, [overlay])
    assert bundle.applications["db"].charm == str(tmp_path / "a/db.charm")
    assert bundle.applications["web"].charm == str(tmp_path / "dist/web.charm")
    assert bundle.applications["web"].resources == {"page": str(tmp_path / "b/p.html")}


def test_options_may_include_files(tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("PEM\nä\n")
    options = {"title": "include-file://ca.crt", "motto": "include-base64://ca.crt"}
    body = changed("applications", "web", "options", to=options)
    read = read_bundle(write(tmp_path, body), []).applications["web"].options
    assert read["title"] == "PEM\nä\n"
    assert base64.b64decode(read["motto"]).decode() == "PEM\nä\n"


def test_a_resource_by_revision_is_left_to_the_charm(world: World, tmp_path: Path) -> None:
    deploy(world, changed("applications", "web", "resources", to={"page": 3}), tmp_path)
    assert world.model.apps["web"].resources == {}


def test_one_side_of_a_relation_may_list_several(tmp_path: Path, world: World) -> None:
    body = {
        "applications": {"w": {"charm": "web"}, "a": {"charm": "search"}, "b": {"charm": "agent"}},
        "relations": [["w:juju-info", ["a:juju-info", "b:juju-info"]]],
    }
    deploy(world, body, tmp_path)
    assert len([r for r in world.model.relations.values() if r.container]) == 2


def test_units_are_placed_beside_another_applications(world: World, tmp_path: Path) -> None:
    body = {
        "applications": {
            "db": {"charm": "db", "num_units": 2, "to": ["web"]},
            "web": {"charm": "web", "num_units": 2},
        }
    }
    deploy(world, body, tmp_path)
    machines = {u.name: u.machine for u in world.model.units.values()}
    assert machines == {"web/0": "0", "web/1": "1", "db/0": "0", "db/1": "1"}


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (changed("series", to="jammy"), "unknown field `series`"),
        (changed("applications", "web", "num_unit", to=2), "unknown field `num_unit`"),
        (changed("applications", "web", "charm", to=None), "missing required field `charm`"),
        (changed("applications", "web", "num_units", to="two"), "$.applications[...].num_units"),
        (changed("applications", "web", "num_units", to=-1), '"web" has negative num_units'),
        (changed("applications", "web", "storage", to={"a": "1G"}), "unknown field `storage`"),
        (changed("applications", "web", "to", to=["7"]), '"web" refers to undefined machine 7'),
        (changed("applications", "web", "to", to=["lxd:0"]), 'invalid placement "lxd:0"'),
        (changed("applications", "db", "to", to=["cache/0"]), 'invalid placement "cache/0"'),
        (changed("machines", "5", to={}), 'machine "5" is not referred to'),
        (changed("machines", "0", to={"series": "x"}), "unknown field `series`"),
        (changed("relations", to=[["web"]]), "must name two endpoints"),
        (changed("relations", to=[["web", "cache"]]), 'application "cache" not defined'),
        (changed("applications", to=None), "applications"),
        (changed("applications", to=["web"]), "applications"),
        (changed("applications", "web", to="web"), "applications"),
        (changed("applications", "web", "options", to=["port"]), "options"),
        (changed("applications", "web", "resources", to="page"), "resources"),
        (changed("machines", to=["0"]), "machines"),
        (changed("relations", to={"web": "search"}), "relations"),
        (changed("relations", to=[5]), "relations"),
        ("- a\n- b\n", "not a mapping"),
        ("a: [", "cannot read bundle"),
        ("", "not a mapping"),
    ],
)
def test_a_bundle_that_is_wrong_is_refused_with_its_file_and_key(
    tmp_path: Path, body: Any, says: str
) -> None:
    path = write(tmp_path, body)
    with pytest.raises(LocalModelError, match=re.escape(str(path))) as refusal:
        read_bundle(path, [])
    assert says in str(refusal.value)


def test_every_problem_of_a_bundle_is_told_at_once(tmp_path: Path) -> None:
    body = changed("machines", "5", to={})
    body["relations"].append(["web", "cache"])
    with pytest.raises(LocalModelError, match=r'machine "5".*; relation .*"cache"'):
        read_bundle(write(tmp_path, body), [])


def test_a_missing_bundle_overlay_or_included_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, BUNDLE)
    with pytest.raises(LocalModelError, match=r"no\.yaml"):
        read_bundle(path, [tmp_path / "no.yaml"])
    body = changed("applications", "web", "options", "title", to="include-file://no.txt")
    with pytest.raises(LocalModelError, match=r"cannot include include-file://no\.txt"):
        read_bundle(write(tmp_path, body), [])


@pytest.mark.parametrize(
    ("body", "says"),
    [
        (changed("applications", "web", "charm", to="nginx"), '"nginx" not found'),
        (changed("applications", "web", "charm", to="./nginx.charm"), "nginx.charm' not found"),
        (changed("applications", "web", "options", to={"prot": 1}), 'unknown option "prot"'),
        (changed("applications", "web", "options", to={"port": "x"}), '"port" expected int'),
        (changed("applications", "web", "resources", to={"pag": "x"}), 'resource "pag"'),
        (changed("applications", "web", "resources", to={"page": "x"}), "not found"),
        (changed("applications", "search", "to", to=["0"]), "subordinate: leave num_units"),
        (changed("applications", "search", "num_units", to=1), "subordinate: leave num_units"),
        (changed("relations", to=[["web:nope", "db"]]), 'has no "nope" relation'),
        (changed("relations", to=[["search", "agent"]]), '"agent" not defined'),
        (changed("relations", to=[["web", "db"]]), "ambiguous relation"),
    ],
)
def test_a_bundle_that_does_not_fit_its_charms_is_refused(
    world: World, tmp_path: Path, body: Any, says: str
) -> None:
    with pytest.raises(LocalModelError, match=re.escape(says)):
        deploy(world, body, tmp_path)


def test_every_key_of_the_documented_format_is_known() -> None:
    assert set(Bundle.__struct_encode_fields__) == {
        "applications",
        "name",
        "description",
        "type",
        "tags",
        "default-base",
        "variables",
        "machines",
        "relations",
    }
