"""What is sent around the BPF programs, by whom, and the hosts that it is sent among."""

from __future__ import annotations

import json
import re
import socket
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.l2 import Ether
from scapy.layers.vxlan import VXLAN
from scapy.packet import Packet, Raw

from fannet import rules
from lib.fannet.tests.integration.lab import Container, Host, Lab, Sniffer, send, wait_for

HERE, THERE, EVIL = "172.30.0.28", "172.30.0.27", "172.30.0.66"
OTHER_PORT = 14789  # of another fan
EVIL_MAC = "02:00:00:00:66:05"
ANYONE = ("/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
POWERLESS = ("/usr/bin/setpriv", "--bounding-set=-all", "--inh-caps=-all")
# It has all capabilities, but for a namespace that the network is not of.
OWN_ROOT = (*ANYONE, "/usr/bin/unshare", "--user", "--map-root-user")
# Sends what it is given in hexadecimal by an ordinary socket, with our mark if it can set one.
SEND = f"""
import socket, sys
source, target, port, payload = sys.argv[1:]
family = socket.AF_INET6 if ":" in target else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as client:
    client.bind((source, 0))
    try:
        mark = ({rules.CHECKED}).to_bytes(4, sys.byteorder)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    except PermissionError:
        pass
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
        lab: what it is made of, unless it is made of whole machines.
        several: whether the hosts have other fans, too.
        numbers: which numbers hosts have here, where they are not those that forgeries name.
    """

    here: Host
    there: Host
    container: Container
    victim: Container
    plain: Container
    evil: Host
    lab: Lab | None = None
    several: bool = False
    numbers: dict[str, str] = field(default_factory=dict)

    def place(self, address: str) -> str:
        """Return an address that a forgery names as it is here."""
        number = r"\b((?:172\.30|250|99)\.0)\.(\d+)"
        return re.sub(number, lambda m: f"{m[1]}.{self.numbers.get(m[2], m[2])}", address)

    @property
    def forgeries(self) -> dict[str, Forgery]:
        return {**FORGERIES, **(AMONG_SEVERAL if self.several else {})}

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
        inner = ground.place("250.0.66.5")
        payload = tunnelled(marker, inner, str(victim.address.ip), victim.mac())
        ether = Ether(src=container.mac(), dst=ground.gateway_mac(container))
        # Pieces that wait for others of theirs are not to meet those of the next attempt.
        addresses = {"src": ground.place(source), "dst": ground.place(target)}
        ip = IP(**addresses, id=zlib.crc32(marker) % 65536)
        whole = ether / ip / UDP(sport=40000, dport=8472) / payload
        send(container, *(fragment(whole, fragsize=48) if pieces else [whole]))

    return act


def send_plainly(
    place: str, source: str = "0.0.0.0", target: str = THERE, who: tuple[str, ...] = ANYONE
) -> Any:
    """Send a tunnel's payload by an ordinary socket, without any capability."""

    def act(ground: Ground, marker: bytes) -> None:
        inner = ground.place("250.0.28.1"), ground.place("250.0.27.5")
        payload = tunnelled(marker, *inner, ground.victim.mac())
        outer = ground.place(source), ground.place(target)
        command = ("/usr/bin/python3", "-c", SEND, *outer, "8472", bytes(payload).hex())
        getattr(ground, place).run(*who, *command)

    return act


def bare(place: str, source: str, target: str, *, through: str = "there") -> Any:
    """Send a packet that is in no tunnel, from a host on the underlay through another one."""

    def act(ground: Ground, marker: bytes) -> None:
        sender = getattr(ground, place)
        by = getattr(ground, through)
        mac = by.mac() if sender is ground.evil else ground.gateway_mac(sender)
        ether = Ether(src=sender.mac(), dst=mac)
        ip = IP(src=ground.place(source), dst=ground.place(target))
        send(sender, ether / ip / UDP(sport=1, dport=9) / Raw(marker))

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
    "a user who is root in a namespace of its own": Forgery(
        send_plainly("here", who=OWN_ROOT), victim, here, "tx_forged"
    ),
    "an ordinary user, by a socket of IPv6": Forgery(
        send_plainly("here", "::", f"::ffff:{THERE}"), victim, here, "tx_forged"
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
    "a host as a container, to another network": Forgery(
        bare("evil", "250.0.66.5", "172.17.0.2", through="here"), plain, here, "rx_forged"
    ),
    "a container as another host, to another network": Forgery(
        forward("container", EVIL, "172.17.0.2"), plain, here, "tx_forged"
    ),
}
# Where the hosts have other fans, too.
AMONG_SEVERAL = {
    "a container as another fan's, to its own host": Forgery(
        bare("container", "99.0.27.5", "250.0.28.1"), here, here, "rx_forged"
    ),
    "a container as another fan's of its own host": Forgery(
        bare("container", "99.0.28.5", "172.17.0.2"), plain, here, "tx_forged"
    ),
    "a container of another network as another fan's": Forgery(
        bare("plain", "99.0.27.5", "250.0.28.5"), container, here, "rx_forged"
    ),
    "a host as another fan's container": Forgery(
        bare("evil", "99.0.66.5", "250.0.27.5"), victim, there, "rx_forged"
    ),
}


def add_masquerade(host: Host) -> None:
    """Give what leaves a host its address, as Docker does, in a table of its own."""
    place = "type nat hook postrouting priority srcnat;"
    networks = "{ 172.17.0.0/16, 250.0.28.0/24 }"
    host.run("nft", f"add table ip other; add chain ip other post {{ {place} }}")
    host.run("nft", f"add rule ip other post oifname eth0 ip saddr {networks} masquerade")


class Kind(NamedTuple):
    """What differs between grounds.

    Attributes:
        br_netfilter: whether bridged packets pass iptables, too, as Docker has it.
        own_bridge: whether the fan made its bridge; or it is Docker's or LXD's.
        several: whether the hosts have more fans, on the same port and on another.
    """

    br_netfilter: bool = False
    own_bridge: bool = True
    several: bool = False


KINDS = {
    "bridged past it": Kind(),
    "br_netfilter": Kind(br_netfilter=True),
    "someone else's bridge": Kind(own_bridge=False),
    "someone else's bridge, br_netfilter": Kind(br_netfilter=True, own_bridge=False),
    "several fans": Kind(several=True),
    "several fans, br_netfilter": Kind(br_netfilter=True, several=True),
}


def make_ground(stack: ExitStack, kind: Kind) -> Ground:
    """Return a ground that goes with the stack."""
    lab = Lab(stack)
    one, other = lab.pair(own_bridge=kind.own_bridge)
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
        if kind.several:
            host.up(host.fan("99.0.0.0/8"))
            host.up(host.fan("100.0.0.0/8", port=OTHER_PORT))
        open_up(host, br_netfilter=kind.br_netfilter)
    return Ground(near, far, one, other, lone, evil, lab, kind.several)


def open_up(host: Host, *, br_netfilter: bool) -> None:
    """Let the fan's rules alone decide what comes in by which device."""
    bridged = f"net.bridge.bridge-nf-call-iptables={br_netfilter:d}"
    host.run("sysctl", "-qw", bridged)
    links = json.loads(host.run("ip", "-j", "link"))
    devices = ("all", "default", *(link["ifname"] for link in links))
    host.run("sysctl", "-qw", *(f"net.ipv4.conf.{x}.rp_filter=0" for x in devices))


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


def count_drops(host: Host, reason: str) -> int:
    return host.drops().get(reason, 0)


def check_stopped(ground: Ground, name: str) -> None:
    """See that what is forged arrives nowhere, and is counted."""
    forgery, marker = ground.forgeries[name], f"forged: {name}".encode()
    host, reason = forgery.counted(ground), forgery.reason
    before = count_drops(host, reason)
    with listening(forgery.target(ground)) as has:
        forgery.send(ground, marker)
        wait_for(lambda: count_drops(host, reason) > before, f"{name}: {reason} is counted")
        assert not has(marker)
