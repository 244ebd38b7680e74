from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from fannet import ConflictError, lock


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "fannet"
    monkeypatch.setattr(lock, "FOLDER", folder)
    return folder


def is_free(folder: Path) -> bool:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def test_the_lock_is_held_and_given_back(folder: Path) -> None:
    with lock.hold_lock():
        assert not is_free(folder)
    assert is_free(folder)
    with lock.hold_lock():
        assert not is_free(folder)


def test_only_its_owner_can_open_the_lock(folder: Path) -> None:
    with lock.hold_lock():
        assert folder.stat().st_mode & 0o777 == 0o700
    folder.chmod(0o777)
    with lock.hold_lock():
        assert folder.stat().st_mode & 0o777 == 0o700


def test_a_lock_that_stays_held_ends_in_an_error_that_tells_how_to_find_who(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "PATIENCE", 0.0)
    with (
        lock.hold_lock(),
        pytest.raises(ConflictError, match=r"held the lock .*fuser .*/fannet names it"),
        lock.hold_lock(),
    ):
        raise AssertionError


def test_a_lock_that_is_given_back_in_time_is_taken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = lock.hold_lock()
    first.__enter__()
    monkeypatch.setattr(lock.time, "sleep", lambda _: first.__exit__(None, None, None))
    with lock.hold_lock():
        assert not is_free(folder)


@pytest.mark.parametrize(
    "make",
    [os.mkfifo, Path.touch, lambda path: path.symlink_to("/")],
    ids=["a FIFO", "a file", "a symlink"],
)
def test_what_stands_in_its_place_is_refused_at_once(
    folder: Path, make: Callable[[Path], None]
) -> None:
    make(folder)
    with pytest.raises(ConflictError, match="is not a folder"), lock.hold_lock():
        raise AssertionError


def test_a_folder_of_somebody_else_s_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.mkdir()
    monkeypatch.setattr(lock.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(ConflictError, match="belongs to user"), lock.hold_lock():
        raise AssertionError
