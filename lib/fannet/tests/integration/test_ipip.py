"""The fan over ipip, which is routed; where the kernel has no ipip device, nothing here runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.inet6 import IPv6
from scapy.layers.l2 import GRE, Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from fannet import ConflictError
from lib.fannet.tests.integration.lab import (
    Container,
    Host,
    Lab,
    Sniffer,
    ping,
    send,
    transfer,
    wait_for,
)

pytestmark = pytest.mark.ipip
MTU = 1480
EVIL, VICTIM = "172.30.0.66", "172.30.0.28"


def pair(lab: Lab) -> tuple[Container, Container]:
    return lab.pair(encapsulation="ipip")


def up(host: Host) -> tuple[str, ...]:
    return host.up(host.fan(encapsulation="ipip")).steps


def test_containers_on_two_hosts_reach_each_other_both_ways(lab: Lab) -> None:
    one, other = pair(lab)
    ping(one, "250.0.27.5")
    ping(other, "250.0.28.5")
    for place in (one, other, one.host, other.host):
        for gateway in ("250.0.27.1", "250.0.28.1"):
            ping(place, gateway)
    assert one.host.drops() == other.host.drops() == {}


def test_packets_at_full_size_pass_unfragmented(lab: Lab) -> None:
    one, _ = pair(lab)
    ping(one, "250.0.27.5", "-M", "do", "-s", str(MTU - 28))
    ping(one.host, "250.0.27.5", "-M", "do", "-s", str(MTU - 28))


@pytest.mark.parametrize("step", [1, -1], ids=["there", "back"])
def test_tcp_moves_data_at_full_size(lab: Lab, step: int) -> None:
    source, target = pair(lab)[::step]
    done = transfer(source, target)
    assert done["start"]["tcp_mss_default"] == MTU - 52  # IPv4, TCP, timestamps
    assert done["end"]["sum_sent"]["bytes"] >= 64 << 20


def test_up_again_changes_nothing(lab: Lab) -> None:
    host = pair(lab)[0].host
    before = host.snapshot()
    assert up(host) == ()
    assert host.snapshot() == before


def test_what_was_asked_for_is_read_back_from_the_kernel(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16")
    fan = host.fan(encapsulation="ipip", bridge="cloud", mtu=1400, masquerade=False)
    host.up(fan)
    (state,) = host.read()
    assert (state.fan, state.mtu, state.problems) == (fan, 1400, ())


DAMAGE = {
    "tunnel": "ip link delete fan-ipip",
    "tunnel is down": "ip link set fan-ipip down",
    "mtu": "ip link set fan-ipip mtu 1300",
    "address": "ip address flush dev fan-250",
    "route": "ip route delete 250.0.0.0/8",
    "sender": "tc filter delete dev fan-ipip egress",
    "receiver": "tc filter delete dev fan-ipip ingress",
    "qdisc": "tc qdisc delete dev fan-ipip clsact",
    "rules": "nft flush ruleset",
    "forwarding": "sysctl -w net.ipv4.ip_forward=0",
}


@pytest.fixture(scope="module")
def repaired() -> Iterator[Container]:
    """A container that reaches another host, as the test before has repaired it."""
    with ExitStack() as stack:
        yield pair(Lab(stack))[0]


@pytest.mark.parametrize("command", DAMAGE.values(), ids=DAMAGE)
def test_up_repairs_what_was_damaged(repaired: Container, command: str) -> None:
    one = repaired
    ping(one, "250.0.27.5")
    one.host.run(*command.split())
    assert one.host.read()[0].problems
    assert up(one.host)
    assert one.host.read()[0].problems == ()
    assert up(one.host) == ()
    ping(one, "250.0.27.5")


def test_down_leaves_the_host_as_it_was(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16")
    before = host.snapshot()
    assert up(host)
    assert host.snapshot() != before
    assert host.down().steps
    assert host.snapshot() == before
    assert host.down().steps == ()


def test_a_fan_changes_its_encapsulation_and_back(lab: Lab) -> None:
    hosts = [container.host for container in lab.pair()]
    for encapsulation in ("ipip", "vxlan"):
        for host in hosts:
            host.up(host.fan(encapsulation=encapsulation))
            (state,) = host.read()
            assert (state.fan.encapsulation, state.problems) == (encapsulation, ())
        ping(hosts[0], "250.0.27.1")
    assert "fan-ipip" not in hosts[0].run("ip", "link")


def test_fans_of_both_kinds_live_side_by_side(lab: Lab) -> None:
    one, other = pair(lab)
    for first, settings in ((one, {"encapsulation": "ipip"}), (one, {}), (other, {})):
        overlay = "99.0.0.0/8" if settings else "100.0.0.0/8"
        first.host.up(first.host.fan(overlay, **settings))
    other.host.up(other.host.fan("99.0.0.0/8", encapsulation="ipip"))
    for target in ("250.0.27.5", "99.0.27.1", "100.0.27.1"):
        ping(one.host, target)
    one.host.down()
    assert [state.problems for state in one.host.read()] == [(), ()]
    ping(one.host, "99.0.27.1")
    ping(one.host, "100.0.27.1")


def test_another_ipip_device_in_external_mode_is_in_the_way(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16")
    host.run("ip", "link", "add", "other", "type", "ipip", "external")
    with pytest.raises(ConflictError, match="another ipip device in external mode is there"):
        up(host)
    host.run("ip", "link", "delete", "other")
    assert up(host)


def outer(evil: Host, victim: Host, **ip: object) -> Packet:
    """Return the headers of a packet of the attacker's host."""
    addresses = {"src": EVIL, "dst": VICTIM, "proto": 4, **ip}
    return Ether(src=evil.mac(), dst=victim.mac()) / IP(**addresses)


