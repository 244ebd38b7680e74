from __future__ import annotations

import os
from pathlib import Path

import pytest

from workdir import WorkDirectory


@pytest.fixture
def work(tmp_path: Path, owners: list[tuple[int, int]]) -> WorkDirectory:
    work = WorkDirectory(tmp_path / "mprime-0")
    work.make()
    return work


def test_the_directory_is_the_containers_users_alone(
    work: WorkDirectory, owners: list[tuple[int, int]]
) -> None:
    assert work.path.stat().st_mode & 0o777 == 0o700
    assert owners == [(65532, 65532)]


def test_a_file_is_written_whole_and_private(work: WorkDirectory) -> None:
    assert work.add("a", "text")
    assert (work.path / "a").stat().st_mode & 0o777 == 0o600
    assert work.read("a") == "text"
    assert work.names() == ["a"]


def test_a_file_that_is_there_is_kept(work: WorkDirectory) -> None:
    work.add("a", "one")
    assert not work.add("a", "two")
    assert work.read("a") == "one"


def test_a_link_is_neither_followed_nor_replaced(work: WorkDirectory, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    (work.path / "a").symlink_to(secret)
    assert not work.add("a", "text")
    assert work.read("a") == ""
    assert secret.read_text() == "secret"


def test_a_pipe_is_not_waited_for(work: WorkDirectory) -> None:
    os.mkfifo(work.path / "a")
    assert work.read("a") == ""


def test_of_a_huge_file_the_end_is_read(work: WorkDirectory) -> None:
    (work.path / "a").write_bytes(b"x" * 1_000_000 + b"end")
    assert len(work.read("a")) == 256 * 1024
    assert work.read("a").endswith("end")


def test_what_is_not_there_reads_as_empty(tmp_path: Path) -> None:
    work = WorkDirectory(tmp_path / "none")
    assert work.names() == []
    assert work.read("a") == ""


def test_a_failed_write_leaves_nothing(
    work: WorkDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        work.add("a", "text")
    assert work.names() == []


def test_the_space_of_a_disk_is_known_before_there_is_a_directory(
    work: WorkDirectory, tmp_path: Path
) -> None:
    disk = os.statvfs(tmp_path)
    for directory in (work, WorkDirectory(tmp_path / "none" / "yet")):
        assert 0 <= directory.measure_space() <= disk.f_blocks * disk.f_frsize


def test_a_disk_that_became_read_only_has_no_space(
    work: WorkDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = os.statvfs(work.path)
    assert WorkDirectory.measure_space(work) > 0
    flags = there.f_flag | os.ST_RDONLY
    monkeypatch.setattr(os, "statvfs", lambda _: os.statvfs_result((*there[:8], flags, there[9])))
    assert work.measure_space() == 0
