from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tools import pack, snaps


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A snap's project in a repository, with a hook and files elsewhere."""
    files = {
        "snaps/web/snap/hooks/configure": "#!/bin/sh\n",
        "snaps/web/bin/web": "#!/bin/sh\n",
        "snaps/web/README.md": "",
        "other/one/a.txt": "",
        "other/two/b.txt": "",
        "icon.svg": "<svg/>",
    }
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (tmp_path / "snaps/web/bin/web").chmod(0o755)
    return tmp_path / "snaps/web"


def test_a_part_is_laid_out_as_snapcraft_would(project: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    part = {"organize": {"one": "data/one"}, "stage": ["data/one"]}
    snaps._dump(part, tmp_path / "other", tree)
    snaps._dump({"stage": ["bin/web"]}, project, tree)
    found = {str(file.relative_to(tree)) for file in tree.rglob("*") if file.is_file()}
    assert found == {"data/one/a.txt", "bin/web"}
    assert (tree / "bin/web").stat().st_mode & 0o111


def test_snapd_is_told_what_snapcraft_alone_does_not_read(project: Path, tmp_path: Path) -> None:
    metadata = {
        "name": "web",
        "version": "1",
        "base": "core24",
        "icon": "../../icon.svg",
        "parts": {},
        "platforms": {"amd64": None},
        "apps": {"web": {"command": "bin/web"}},
    }
    tree = tmp_path / "tree"
    snaps._describe(metadata, project, tree)
    told = yaml.safe_load((tree / "meta/snap.yaml").read_text())
    assert told.keys() == {"name", "version", "base", "apps", "architectures"}
    assert (tree / "meta/hooks/configure").is_file()
    assert (tree / "meta/gui/icon.svg").is_file()


def test_what_tells_when_and_where_it_was_made_is_left_out(tmp_path: Path) -> None:
    info = tmp_path / "lib/python3.12/site-packages/own-1.dist-info"
    info.mkdir(parents=True)
    (info / "uv_cache.json").write_text("{}")
    kept = "own/__init__.py,sha256=a,1\n"
    (info / "RECORD").write_text(f"{kept}own-1.dist-info/uv_cache.json,sha256=b,2\n")
    (tmp_path / "bin").mkdir()
    for name in ("activate", "python3"):
        (tmp_path / "bin" / name).touch()
    snaps._leave_out(tmp_path)
    assert (info / "RECORD").read_text() == kept
    assert [file.name for file in info.iterdir()] == ["RECORD"]
    assert [file.name for file in (tmp_path / "bin").iterdir()] == ["python3"]


def test_a_snap_is_packed_by_its_path_and_its_parts_are_inputs() -> None:
    (folder,) = (path for name, path in pack.find_snaps().items() if name == "snaps/mprime")
    inputs = {str(file.relative_to(pack.ROOT)) for file in pack.find_inputs(folder)}
    assert inputs >= {
        "snaps/mprime/snap/hooks/configure",
        "charms/mprime/src/mprime/search.py",
        "charms/mprime/icon.svg",
        "images/mlucas/Dockerfile",
        "lib/harvest/src/harvest/snap.py",
    }
