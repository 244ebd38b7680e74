from __future__ import annotations

import os
from pathlib import Path

import pytest

from harvest.workdir import WorkDirectory


@pytest.fixture
def work(tmp_path: Path, owners: list[tuple[int, int]]) -> WorkDirectory:
    work = WorkDirectory(tmp_path / "mprime-0")
    work.ensure()
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


def test_a_directory_may_be_open_to_others(
    work: WorkDirectory, owners: list[tuple[int, int]]
) -> None:
    work.ensure(0o755)
    assert work.path.stat().st_mode & 0o777 == 0o755
    work.ensure()
    assert work.path.stat().st_mode & 0o777 == 0o700


def test_a_part_of_a_file_is_read_where_it_begins(work: WorkDirectory) -> None:
    work.add("a", "0123456789")
    assert work.read("a", 3, 4) == "456"
    assert work.read("a", 3, 9) == "9"
    assert work.read("a", 3, 10) == ""


def test_only_a_regular_file_has_a_size(work: WorkDirectory) -> None:
    work.add("a", "0123456789")
    (work.path / "link").symlink_to(work.path / "a")
    assert work.measure_file("a") == 10
    assert work.measure_file("link") == 0
    assert work.measure_file("none") == 0
    assert WorkDirectory(work.path / "a").measure_file("b") == 0


def test_a_file_is_shared_with_another_directory_without_a_copy(
    work: WorkDirectory, tmp_path: Path
) -> None:
    other = WorkDirectory(tmp_path / "mprime-0.trial")
    other.ensure()
    secret = tmp_path / "secret"
    secret.write_text("secret")
    work.add("a", "text")
    (work.path / "b").symlink_to(secret)
    for name in ("a", "b"):
        other.link(name, work)
    assert (other.path / "a").samefile(work.path / "a")
    assert (other.path / "b").is_symlink()
    other.remove()
    assert work.read("a") == "text"


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


@pytest.mark.parametrize(
    ("mount", "disk", "has_space"),
    [
        ("rw,relatime", "rw,errors=remount-ro", True),
        ("ro,relatime", "rw", True),  # for one process alone, as systemd gives it to a service
        ("rw,relatime", "ro,errors=remount-ro", False),
    ],
)
def test_a_disk_that_became_read_only_has_no_space(
    work: WorkDirectory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mount: str,
    disk: str,
    has_space: bool,
) -> None:
    assert work.measure_space() > 0
    device = work.path.stat().st_dev
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        f"22 1 0:21 / /proc rw - proc proc ro\n"
        f"23 1 {os.major(device)}:{os.minor(device)} / / {mount} shared:1 - ext4 /dev/vda {disk}\n"
    )
    monkeypatch.setattr("harvest.workdir._MOUNTS", mounts)
    assert (work.measure_space() > 0) == has_space


def test_another_user_gets_what_the_former_one_owned(
    work: WorkDirectory, owners: list[tuple[int, int]]
) -> None:
    (work.path / "folder").mkdir()
    (work.path / "folder" / "file").write_text("saved")
    owners.clear()
    taken = WorkDirectory(work.path, (1000, 100))
    assert taken.belongs_to_another()
    taken.ensure()
    # As this account has made the files, and not the former user, they are left alone.
    assert owners == [(1000, 100)]
    assert not taken.belongs_to_another()


def test_a_directory_that_is_not_there_is_nobodys(tmp_path: Path) -> None:
    assert not WorkDirectory(tmp_path / "none", (1000, 100)).belongs_to_another()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_directory_changes_hands_however_deep_it_is_and_links_are_not_followed(
    tmp_path: Path,
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    os.chown(outside, 1000, 100)
    work = WorkDirectory(tmp_path / "work", (1000, 100))
    work.ensure()
    (work.path / "link").symlink_to(outside)
    (work.path / "others").write_text("root's")
    os.chown(work.path / "link", 1000, 100, follow_symlinks=False)
    here = os.open(work.path, os.O_RDONLY)
    for _ in range(1200):
        os.mkdir("d", dir_fd=here)
        os.chown("d", 1000, 100, dir_fd=here)
        deeper = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = deeper
    WorkDirectory(work.path, (2000, 200)).ensure()
    deepest = os.fstat(here)
    os.close(here)
    for there in (work.path.stat(), deepest, (work.path / "link").lstat()):
        assert (there.st_uid, there.st_gid) == (2000, 200)
    assert outside.stat().st_uid == 1000
    assert (work.path / "others").stat().st_uid == 0
    work.remove()


def test_what_is_written_has_the_containers_owner(
    tmp_path: Path, owners: list[tuple[int, int]]
) -> None:
    work = WorkDirectory(tmp_path / "work", (1000, 100))
    work.ensure()
    work.write("a", "text")
    work.append("b", "line")
    assert owners == [(1000, 100)] * 3
