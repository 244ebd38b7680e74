"""Whose Ethernet addresses a host's bridge learns from other hosts, and how many."""

from __future__ import annotations

import itertools
import json

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from lib.fannet.tests.integration.lab import Container, Host, Lab, Sniffer, ping, send, wait_for

EVERYONE = "ff:ff:ff:ff:ff:ff"
LIMIT = 1024  # MACS in bpf/macs.h


def find_port(host: Host, mac: str) -> str:
    """Return the port of a host's bridge at which it believes an Ethernet address to be."""
    shown = json.loads(host.run("bridge", "-j", "fdb", "show", "br", "fan-250"))
    return next((entry["ifname"] for entry in shown if entry["mac"] == mac), "")


def count_learned(host: Host) -> int:
    """Return how many Ethernet addresses a host's bridge believes to be on other hosts."""
    port = ("br", "fan-250", "brport", "fan-fa000000-p")
    shown = json.loads(host.run("bridge", "-j", "fdb", "show", *port))
    return sum(entry.get("state") != "permanent" for entry in shown)


def ask(evil: Host, victim: Host, mac: str, target: str = "250.0.28.5") -> Packet:
    """Return an ARP request through the fan that is right but for its Ethernet address."""
    outer = Ether(src=evil.mac(), dst=victim.mac()) / IP(src="172.30.0.66", dst="172.30.0.28")
    tunnel = UDP(sport=40000, dport=8472, chksum=0) / VXLAN(vni=0xFA0000, flags="Instance")
    arp = ARP(hwsrc=mac, psrc="250.0.66.5", pdst=target)
    return outer / tunnel / Ether(src=mac, dst=EVERYONE) / arp


@pytest.fixture
def hosts(lab: Lab) -> tuple[Host, Host]:
    """A fan host, and one whose packets the test writes."""
    victim, evil = lab.host("172.30.0.28/16"), lab.host("172.30.0.66/16")
    victim.up()
    return victim, evil


@pytest.mark.parametrize("seen", [False, True], ids=["before up", "after up"])
def test_another_host_cannot_take_over_a_containers_mac(
    lab: Lab, hosts: tuple[Host, Host], seen: bool
) -> None:
    victim, evil = hosts
    one, other = (lab.container(victim, f"250.0.28.{n}/8") for n in (5, 6))
    if seen:
        victim.up()
    ping(one, "250.0.28.6")
    # Without `up`, what only answers its neighbours is not known.
    containers = (one, other) if seen else (one,)
    for container in containers:
        assert find_port(victim, container.mac()) == container.outside
        send(evil, ask(evil, victim, container.mac()))
    wait_for(lambda: victim.drops().get("rx_own") == len(containers), "the frames are dropped")
    for container in containers:
        assert find_port(victim, container.mac()) == container.outside
    ping(other, "250.0.28.5")


def test_another_host_cannot_speak_with_the_bridges_mac(hosts: tuple[Host, Host]) -> None:
    victim, evil = hosts
    send(evil, ask(evil, victim, victim.mac("fan-250"), "250.0.28.1"))
    wait_for(lambda: victim.drops() == {"rx_own": 1}, "the frame is dropped")


def test_a_host_can_fill_no_bridge_and_keeps_nobody_else_out(lab: Lab) -> None:
    one, other = lab.pair()
    evil = lab.host("172.30.0.66/16")
    surplus = 1000
    # Written by hand from one, since scapy would take minutes on an emulated processor.
    model = bytes(ask(evil, one.host, "02:66:00:00:00:00"))
    mac = bytes.fromhex("026600000000")
    numbers = itertools.count()
    with evil.raw_socket() as raw:
        raw.setblocking(True)  # it waits where its buffer is full

        def flood() -> bool:
            """Send some more, as a slow processor loses some of what comes all at once."""
            for number in itertools.islice(numbers, 500):
                raw.send(model.replace(mac, b"\x02\x66" + number.to_bytes(4, "big")))
            return one.host.drops().get("rx_macs", 0) >= surplus

        wait_for(flood, "what is too much is dropped", seconds=120)
    assert LIMIT <= count_learned(one.host) <= LIMIT + 2
    ping(other, "250.0.28.5")
    ping(one, "250.0.27.5")


def test_a_container_that_moves_to_another_host_may_keep_its_mac(lab: Lab) -> None:
    one, other = lab.pair()
    mac = "02:00:00:00:00:99"
    moving = lab.container(one.host, "250.0.28.9/8")
    moving.unplug()
    moving.plug(mac)
    ping(moving, "250.0.27.5")
    moving.unplug()
    there = lab.container(other.host, "250.0.27.9/8")
    there.unplug()
    there.plug(mac)
    ping(there, "250.0.28.5")
    assert "rx_own" not in one.host.drops()


def test_a_container_cannot_silence_another_hosts_by_its_mac(lab: Lab) -> None:
    one, other = lab.pair()
    ping(other, "250.0.28.5")
    evil = lab.container(one.host, "250.0.28.66/8")
    request = ARP(hwsrc=other.mac(), psrc="250.0.28.66", pdst="250.0.28.77")
    before = one.host.drops().get("tx_local", 0)
    send(evil, Ether(src=other.mac(), dst=EVERYONE) / request)
    wait_for(lambda: one.host.drops().get("tx_local", 0) > before, "fan_tx has seen the frame")
    _ask_again(other)
    ping(other, "250.0.28.5")
    assert "rx_own" not in one.host.drops()


def _ask_again(container: Container) -> None:
    """Let a container forget its neighbours, so that its next packet asks all."""
    container.run("ip", "neigh", "flush", "dev", "eth0")


def test_a_dropped_frame_does_not_arrive(lab: Lab, hosts: tuple[Host, Host]) -> None:
    victim, evil = hosts
    one = lab.container(victim, "250.0.28.5/8")
    ping(one, "250.0.28.1")
    outer = ask(evil, victim, one.mac())
    marked = IP(src="250.0.66.5", dst="250.0.28.5") / UDP(sport=1, dport=9)
    with Sniffer(one) as sniffer:
        for mac, payload in ((one.mac(), b"forged"), ("02:00:00:00:66:05", b"legitimate")):
            frame = outer.copy()
            frame[VXLAN].remove_payload()
            send(evil, frame / Ether(src=mac, dst=one.mac()) / marked / Raw(payload))
        sniffer.wait_for(b"legitimate")
        assert not sniffer.has(b"forged")
