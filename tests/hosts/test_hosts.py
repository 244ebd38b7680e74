"""The suite on a host of each release that users have, with nothing installed: minutes to hours.

`./run test -e hosts` runs the demo on each; with `-- -k suite`, all tests.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.stock import StockHost, stock_host
from tests.integration.roots import Release

RELEASES = [Release("debian", "bookworm"), Release("ubuntu", "jammy"), Release("ubuntu", "noble")]


@pytest.fixture(params=RELEASES, ids=lambda release: release.name)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StockHost]:
    with stock_host(request.param, tmp_path) as host:
        yield host


def test_the_demo_of_a_clone_ends_with_a_prime_and_clean_leaves_nothing(host: StockHost) -> None:
    printed = host.run("./run", "demo")
    assert printed.splitlines()[-1] == "mprime/0 on apache2/0's machine: M110503 is prime"
    host.run("./run", "clean")
    assert list_left(host) == []


def test_the_suite_of_a_clone_passes(host: StockHost) -> None:
    host.run("./run", "test")


def list_left(host: StockHost) -> list[Path]:
    """Return the folders and control groups that a host's local model has outside of the clone."""
    folders = host.root.glob(f"var/lib/{host.name}*")
    return [*folders, *Path("/sys/fs/cgroup").glob(f"*/{host.name}*")]
