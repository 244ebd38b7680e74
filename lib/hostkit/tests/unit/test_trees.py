from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hostkit import trees
from hostkit.trees import remove_tree


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Path]:
    tree = tmp_path / "tree"
    tree.mkdir()
    yield tree
    remove_tree(tree)  # pytest itself can't remove one that is deep


def dig(folder: Path, levels: int, name: str = "d") -> None:
    """Make folders in each other, deeper than any path may be long."""
    handle = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=handle)
        below = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=handle))
    os.close(handle)


def count_handles() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize(("levels", "name"), [(1200, "d"), (1200, "d" * 255)])
def test_a_tree_goes_however_deep_it_is(tree: Path, levels: int, name: str) -> None:
    dig(tree, levels, name)
    remove_tree(tree)
    assert not tree.exists()


def test_two_directories_are_open_at_a_time(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dig(tree, 300)
    most, opened = 0, trees.os.open

    def count(*words: object, **options: object) -> int:
        nonlocal most
        most = max(most, count_handles())
        return opened(*words, **options)  # type: ignore[arg-type]

    before = count_handles()
    monkeypatch.setattr(os, "open", count)
    remove_tree(tree)
    assert most - before <= 2


def test_a_wide_tree_goes_a_batch_at_a_time(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trees, "_BATCH", 3)
    for number in range(10):
        (tree / f"f{number}").touch()
        for inner in range(10):
            (tree / f"d{number}" / f"d{inner}").mkdir(parents=True)
            (tree / f"d{number}" / f"f{inner}").touch()
    remove_tree(tree)
    assert not tree.exists()


def test_links_pipes_and_odd_names_go_and_what_links_point_to_stays(
    tree: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "theirs").touch()
    (tree / "d").mkdir()
    for folder in (tree, tree / "d"):
        (folder / "link").symlink_to(outside)
        (folder / "hard").hardlink_to(outside / "theirs")
        os.mkfifo(folder / "pipe")
        os.close(os.open(os.fsencode(folder) + b"/\xff\x1b[2J", os.O_CREAT | os.O_WRONLY))
    remove_tree(tree)
    assert not tree.exists()
    assert [path.name for path in outside.iterdir()] == ["theirs"]


def test_a_folder_that_becomes_a_link_meanwhile_is_not_followed(
    tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "theirs").touch()
    (tree / "d").mkdir()
    listed = trees._list_some

    def swap(folder: int) -> list[tuple[str, bool]]:
        found = listed(folder)
        if found == [("d", True)]:
            (tree / "d").rmdir()
            (tree / "d").symlink_to(outside)
        return found

    monkeypatch.setattr(trees, "_list_some", swap)
    with pytest.raises(OSError, match="d"):
        remove_tree(tree)
    assert (outside / "theirs").exists()
    remove_tree(tree)
    assert not tree.exists()


def test_what_somebody_else_removes_meanwhile_is_no_error(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tree / "a").touch()
    (tree / "d").mkdir()
    listed = trees._list_some

    def lose(folder: int) -> list[tuple[str, bool]]:
        found = listed(folder)
        (tree / "a").unlink(missing_ok=True)
        if (tree / "d").exists():
            (tree / "d").rmdir()
        return found

    monkeypatch.setattr(trees, "_list_some", lose)
    remove_tree(tree)
    assert not tree.exists()


def test_nothing_is_removed_where_there_is_nothing(tmp_path: Path) -> None:
    remove_tree(tmp_path / "none")
    assert list(tmp_path.iterdir()) == []
