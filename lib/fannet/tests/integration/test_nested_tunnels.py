"""Tunnels inside of tunnels, where a host has several fans; the others are with the forgeries."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from lib.fannet.tests.integration.lab import Container, Host, Lab, Sniffer, send

PORT = 14789  # of another fan


def carries(one: Container, other: Container) -> bool:
    """Whether the fan carries what is for another fan's port."""
    ether = Ether(src=one.mac(), dst=other.mac())
    ip = IP(src=str(one.address.ip), dst=str(other.address.ip))
    with Sniffer(other) as sniffer:
        send(one, ether / ip / UDP(sport=1, dport=PORT) / Raw(b"nested"))
        send(one, ether / ip / UDP(sport=1, dport=9) / Raw(b"plain"))
        sniffer.wait_for(b"plain")
        return sniffer.has(b"nested")


def count(host: Host, reason: str) -> int:
    return sum(state.drops[reason] for state in host.read() if state.fan.bridge == "fan-250")


@pytest.mark.parametrize("place", ["sender", "receiver"])
def test_no_fan_carries_the_tunnel_of_another_fan_of_the_host(lab: Lab, place: str) -> None:
    one, other = lab.pair()
    host, reason = (one.host, "tx_nested") if place == "sender" else (other.host, "rx_nested")
    second = host.fan("99.0.0.0/8", port=PORT)
    assert carries(one, other)
    host.up(second)
    assert not carries(one, other)
    assert count(host, reason) == 1
    assert [state.problems for state in host.read()] == [(), ()]
    host.down(second)
    assert carries(one, other)


def test_a_fan_that_comes_later_knows_the_ports_of_those_before(lab: Lab) -> None:
    one, other = lab.pair()
    one.host.down()
    one.host.up(one.host.fan("99.0.0.0/8", port=PORT))
    one.host.up()
    one.host.configure(f"link set {one.outside} master fan-250 up")
    assert not carries(one, other)
