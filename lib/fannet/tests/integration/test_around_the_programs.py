"""What an attacker sends around the BPF programs, and that the packet filter's rules stop it.

Reverse path filtering is off everywhere, so that nothing but the rules can stop anything. The last
test takes them away: then all of it arrives.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from scapy.layers.inet import IP, UDP
from scapy.layers.l2 import Ether
from scapy.packet import Raw

from fannet import rules
from lib.fannet.tests.integration.around import (
    AMONG_SEVERAL,
    ANYONE,
    EVIL,
    FORGERIES,
    KINDS,
    THERE,
    Ground,
    check_stopped,
    count_drops,
    forward,
    listening,
    make_ground,
    tunnelled,
)
from lib.fannet.tests.integration.lab import Sniffer, ping, reaches, send, transfer, wait_for

# Whose the bridge is, and how many fans there are, makes no difference to a kernel.
GROUNDS = {
    name: pytest.param(
        kind, id=name, marks=[pytest.mark.any_kernel] * (kind.several or not kind.own_bridge)
    )
    for name, kind in KINDS.items()
}
SEVERAL = [GROUNDS[name] for name, kind in KINDS.items() if kind.several]


@pytest.fixture(scope="module", params=GROUNDS.values())
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    with ExitStack() as stack:
        yield make_ground(stack, request.param)


@pytest.mark.parametrize("name", FORGERIES)
def test_what_goes_around_the_programs_is_dropped_and_counted(ground: Ground, name: str) -> None:
    check_stopped(ground, name)


@pytest.mark.parametrize("name", AMONG_SEVERAL)
@pytest.mark.parametrize("ground", SEVERAL, indirect=True)
def test_no_fan_lets_in_what_pretends_to_be_another_fans(ground: Ground, name: str) -> None:
    check_stopped(ground, name)


def test_what_is_legitimate_goes_on_and_is_counted_nowhere(ground: Ground) -> None:
    before = [host.drops() for host in (ground.here, ground.there)]
    for source, target in (
        (ground.container, "250.0.27.5"),
        (ground.victim, "250.0.28.5"),
        (ground.container, "250.0.27.1"),
        (ground.container, "250.0.28.1"),
        (ground.here, "250.0.27.5"),
        (ground.here, "250.0.27.1"),
        (ground.container, THERE),
        (ground.plain, THERE),
        (ground.plain, "250.0.28.5"),
    ):
        ping(source, target)
    # The tunnel's packet belongs to the socket of who sent what is in it.
    ground.here.run(*ANYONE, "ping", "-c", "1", "-W", "5", "250.0.27.5")
    assert transfer(ground.container, ground.victim)["end"]["sum_sent"]["bytes"] >= 64 << 20
    assert [host.drops() for host in (ground.here, ground.there)] == before


def test_who_has_no_address_yet_reaches_the_dhcp_server_of_its_own_host_alone(
    ground: Ground,
) -> None:
    everyone = Ether(src=ground.container.mac(), dst="ff:ff:ff:ff:ff:ff")
    discover = everyone / IP(src="0.0.0.0", dst="255.255.255.255") / UDP(sport=68, dport=67)
    with ground.here.entered():
        server = socket.socket(type=socket.SOCK_DGRAM)
    with server, Sniffer(ground.there) as underlay:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"fan-250")
        server.bind(("", 67))
        server.settimeout(10)
        before = count_drops(ground.here, "tx_broadcast")
        send(ground.container, discover / Raw(b"who am I"))
        assert server.recv(99) == b"who am I"
        wait_for(lambda: count_drops(ground.here, "tx_broadcast") > before, "it is counted")
        assert not underlay.has(b"who am I")


def test_marks_that_others_set_stop_no_tunnel(ground: Ground) -> None:
    for table, chain in (("raw", "PREROUTING"), ("raw", "OUTPUT"), ("mangle", "POSTROUTING")):
        ground.here.run("iptables", "-t", table, "-A", chain, "-j", "MARK", "--set-mark", "1")
    try:
        ping(ground.container, "250.0.27.5")
        ping(ground.victim, "250.0.28.5")
    finally:
        for table in ("raw", "mangle"):
            ground.here.run("iptables", "-t", table, "-F")


def test_no_mark_of_ours_is_seen_by_the_rules_of_others(ground: Ground) -> None:
    place = "type filter hook {} priority raw;"
    lines = ["add table ip marked", "add counter ip marked seen"]
    for hook in ("prerouting", "input", "forward", "output"):
        lines.append(f"add chain ip marked {hook} {{ {place.format(hook)} }}")
        lines.append(f"add rule ip marked {hook} meta mark != 0 counter name seen")
    for host in (ground.here, ground.there):
        host.run("nft", "; ".join(lines))
    try:
        for target in ("250.0.27.5", "250.0.27.1"):
            ping(ground.container, target)
            ping(ground.here, target)
        for host in (ground.here, ground.there):
            assert "packets 0 " in host.run("nft", "list", "counter", "ip", "marked", "seen")
        forged = forward("container", EVIL, "172.30.0.99")
        forged(ground, b"nobody")
    finally:
        for host in (ground.here, ground.there):
            host.run("nft", "delete", "table", "ip", "marked")


@pytest.mark.parametrize("way", ["routed", "bridged"])
def test_a_virtual_machine_with_an_address_of_its_own_is_a_host_of_the_fan(
    ground: Ground, way: str
) -> None:
    """Its tunnel's packets, which its own host forwards, are as good as any other's."""
    near, lab, name = ground.here, ground.lab, f"vm-{way}"
    assert lab
    address = {"routed": "172.30.0.98", "bridged": "172.30.0.99"}[way]
    near.configure(f"link add {name} type bridge", f"link set {name} up")
    guest = lab.host(f"{address}/16", behind=near, bridge=name)
    if way == "routed":
        near.configure(f"route add {address} dev {name}")
        near.run("sysctl", "-qw", *(f"net.ipv4.conf.{x}.proxy_arp=1" for x in ("eth0", name)))
    else:  # on another wire than its host, which has no address there
        wire = f"link add second type veth peer name eth1 netns {near.name}"
        lab.switch.configure(wire, "link set second master switch up")
        near.configure(f"link set eth1 master {name} up")
        near.run("sysctl", "-qw", "net.ipv4.conf.all.arp_ignore=1")
    guest.up()
    for target in ("250.0.27.5", "250.0.27.1", "250.0.28.5"):
        wait_for(lambda t=target: reaches(guest, t), f"{target} answers")
    slice_ = guest.fan().slice
    wait_for(lambda: reaches(ground.victim, slice_[1]), f"{slice_[1]} answers")


def test_a_tunnel_without_programs_lets_nothing_in(ground: Ground) -> None:
    far = ground.there
    far.run("tc", "qdisc", "delete", "dev", "fan-vx8472", "clsact")
    payload = tunnelled(b"no programs", "10.9.9.9", "250.0.27.1", far.mac("fan-vx8472"))
    ether = Ether(src=ground.evil.mac(), dst=far.mac())
    outer = ether / IP(src=EVIL, dst=THERE) / UDP(sport=40000, dport=8472)
    try:
        before = count_drops(far, "rx_forged")
        with listening(far) as has:
            send(ground.evil, outer / payload)
            wait_for(lambda: count_drops(far, "rx_forged") > before, "it is counted")
            assert not has(b"no programs")
    finally:
        far.repair()
    ping(ground.container, "250.0.27.5")


def test_without_the_rules_all_of_it_arrives(ground: Ground) -> None:
    hosts = (ground.here, ground.there)
    for host in hosts:
        host.run("nft", "delete", "table", "ip", "fannet")
    try:
        missing = []
        for name, forgery in ground.forgeries.items():
            marker = f"without: {name}".encode()
            with listening(forgery.target(ground)) as has:
                forgery.send(ground, marker)
                try:
                    wait_for(lambda h=has, m=marker: h(m), name, seconds=3)
                except AssertionError:
                    missing.append(name)
        assert not missing
    finally:
        for host in hosts:
            host.repair()


def test_programs_and_rules_have_the_same_mark() -> None:
    source = (Path(__file__).parents[2] / "src" / "fannet" / "bpf" / "mapping.h").read_text()
    assert f"#define CHECKED {rules.CHECKED:#x}\n" in source
