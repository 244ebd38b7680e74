from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from lib.localmodel.tests.unit.packing import EXECUTABLE, LINK, pack
from localmodel.charms import (
    DIGEST,
    MARKER,
    find_charm,
    locate_charm,
    read_meta,
    read_packed,
    store_charm,
    unpack_charm,
)
from localmodel.errors import LocalModelError
from localmodel.paths import Paths
from localmodel.state import Endpoint


def test_a_packed_charm_says_what_it_is(charms: Path) -> None:
    meta = read_packed(charms / "web.charm")
    assert (meta.name, meta.subordinate) == ("web", False)
    assert (meta.options["port"].type, meta.options["port"].default) == ("int", 80)
    assert meta.actions["publish"].required == ["path"]
    assert meta.resources["page"].filename == "index.html"
    assert meta.endpoints("site-a")[-1] == Endpoint(
        "site-a", "juju-info", "provider", "juju-info", implicit=True
    )
    assert [str(e) for e in meta.endpoints("x")] == [
        "x:site",
        "x:cache",
        "x:database",
        "x:cluster",
        "x:juju-info",
    ]


def test_a_scope_is_global_unless_it_is_said_to_be_the_containers(charms: Path) -> None:
    meta = read_packed(charms / "search.charm")
    scopes = {f"{e.role} {e.name}": meta.scope(e) for e in meta.endpoints("search")}
    assert scopes == {
        "requirer juju-info": "container",
        "requirer logs": "global",
        "provider metrics": "global",
        "peer searchers": "global",
        "provider juju-info": "global",
    }


def test_a_charm_without_options_or_actions_is_a_charm(tmp_path: Path) -> None:
    meta = read_packed(pack(tmp_path, "bare"))
    assert (meta.options, meta.actions, meta.resources) == ({}, {}, {})


def test_a_charm_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LocalModelError, match=r"no\.charm' not found: give a packed \.charm"):
        read_packed(tmp_path / "no.charm")


def write_charm(folder: Path, files: Mapping[str, str]) -> Path:
    """Write a packed charm, or what is none, of just these files, word for word."""
    path = folder / "x.charm"
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


@pytest.mark.parametrize(
    ("member", "text", "says"),
    [
        ("readme", "x", "it has no metadata.yaml"),
        ("metadata.yaml", "summary: nameless", "name"),
        ("metadata.yaml", "- a list", "not a valid packed charm"),
        ("metadata.yaml", "just text", "not a valid packed charm"),
        ("metadata.yaml", "name: [", "not a valid packed charm"),
        ("metadata.yaml", "name: x\nsubordinate: perhaps", "subordinate"),
        ("metadata.yaml", "name: x\nrequires: {a: {interface: b, scope: c}}", "scope"),
    ],
)
def test_what_is_no_charm_is_refused_with_the_reason(
    tmp_path: Path, member: str, text: str, says: str
) -> None:
    path = write_charm(tmp_path, {member: text})
    with pytest.raises(LocalModelError, match=r"x\.charm is not a") as refusal:
        read_packed(path)
    assert says in str(refusal.value)


@pytest.mark.parametrize(
    ("member", "text"),
    [
        ("config.yaml", "options: {a: {type: colour}}"),
        ("config.yaml", "- a"),
        ("actions.yaml", "a: 5"),
        ("actions.yaml", "- a"),
    ],
)
def test_malformed_options_and_actions_are_refused(tmp_path: Path, member: str, text: str) -> None:
    path = write_charm(tmp_path, {"metadata.yaml": "name: x", member: text})
    with pytest.raises(LocalModelError, match="not a valid packed charm"):
        read_packed(path)


def test_a_key_of_an_action_that_is_a_boolean_to_juju_is_refused(tmp_path: Path) -> None:
    metadata, text = "name: odd", "n: {params: {'n': {type: integer}}}"
    path = write_charm(tmp_path, {"metadata.yaml": metadata, "actions.yaml": text})
    assert read_packed(path).actions["n"].params == {"n": {"type": "integer"}}
    read_packed.cache_clear()
    not_text = "go: {params: {n: {type: integer}}}"
    write_charm(tmp_path, {"metadata.yaml": metadata, "actions.yaml": not_text})
    with pytest.raises(LocalModelError, match="map keyed with non-string value: False; put it in"):
        read_packed(path)


def test_the_names_of_options_and_endpoints_are_text_whatever_they_look_like(
    tmp_path: Path,
) -> None:
    files = {
        "metadata.yaml": "name: odd\nrequires: {y: {interface: n}}",
        "config.yaml": "options: {n: {type: string, default: y}}",
    }
    meta = read_packed(write_charm(tmp_path, files))
    assert {name: each.interface for name, each in meta.requires.items()} == {"y": "n"}
    assert {name: each.default for name, each in meta.options.items()} == {"n": "y"}


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.charm").write_text("hello")
    with pytest.raises(LocalModelError, match="not a valid packed charm"):
        read_packed(tmp_path / "x.charm")


def test_a_kept_charm_stays_as_it_was(paths: Paths, tmp_path: Path) -> None:
    path = pack(tmp_path, "bare", {"dispatch": "one"})
    sha256 = store_charm(paths, path)
    path.write_bytes(b"")
    assert locate_charm(paths, sha256).is_file()
    assert read_meta(paths, sha256).name == "bare"


def test_a_name_is_looked_up_in_the_folder(charms: Path, tmp_path: Path) -> None:
    assert find_charm("web", charms) == charms / "web.charm"
    with pytest.raises(LocalModelError, match=r'"nginx" not found.* holds .*search.*web'):
        find_charm("nginx", charms)
    with pytest.raises(LocalModelError, match="holds nothing"):
        find_charm("nginx", tmp_path / "nowhere")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "unit" / "charm"


