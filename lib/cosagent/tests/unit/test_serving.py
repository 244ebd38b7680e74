from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from cosagent.serving import ADDRESS, notify_ready, serve


class Nothing(Collector):
    """Measures nothing."""

    def collect(self) -> Iterator[Metric]:
        return iter(())


def test_an_exporter_whose_port_is_taken_ends_and_says_which(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server((ADDRESS, 0)) as taken:
        port = taken.getsockname()[1]
        assert serve(Nothing(), port) == 1
    assert f"can't listen on 127.0.0.1:{port}: Address already in use" in capsys.readouterr().err


def test_systemd_hears_when_the_port_is_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(str(address))
        monkeypatch.setenv("NOTIFY_SOCKET", str(address))
        notify_ready()
        assert notify.recv(99) == b"READY=1"
    monkeypatch.delenv("NOTIFY_SOCKET")
    notify_ready()
