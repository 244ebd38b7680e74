from __future__ import annotations

from pathlib import Path

import pytest

from dockerhost import ContainerSpec
from harvest.workdir import WorkDirectory
from harvest.workload import Job


@pytest.mark.parametrize(
    ("restart", "code", "left"),
    [
        ("on-failure", 0, None),
        ("on-failure", 1, ""),
        ("unless-stopped", 0, ""),
        ("unless-stopped", 1, ""),
    ],
)
def test_what_ends_with_0_is_done_unless_it_is_not_to_end(
    restart: str, code: int, left: str | None, tmp_path: Path
) -> None:
    job = Job("count", memory=1, restart=restart)
    assert job.find_left(WorkDirectory(tmp_path), code) == left


def test_variables_stay_out_of_every_text() -> None:
    environment = {"KEY": "hunter2"}
    job = Job("count", memory=1, environment=environment)
    assert "hunter2" not in repr(job)
    assert "hunter2" not in repr(ContainerSpec("a", "b", environment=environment))
