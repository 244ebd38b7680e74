from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from hostkit import code


@pytest.fixture
def charm(tmp_path: Path) -> Path:
    for name in ("src/charm.py", "src/fan/plan.py", "venv/lib/ops/main.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "venv/lib64").symlink_to("lib")
    return tmp_path


def change_time(charm: Path) -> None:
    os.utime(charm / "venv/lib/ops/main.py", ns=(1, 1))


def link_elsewhere(charm: Path) -> None:
    (charm / "venv/lib64").unlink()
    (charm / "venv/lib64").symlink_to("lib/ops")


@pytest.mark.parametrize(
    "change",
    [
        lambda charm: (charm / "src/charm.py").write_text("other"),
        lambda charm: (charm / "src/fan/plan.py").unlink(),
        lambda charm: (charm / "src/fan/peers.py").touch(),
        lambda charm: (charm / "src/fan").rename(charm / "src/fannet"),
        change_time,
        link_elsewhere,
    ],
    ids=["content", "removed", "added", "renamed", "time", "link"],
)
def test_another_file_of_a_charm_changes_the_digest(
    charm: Path, change: Callable[[Path], object]
) -> None:
    before = code.digest(charm)
    change(charm)
    assert code.digest(charm) != before


def test_what_python_and_the_operator_leave_in_the_folder_does_not_count(charm: Path) -> None:
    before = code.digest(charm)
    (charm / "src/__pycache__").mkdir()
    (charm / "src/__pycache__/charm.pyc").touch()
    (charm / "notes").touch()
    assert code.digest(charm) == before


def test_a_charm_without_libraries_has_a_digest(charm: Path) -> None:
    (charm / "venv").rename(charm / "other")
    assert code.digest(charm)
