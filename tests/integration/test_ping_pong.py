"""The program that measures the benchmark's round trips, in a network of the test's own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from benchmarks.fan_host import IP, own_host, run
from benchmarks.fan_ways import compile_ping_pong, read_round_trip
from lib.fannet.tests.integration.lab import wait_for


@pytest.fixture(scope="module")
def ping_pong(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(compile_ping_pong(tmp_path_factory.mktemp("ping-pong")))


@pytest.fixture
def inside() -> Iterator[list[str]]:
    """What runs a program on a host that nobody else can reach."""
    with own_host(1, 24) as name:
        yield [IP, "netns", "exec", name]


def count_segments(inside: list[str]) -> int:
    """Return how many segments TCP has sent (tcpOutSegs of RFC 4022)."""
    shown = run(*inside, "/usr/bin/cat", "/proc/net/snmp").splitlines()
    names, values = (line.split() for line in shown if line.startswith("Tcp:"))
    return int(dict(zip(names, values, strict=True))["OutSegs"])


def test_round_trips_are_made_and_their_median_is_printed(
    ping_pong: str, inside: list[str]
) -> None:
    with subprocess.Popen([*inside, ping_pong, "serve"]) as server:
        try:
            listeners = (*inside, "/usr/bin/ss", "--no-header", "--listening", "--tcp")
            wait_for(lambda: bool(run(*listeners)), "a server that listens")
            assert server.poll() is None
            for _ in range(2):  # a server has one client after the other
                before = count_segments(inside)
                assert 0 < read_round_trip(run(*inside, ping_pong, "127.0.0.1")) < 1e6
                assert count_segments(inside) - before > 2 * 2000
        finally:
            server.kill()


@pytest.mark.parametrize(
    ("address", "said"),
    [("127.0.0.1", "connecting to 127.0.0.1, port 7777"), ("nonesuch", "no IPv4 address")],
)
def test_what_cannot_be_measured_is_told(
    ping_pong: str, inside: list[str], address: str, said: str
) -> None:
    done = subprocess.run(
        [*inside, ping_pong, address], check=False, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert said in done.stderr
