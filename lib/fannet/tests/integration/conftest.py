from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lib.fannet.tests.integration.lab import Lab


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests of ipip where the kernel has no such device, as many small ones."""
    ours = [item for item in items if item.get_closest_marker("ipip")]
    if ours and not _has_ipip():
        config.hook.pytest_deselected(items=ours)
        items[:] = [item for item in items if item not in ours]


def _has_ipip() -> bool:
    # In a network namespace of its own, which ends with the command.
    command = "/usr/bin/unshare --net /usr/sbin/ip link add try type ipip external"
    return subprocess.run(command.split(), check=False, capture_output=True).returncode == 0


@pytest.fixture
def lab() -> Iterator[Lab]:
    with ExitStack() as stack:
        yield Lab(stack)