def inner(**ip: object) -> Packet:
    return IP(**{"src": "250.0.66.5", "dst": "250.0.28.5", **ip})


def forgeries(evil: Host, victim: Host) -> Iterator[tuple[str, str, Packet]]:
    """Yield packets that must not pass: a name, the reason that is counted, the packet.

    No reason: Linux drops it before the fan sees it.
    """
    udp = UDP(sport=1, dport=9) / Raw(b"forged")
    whole = outer(evil, victim)
    for name, source, reason in (
        ("a sender outside of the underlay", "10.0.0.1", "rx_outer"),
        ("the underlay's address as sender", "172.30.0.0", "rx_outer"),
        ("the victim as sender", VICTIM, ""),
        ("another host's sender", "172.30.0.67", "rx_source"),
    ):
        yield name, reason, outer(evil, victim, src=source) / inner() / udp
    for name, source in (
        ("another slice's source", "250.0.67.5"),
        ("the victim's own slice as source", "250.0.28.9"),
        ("a source outside of the overlay", "10.0.66.5"),
    ):
        yield name, "rx_source", whole / inner(src=source) / udp
    yield "another slice's destination", "rx_destination", whole / inner(dst="250.0.29.5") / udp
    yield "a destination outside", "rx_destination", whole / inner(dst=VICTIM) / udp
    yield "a multicast group", "rx_broadcast", whole / inner(dst="224.0.0.1") / udp
    yield "the overlay's broadcast", "rx_broadcast", whole / inner(dst="250.255.255.255") / udp
    yield "IPIP in it", "rx_nested", whole / inner() / inner() / udp
    yield "IPv6 in it", "rx_nested", whole / inner(proto=41) / IPv6() / udp
    yield "GRE in it", "rx_nested", whole / inner() / GRE() / inner() / udp
    nested = UDP(sport=1, dport=4789) / VXLAN() / Ether() / inner() / Raw(b"forged")
    yield "VXLAN in it", "rx_nested", whole / inner() / nested
    yield "a total length beyond the end", "rx_truncated", whole / inner(len=1000) / udp
    yield "a total length of nothing", "rx_truncated", whole / inner(len=0) / udp
    yield "a short IPv4 header", "rx_truncated", whole / inner(ihl=4) / udp
    yield "IP version 5", "rx_truncated", whole / inner(version=5) / udp
    yield "UDP without ports", "rx_truncated", whole / inner(proto=17) / Raw(b"x")
    yield "IPv6 instead", "", outer(evil, victim, proto=41) / IPv6() / udp


