"""What the local model writes and removes on the host."""

from __future__ import annotations

import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from localmodel.machines.trees import remove_tree
from localmodel.store import write_atomically


def make_deep(folder: Path, levels: int, name: str) -> None:
    """Make folders within folders, with a file in the last one."""
    folder.mkdir()
    at = os.open(folder, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir(name, dir_fd=at)
        below = os.open(name, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = below
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=at))
    os.close(at)


@pytest.mark.parametrize("name", ["d", "n" * 255], ids=["deep", "deep with long paths"])
def test_a_tree_is_removed_however_deep_it_is(tmp_path: Path, name: str) -> None:
    make_deep(tmp_path / "tree", 1_100, name)
    remove_tree(tmp_path / "tree")
    assert list(tmp_path.iterdir()) == []


def test_what_a_link_in_a_tree_points_to_stays(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("kept")
    tree = tmp_path / "tree"
    tree.mkdir()
    (tree / "link").symlink_to(outside)
    remove_tree(tree)
    assert (outside / "file").read_text() == "kept"
    (tmp_path / "link").symlink_to(outside)
    remove_tree(tmp_path / "link")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["outside"]
    assert (outside / "file").read_text() == "kept"


def test_to_remove_what_is_not_there_is_nothing_to_do(tmp_path: Path) -> None:
    remove_tree(tmp_path / "nothing")


@contextmanager
def small_files(size: int) -> Iterator[None]:
    """Let no file get larger than so many bytes: write(2) fails, as it does on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_file_that_cannot_be_written_is_named_and_nothing_half_written_stays(
    tmp_path: Path,
) -> None:
    file = tmp_path / "file"
    file.write_text("before")
    with pytest.raises(OSError, match="File too large") as refusal, small_files(1_000):
        write_atomically(file, b"x" * 2_000)
    assert refusal.value.filename == str(file)
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]
