from __future__ import annotations

import os
from pathlib import Path

import pytest

from hostkit import files


def test_a_file_is_written_with_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        files.write(tmp_path / "unit", "text")
    finally:
        os.umask(before)
    assert (tmp_path / "unit").read_text() == "text"
    assert (tmp_path / "unit").stat().st_mode & 0o777 == 0o644


def test_a_failure_keeps_what_was_there_and_leaves_no_draft(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "unit"
    files.write(file, "before")
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space"):
        files.write(file, "after")
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]