def test_nothing_forged_arrives_and_each_drop_is_counted_under_its_reason(lab: Lab) -> None:
    victim, evil = lab.host(f"{VICTIM}/16"), lab.host(f"{EVIL}/16")
    up(victim)
    container = lab.container(victim, "250.0.28.5/24")
    legitimate = outer(evil, victim) / inner() / UDP(sport=1, dport=9)
    wrong = []
    with Sniffer(container) as sniffer:
        for name, reason, packet in forgeries(evil, victim):
            before = victim.drops()
            send(evil, packet, legitimate / Raw(b"legitimate"))
            sniffer.wait_for(b"legitimate")
            after = victim.drops()
            counted = {r: after[r] - before.get(r, 0) for r in after if after[r] != before.get(r)}
            if counted != ({reason: 1} if reason else {}):
                wrong.append(f"{name}: {counted} instead of {reason}")
            if sniffer.has(b"forged"):
                wrong.append(f"{name}: arrived")
            sniffer.frames.clear()
        before = victim.drops()
        parts = fragment(legitimate / Raw(b"in fragments" * 50), fragsize=200)
        send(evil, *parts, legitimate / Raw(b"legitimate"))
        sniffer.wait_for(b"legitimate")
        assert not sniffer.has(b"in fragments")
    assert victim.drops() == {**before, "rx_fragment": len(parts)}
    assert not wrong, "\n".join(wrong)


def test_a_container_cannot_forge_and_each_drop_is_counted(lab: Lab) -> None:
    one, other = pair(lab)
    ether = Ether(src=one.mac(), dst=one.host.mac("fan-250"))
    udp = UDP(sport=1, dport=9) / Raw(b"forged")

    def ip(**fields: object) -> Packet:
        return ether / IP(**{"src": "250.0.28.5", "dst": "250.0.27.5", **fields}) / udp

    with Sniffer(other.host) as underlay:
        for reason, packet in (
            ("rx_forged", ip(src="250.0.27.9")),  # a rule is there before the program
            ("tx_source", ip(src="10.0.0.1")),
            ("tx_destination", ip(dst="250.0.0.5")),
            ("tx_nested", ether / IP(src="250.0.28.5", dst="250.0.27.5") / IP() / udp),
        ):
            before = one.host.drops().get(reason, 0)
            send(one, packet)
            wait_for(lambda b=before, r=reason: one.host.drops().get(r, 0) > b, reason)
        assert not underlay.has(b"forged")


def test_nothing_goes_around_the_programs(lab: Lab) -> None:
    one, other = pair(lab)
    near, far = one.host, other.host
    evil = lab.host(f"{EVIL}/16")
    up(near)
    up(far)
    gateway = Ether(src=one.mac(), dst=near.mac("fan-250"))
    bare = Ether(src=evil.mac(), dst=far.mac())
    there, here = str(far.address.ip), str(near.address.ip)
    udp = UDP(sport=1, dport=9) / Raw(b"forged")

    def ipip(source: str, target: str, **ip: str) -> Packet:
        return gateway / IP(src=source, dst=target, proto=4) / inner(**ip) / udp

    wrong = []
    with Sniffer(one) as here_sniffer, Sniffer(other) as there_sniffer:
        for name, sender, packet, host, reason in (
            (
                "with the host's address",
                one,
                ipip("250.0.28.5", there, src="250.0.28.1", dst="250.0.27.5"),
                near,
                "tx_forged",
            ),
            ("as another host", one, ipip(EVIL, there, dst="250.0.27.5"), near, "tx_forged"),
            ("as another host, to its own", one, ipip(EVIL, here), near, "rx_forged"),
            (
                "as another slice's, to its own host",
                one,
                gateway / inner(src="250.0.27.1", dst="250.0.28.1") / udp,
                near,
                "rx_forged",
            ),
            ("in no tunnel", evil, bare / inner(dst="250.0.27.5") / udp, far, "rx_forged"),
        ):
            before = host.drops().get(reason, 0)
            send(sender, packet)
            wait_for(lambda h=host, b=before, r=reason: h.drops().get(r, 0) > b, name)
            if here_sniffer.has(b"forged") or there_sniffer.has(b"forged"):
                wrong.append(name)
    assert not wrong
    for target in ("250.0.27.5", "250.0.27.1", there):
        ping(one, target)
