"""Which rules of iptables hold for packets whose way is known; see "Past the bridge" in README.md.

Each packet carries a marker. The last one is let through by every rule here, so that all before it
have been seen when it arrives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from scapy.layers.inet import IP, TCP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Packet, Raw

from lib.fannet.tests.integration.lab import Container, Host, Lab, Sniffer, ping, send

LARGE = 500  # bytes


@pytest.fixture(scope="module")
def joined() -> Iterator[tuple[Container, Container]]:
    with ExitStack() as stack:
        yield join(Lab(stack))


@pytest.fixture
def ends(joined: tuple[Container, Container]) -> Iterator[tuple[Container, Container]]:
    """Two containers, between which flows may be known from the test before; no rule is there."""
    yield joined
    joined[0].host.run("iptables", "-F", "FORWARD")


def join(lab: Lab, **settings: Any) -> tuple[Container, Container]:
    """Return two containers that their hosts know, and whose bridges iptables see."""
    one, other = lab.pair(**settings)
    for host in (one.host, other.host):
        host.up(host.fan(**settings))
        host.filter_bridged()
    ping(one, other.address.ip)
    return one, other


def add_rule(host: Host, *rule: str) -> Callable[[], int]:
    """Add a rule that drops; return what tells how many packets it has dropped."""
    host.run("iptables", "-A", "FORWARD", *rule, "-j", "DROP")

    def count() -> int:
        return int(host.run("iptables", "-nvxL", "FORWARD").splitlines()[2].split()[0])

    return count


def tcp(flags: str, payload: bytes = b"", **ip: object) -> Packet:
    return IP(**ip) / TCP(sport=5555, dport=80, flags=flags) / Raw(payload)


def udp(payload: bytes) -> Packet:
    return IP() / UDP(sport=5555, dport=80) / Raw(payload)


def arrive(one: Container, other: Container, *packets: Packet, mac: str = "") -> list[bytes]:
    """Send packets from one to other; return those that arrive, from their IPv4 headers on."""
    last = IP() / UDP(sport=1, dport=9) / Raw(b"the last one")
    found = re.search(r"lladdr (\S+)", one.run("ip", "neigh", "show", str(other.address.ip)))
    assert found
    ether = Ether(src=mac or one.mac(), dst=found[1])
    with Sniffer(other) as sniffer:
        for packet in (*packets, last):
            packet[IP].src, packet[IP].dst = str(one.address.ip), str(other.address.ip)
            send(one, ether / packet)
        sniffer.wait_for(b"the last one")
        ours = (bytes(frame) for frame in sniffer.frames if b"the last one" not in frame)
        return [frame[14:] for frame in ours if frame[14:15] == b"\x45" and frame[23] in (6, 17)]


@pytest.mark.parametrize(
    "flags", ["S", "F", "FA", "R", "RA", "SA", "", "FPU", "AU"], ids=lambda flags: flags or "none"
)
def test_a_rule_on_what_begins_or_ends_connections_holds_for_known_flows(
    ends: tuple[Container, Container], flags: str
) -> None:
    one, other = ends
    told = {"": "NONE", "S": "SYN", "F": "FIN", "R": "RST", "A": "ACK", "P": "PSH", "U": "URG"}
    words = ",".join(told[flag] for flag in flags) or "NONE"
    count = add_rule(one.host, "-p", "tcp", "--dport", "80", "--tcp-flags", "ALL", words)
    assert len(arrive(one, other, tcp("A"), tcp("PA", b"data"))) == 2
    assert arrive(one, other, tcp(flags)) == []
    assert count() == 1


def test_no_syn_passes_a_rule_against_it_after_a_bare_acknowledgement(lab: Lab) -> None:
    one, other = join(lab)
    count = add_rule(one.host, "-p", "tcp", "--dport", "80", "--syn")
    assert len(arrive(one, other, tcp("A"), tcp("S"), tcp("A"), tcp("S"))) == 2
    assert count() == 2


def test_a_bare_acknowledgement_opens_no_way_for_data(lab: Lab) -> None:
    one, other = join(lab)
    count = add_rule(one.host, "-p", "tcp", "-m", "length", "--length", f"{LARGE}:")
    assert len(arrive(one, other, tcp("A"), tcp("A", b"x" * LARGE), tcp("A"))) == 2
    assert count() == 1


def test_data_opens_no_way_for_bare_acknowledgements(lab: Lab) -> None:
    one, other = join(lab)
    count = add_rule(one.host, "-p", "tcp", "-m", "length", "--length", ":60")
    assert len(arrive(one, other, tcp("A", b"x" * LARGE), tcp("A"))) == 1
    assert count() == 1


def test_a_rule_on_the_senders_mac_holds_for_known_flows(
    ends: tuple[Container, Container],
) -> None:
    one, other = ends
    mac = "02:00:00:00:00:77"
    count = add_rule(one.host, "-m", "mac", "--mac-source", mac)
    assert len(arrive(one, other, udp(b"own"), udp(b"own"))) == 2
    found = re.search(r"lladdr (\S+)", one.run("ip", "neigh", "show", str(other.address.ip)))
    assert found
    forged = Ether(src=mac, dst=found[1]) / udp(b"forged")
    forged[IP].src, forged[IP].dst = str(one.address.ip), str(other.address.ip)
    with Sniffer(other) as sniffer:
        send(one, forged)
        arrive(one, other)
        assert not sniffer.has(b"forged")
    assert count() == 1


def test_a_rule_on_options_of_ipv4_holds_for_known_flows(
    ends: tuple[Container, Container],
) -> None:
    one, other = ends
    # As iptables' u32 reads a header of more than five words.
    count = add_rule(one.host, "-m", "u32", "--u32", "0>>24&0xF=6:15")
    data = tcp("PA", b"data")
    assert len(arrive(one, other, data, data)) == 2
    options = tcp("PA", b"data", options=b"\x01\x01\x01\x01")
    assert arrive(one, other, options) == []
    assert count() == 1


def test_known_flows_pass_rules_on_their_contents_while_there_are_short_ways(
    ends: tuple[Container, Container],
) -> None:
    one, other = ends
    count = add_rule(one.host, "-p", "udp", "-m", "length", "--length", f"{LARGE}:")
    assert len(arrive(one, other, udp(b"small"), udp(b"x" * LARGE))) == 2
    assert count() == 0


@pytest.mark.parametrize("at", ["sender", "receiver"])
def test_without_short_ways_rules_on_contents_hold(lab: Lab, at: str) -> None:
    one, other = join(lab, shortcuts=False)
    host = one.host if at == "sender" else other.host
    count = add_rule(host, "-p", "udp", "-m", "length", "--length", f"{LARGE}:")
    arrive(other, one, udp(b"small"))  # or nothing would be known of the way back
    assert len(arrive(one, other, udp(b"small"), udp(b"x" * LARGE), udp(b"x" * LARGE))) == 1
    assert count() == 2


def test_short_ways_end_at_once_when_they_are_turned_off(lab: Lab) -> None:
    one, other = join(lab)
    for host in (one.host, other.host):
        add_rule(host, "-p", "udp", "-m", "length", "--length", f"{LARGE}:")
    arrive(other, one, udp(b"small"))
    assert len(arrive(one, other, udp(b"small"), udp(b"x" * LARGE))) == 2
    for host in (one.host, other.host):
        assert host.up(host.fan(shortcuts=False)).steps
        assert not host.up(host.fan(shortcuts=False)).steps
    assert arrive(one, other, udp(b"x" * LARGE)) == []
    (state,) = one.host.read()
    assert (state.fan.shortcuts, state.problems) == (False, ())