URL = "local:bare-0"


def files_in(folder: Path) -> dict[str, str]:
    return {
        str(p.relative_to(folder)): p.read_text()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name not in (MARKER, "metadata.yaml")
    }


def test_unpacking_gives_files_with_their_modes_and_links(
    paths: Paths, tmp_path: Path, folder: Path
) -> None:
    path = pack(
        tmp_path,
        "bare",
        {
            "dispatch": "run",
            "src/": "",
            "src/charm.py": "pass",
            "venv/bin/python": "/usr/bin/python3",
            "run": "dispatch",
        },
        modes={
            "dispatch": EXECUTABLE,
            "src/": 0o040755,
            "venv/bin/python": LINK,
            "run": LINK,
        },
    )
    unpack_charm(paths, store_charm(paths, path), folder, URL)
    assert (folder / "dispatch").stat().st_mode & 0o777 == 0o755
    assert (folder / "src/charm.py").stat().st_mode & 0o777 == 0o644
    assert (folder / "venv/bin/python").readlink() == Path("/usr/bin/python3")
    assert (folder / "run").read_text() == "run"


def test_a_new_charm_takes_the_old_ones_files_away_and_leaves_the_units_own(
    paths: Paths, tmp_path: Path, folder: Path
) -> None:
    one = pack(tmp_path / "1", "bare", {"dispatch": "1", "lib/old.py": "", "hooks/install": ""})
    two = pack(tmp_path / "2", "bare", {"dispatch": "2", "lib/new.py": ""})
    unpack_charm(paths, store_charm(paths, one), folder, URL)
    (folder / ".unit-state.db").write_text("mine")
    (folder / "lib/cache").write_text("mine")
    unpack_charm(paths, store_charm(paths, two), folder, URL)
    assert files_in(folder) == {
        ".unit-state.db": "mine",
        "dispatch": "2",
        "lib/cache": "mine",
        "lib/new.py": "",
    }


def test_a_file_takes_the_place_of_the_old_charms_folder(
    paths: Paths, tmp_path: Path, folder: Path
) -> None:
    unpack_charm(paths, store_charm(paths, pack(tmp_path, "a", {"src/x/y": "old"})), folder, URL)
    unpack_charm(paths, store_charm(paths, pack(tmp_path, "a", {"src/x": "new"})), folder, URL)
    assert (folder / "src/x").read_text() == "new"


def test_the_same_charm_is_not_unpacked_again(paths: Paths, tmp_path: Path, folder: Path) -> None:
    sha256 = store_charm(paths, pack(tmp_path, "bare", {"dispatch": "1"}))
    unpack_charm(paths, sha256, folder, URL)
    (folder / "dispatch").write_text("changed")
    unpack_charm(paths, sha256, folder, URL)
    assert (folder / "dispatch").read_text() == "changed"


def test_a_charm_with_links_out_of_it_is_replaced_by_its_next_build(
    paths: Paths, tmp_path: Path, folder: Path
) -> None:
    link = {"venv/bin/python": "/usr/bin/python3"}
    modes = {"venv/bin/python": LINK}
    for build in ("1", "2"):
        path = pack(tmp_path / build, "bare", {"dispatch": build, **link}, modes=modes)
        unpack_charm(paths, store_charm(paths, path), folder, URL)
    assert (folder / "dispatch").read_text() == "2"
    assert (folder / "venv/bin/python").readlink() == Path("/usr/bin/python3")


def test_an_interrupted_unpacking_is_repeated(paths: Paths, tmp_path: Path, folder: Path) -> None:
    files = {"dispatch": "1", "src/charm.py": "pass", "python": "/usr/bin/python3"}
    sha256 = store_charm(paths, pack(tmp_path, "bare", files, modes={"python": LINK}))
    unpack_charm(paths, sha256, folder, URL)
    (folder.parent / DIGEST).unlink()
    (folder / "src/charm.py").write_text("pa")
    unpack_charm(paths, sha256, folder, URL)
    assert (folder / "src/charm.py").read_text() == "pass"
    assert (folder / MARKER).read_text() == f"{URL}\n"


def test_an_interrupted_upgrade_still_takes_the_old_files_away(
    paths: Paths, tmp_path: Path, folder: Path
) -> None:
    one = store_charm(paths, pack(tmp_path / "1", "bare", {"dispatch": "1", "old": ""}))
    two = store_charm(paths, pack(tmp_path / "2", "bare", {"dispatch": "2"}))
    unpack_charm(paths, one, folder, URL)
    (folder / "dispatch").write_text("2")
    unpack_charm(paths, two, folder, URL)
    assert files_in(folder) == {"dispatch": "2"}


@pytest.mark.parametrize("member", ["../evil", "a/../../evil", "/tmp/evil-of-a-charm", "a/.."])
def test_a_path_out_of_the_charm_is_refused(
    paths: Paths, tmp_path: Path, folder: Path, member: str
) -> None:
    sha256 = store_charm(paths, pack(tmp_path, "bare", {member: "evil"}))
    with pytest.raises(LocalModelError, match="a file outside of it"):
        unpack_charm(paths, sha256, folder, URL)
    assert not (folder.parent / "evil").exists()
    assert not Path("/tmp/evil-of-a-charm").exists()
    assert not (folder / MARKER).exists()


def test_a_path_through_a_link_out_of_the_charm_is_refused(
    paths: Paths, tmp_path: Path, folder: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    files = {"way": str(outside), "way/evil": "evil"}
    sha256 = store_charm(paths, pack(tmp_path, "bare", files, modes={"way": LINK}))
    with pytest.raises(LocalModelError, match="a file outside of it"):
        unpack_charm(paths, sha256, folder, URL)
    assert list(outside.iterdir()) == []
