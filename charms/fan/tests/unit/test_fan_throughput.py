"""A listener and a sender, on the loopback device."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network

import pytest

import fannet
import listener
from fan.throughput import send

MAPPING = fannet.Mapping(IPv4Network("250.0.0.0/8"), IPv4Network("172.30.0.0/16"))
LOOPBACK = IPv4Address("127.0.0.1")


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.create_server((str(LOOPBACK), 0)) as server:
        yield server


def port_of(server: socket.socket) -> int:
    return server.getsockname()[1]


def test_what_was_sent_has_arrived(server: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "is_gateway", lambda *_: True)
    thread = threading.Thread(target=listener.serve_one, args=(server, MAPPING))
    thread.start()
    measured = send(LOOPBACK, LOOPBACK, 0.01, port_of(server))
    thread.join()
    assert measured.method == "tcp"
    assert measured.bits % (8 << 20) == 0
    assert measured.mbits > 0


def test_who_is_no_machine_of_the_fan_is_refused(server: socket.socket) -> None:
    with socket.create_connection((str(LOOPBACK), port_of(server))) as container:
        listener.serve_one(server, MAPPING)
        assert container.recv(1) == b""


def test_a_sender_that_goes_away_is_no_fault(
    server: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listener, "is_gateway", lambda *_: True)
    sender = socket.create_connection((str(LOOPBACK), port_of(server)))
    reset = b"\1\0\0\0\0\0\0\0"  # struct linger: close at once, with a reset
    sender.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
    sender.send(b"x")
    sender.close()
    listener.serve_one(server, MAPPING)


def test_nobody_listens_at_rest(server: socket.socket) -> None:
    port = port_of(server)
    server.close()
    with pytest.raises(ConnectionRefusedError):
        send(LOOPBACK, LOOPBACK, 0.01, port)


@pytest.mark.parametrize(
    ("address", "well"),
    [
        ("250.0.27.1", True),
        ("250.0.27.2", False),
        ("250.0.27.0", False),
        ("10.0.0.1", False),
    ],
)
def test_machines_are_told_from_containers_by_their_address(address: str, well: bool) -> None:
    assert listener.is_gateway(MAPPING, IPv4Address(address)) == well
