"""What an attacker sends around the BPF programs, and that the packet filter's rules stop it.

Reverse path filtering is off everywhere, so that nothing but the rules can stop anything. The last
test takes them away: then all of it arrives.
"""

from __future__ import annotations

import json
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from fannet import rules
from lib.fannet.tests.integration.kit import (
    Container,
    Host,
    Lab,
    Sniffer,
    ping,
    reaches,
    send,
    transfer,
    wait_for,
)

HERE, THERE, EVIL = "172.30.0.28", "172.30.0.27", "172.30.0.66"
EVIL_MAC = "02:00:00:00:66:05"
ANYONE = ("/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
POWERLESS = ("/usr/bin/setpriv", "--bounding-set=-all", "--inh-caps=-all")
# Sends what it is given in hexadecimal by an ordinary socket, whoever it is.
SEND = """
import socket, sys
source, target, port, payload = sys.argv[1:]
with socket.socket(type=socket.SOCK_DGRAM) as client:
    client.bind((source, 0))
    try:
        client.sendto(bytes.fromhex(payload), (target, int(port)))
    except PermissionError:
        pass
"""


@dataclass
class Ground:
    """Two hosts of a fan with a container each, and others on and around them.

    Attributes:
        plain: a container of the first host that has nothing to do with the fan.
        evil: a host on the underlay.
    """

    here: Host
    there: Host
    container: Container
    victim: Container
    plain: Container
    evil: Host
    lab: Lab

    def gateway_mac(self, sender: Container) -> str:
        return self.here.mac("fan-250" if sender is self.container else "docker0")


def tunnelled(marker: bytes, source: str, target: str, mac: str) -> Packet:
    """Return what follows a VXLAN packet's UDP header."""
    inner = Ether(src=EVIL_MAC, dst=mac) / IP(src=source, dst=target) / UDP(sport=1, dport=9)
    return VXLAN(vni=0xFA0000, flags="Instance") / inner / Raw(marker)


@dataclass
class Forgery:
    """What is sent, where it must not arrive, and who counts it under which reason.

    Attributes:
        send: sends it with a marker.
        target: a container, or the host whose sockets must not get it.
    """

    send: Callable[[Ground, bytes], None]
    target: Callable[[Ground], Container | Host]
    counted: Callable[[Ground], Host]
    reason: str


def forward(sender: str, source: str, target: str, *, pieces: bool = False) -> Any:
    """Send a tunnel's packet with a forged outer source through one's own host, with NET_RAW."""

    def act(ground: Ground, marker: bytes) -> None:
        container = getattr(ground, sender)
        victim = ground.victim if target == THERE else ground.container
        payload = tunnelled(marker, "250.0.66.5", str(victim.address.ip), victim.mac())
        ether = Ether(src=container.mac(), dst=ground.gateway_mac(container))
        # Pieces that wait for others of theirs are not to meet those of the next attempt.
        ip = IP(src=source, dst=target, id=zlib.crc32(marker) % 65536)
        whole = ether / ip / UDP(sport=40000, dport=8472) / payload
        send(container, *(fragment(whole, fragsize=48) if pieces else [whole]))

    return act


def send_plainly(
    place: str, source: str = "0.0.0.0", target: str = THERE, who: tuple[str, ...] = ANYONE
) -> Any:
    """Send a tunnel's payload by an ordinary socket, without any capability."""

    def act(ground: Ground, marker: bytes) -> None:
        payload = tunnelled(marker, "250.0.28.1", "250.0.27.5", ground.victim.mac())
        command = ("/usr/bin/python3", "-c", SEND, source, target, "8472", bytes(payload).hex())
        getattr(ground, place).run(*who, *command)

    return act


def bare(place: str, source: str, target: str) -> Any:
    """Send a packet that is in no tunnel."""

    def act(ground: Ground, marker: bytes) -> None:
        sender = getattr(ground, place)
        mac = ground.there.mac() if sender is ground.evil else ground.gateway_mac(sender)
        ether = Ether(src=sender.mac(), dst=mac)
        send(sender, ether / IP(src=source, dst=target) / UDP(sport=1, dport=9) / Raw(marker))

    return act


def here(ground: Ground) -> Host:
    return ground.here


def there(ground: Ground) -> Host:
    return ground.there


def container(ground: Ground) -> Container:
    return ground.container


def victim(ground: Ground) -> Container:
    return ground.victim


def plain(ground: Ground) -> Container:
    return ground.plain


FORGERIES = {
    # Of a container with NET_RAW.
    "a container as another host": Forgery(
        forward("container", EVIL, THERE), victim, here, "tx_forged"
    ),
    "a container of another network as another host": Forgery(
        forward("plain", EVIL, THERE), victim, here, "tx_forged"
    ),
    "a container as another host, to its own": Forgery(
        forward("container", EVIL, HERE), container, here, "rx_forged"
    ),
    "a container of another network as another host, to its own": Forgery(
        forward("plain", EVIL, HERE), container, here, "rx_forged"
    ),
    "a container as another host, in pieces": Forgery(
        forward("container", EVIL, THERE, pieces=True), victim, here, "rx_fragment"
    ),
    "a container as another slice's, to its own host": Forgery(
        bare("container", "250.0.27.1", "250.0.28.1"), here, here, "rx_forged"
    ),
    "a container as another slice's, to another network": Forgery(
        bare("container", "250.0.27.5", "172.17.0.2"), plain, here, "rx_forged"
    ),
    "a container of another network as another slice's": Forgery(
        bare("plain", "250.0.27.5", "250.0.28.5"), container, here, "rx_forged"
    ),
    # Of a container without any capability, whose address becomes its host's.
    "a container, with its host's address": Forgery(
        send_plainly("container"), victim, here, "tx_forged"
    ),
    "a container of another network, with its host's address": Forgery(
        send_plainly("plain"), victim, here, "tx_forged"
    ),
    # Of a local process.
    "an ordinary user": Forgery(send_plainly("here"), victim, here, "tx_forged"),
    "root without capabilities": Forgery(
        send_plainly("here", who=POWERLESS), victim, here, "tx_forged"
    ),
    "an ordinary user, to another address of the host": Forgery(
        send_plainly("here", HERE, "192.168.9.27"), victim, there, "rx_forged"
    ),
    # Of a host on the underlay.
    "a host as a container": Forgery(
        bare("evil", "250.0.66.5", "250.0.27.5"), victim, there, "rx_forged"
    ),
    "a host as a gateway, to another's": Forgery(
        bare("evil", "250.0.28.1", "250.0.27.1"), there, there, "rx_forged"
    ),
    "a host as a container, to the host itself": Forgery(
        bare("evil", "250.0.66.5", THERE), there, there, "rx_forged"
    ),
}


def add_masquerade(host: Host) -> None:
    """Give what leaves a host its address, as Docker does, in a table of its own."""
    place = "type nat hook postrouting priority srcnat;"
    networks = "{ 172.17.0.0/16, 250.0.28.0/24 }"
    host.run("nft", f"add table ip other; add chain ip other post {{ {place} }}")
    host.run("nft", f"add rule ip other post oifname eth0 ip saddr {networks} masquerade")


@pytest.fixture(scope="module", params=["0", "1"], ids=["bridged past it", "br_netfilter"])
def ground(request: pytest.FixtureRequest) -> Iterator[Ground]:
    with ExitStack() as stack:
        lab = Lab(stack)
        one, other = lab.pair()
        near, far = one.host, other.host
        near.configure(
            "link add docker0 type bridge",
            "link set docker0 up",
            "address add 172.17.0.1/16 dev docker0",
        )
        add_masquerade(near)
        far.configure("address add 192.168.9.27/24 dev eth0")
        near.configure("route add 192.168.9.27 dev eth0")
        lone = lab.container(near, "172.17.0.2/16", bridge="docker0")
        lone.route_via("172.17.0.1")
        evil = lab.host(f"{EVIL}/16")
        for host in (near, far):
            host.run("sysctl", "-qw", f"net.bridge.bridge-nf-call-iptables={request.param}")
            links = json.loads(host.run("ip", "-j", "link"))
            devices = ("all", "default", *(link["ifname"] for link in links))
            host.run("sysctl", "-qw", *(f"net.ipv4.conf.{x}.rp_filter=0" for x in devices))
        yield Ground(near, far, one, other, lone, evil, lab)


@contextmanager
def listening(target: Container | Host) -> Iterator[Callable[[bytes], bool]]:
    """Yield what tells whether a marker has arrived at a container's device or a host's socket."""
    if isinstance(target, Container):
        with Sniffer(target) as sniffer:
            yield sniffer.has
        return
    got: list[bytes] = []
    with target.entered():
        server = socket.socket(type=socket.SOCK_DGRAM)

    def has(marker: bytes) -> bool:
        while True:
            try:
                got.append(server.recv(999))
            except BlockingIOError:
                return marker in got

    with server:
        server.setblocking(False)
        server.bind(("", 9))
        yield has


def count(host: Host, reason: str) -> int:
    return host.drops().get(reason, 0)


@pytest.mark.parametrize("name", FORGERIES)
def test_what_goes_around_the_programs_is_dropped_and_counted(ground: Ground, name: str) -> None:
    forgery, marker = FORGERIES[name], f"forged: {name}".encode()
    host, reason = forgery.counted(ground), forgery.reason
    before = count(host, reason)
    with listening(forgery.target(ground)) as has:
        forgery.send(ground, marker)
        wait_for(lambda: count(host, reason) > before, f"{reason} is counted")
        assert not has(marker)


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
    near, name = ground.here, f"vm-{way}"
    address = {"routed": "172.30.0.98", "bridged": "172.30.0.99"}[way]
    near.configure(f"link add {name} type bridge", f"link set {name} up")
    guest = ground.lab.host(f"{address}/16", behind=near, bridge=name)
    if way == "routed":
        near.configure(f"route add {address} dev {name}")
        near.run("sysctl", "-qw", *(f"net.ipv4.conf.{x}.proxy_arp=1" for x in ("eth0", name)))
    else:  # on another wire than its host, which has no address there
        wire = f"link add second type veth peer name eth1 netns {near.name}"
        ground.lab.switch.configure(wire, "link set second master switch up")
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
        before = count(far, "rx_forged")
        with listening(far) as has:
            send(ground.evil, outer / payload)
            wait_for(lambda: count(far, "rx_forged") > before, "it is counted")
            assert not has(b"no programs")
    finally:
        far.up()
    ping(ground.container, "250.0.27.5")


def test_without_the_rules_all_of_it_arrives(ground: Ground) -> None:
    hosts = (ground.here, ground.there)
    for host in hosts:
        host.run("nft", "delete", "table", "ip", "fannet")
    try:
        missing = []
        for name, forgery in FORGERIES.items():
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
            host.up()


def test_programs_and_rules_have_the_same_mark() -> None:
    source = (Path(__file__).parents[2] / "src" / "fannet" / "bpf" / "mapping.h").read_text()
    assert f"#define CHECKED {rules.CHECKED:#x}\n" in source
