from __future__ import annotations

from pathlib import Path

import pytest

from lib.harvest.tests.unit import fixtures
from lib.harvest.tests.unit.fake_host import LARGE, SMALL, Host
from lib.harvest.tests.unit.fake_kernel import Kernel
from lib.harvest.tests.unit.fixtures import kernel, owners, untraced

__all__ = ["kernel", "owners", "untraced"]


@pytest.fixture
def host(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owners: list[tuple[int, int]],
    kernel: Kernel,
) -> Host:
    host = Host(
        charm="digits",
        recipes={"small": SMALL, "large": LARGE},
        work=tmp_path / "digits",
        certificates=tmp_path / "certs.d",
        agents=tmp_path / "agents",
        kernel=kernel,
    )
    return fixtures.install(host, monkeypatch)
