"""Finds out what is wrong with a fan, on this host and on the way to others, and what to do."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address
from pathlib import Path
from typing import Literal, NamedTuple

from fannet import datapath, probes
from fannet.addresses import Address, read_addresses
from fannet.devices import name_tunnel
from fannet.dhcp import find_dhcp_problems, read_dhcp
from fannet.drops import DROPS
from fannet.errors import AddressError
from fannet.fan import OVERHEAD, Fan, FanState
from fannet.fanfile import write_command

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_DEVICES = Path("/sys/class/net")
_BRIDGED = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")  # there with br_netfilter
_IPTABLES = Path("/usr/sbin/iptables")
_PROTOCOLS = {"vxlan": socket.IPPROTO_UDP, "ipip": 4}
_SMALL = 84  # bytes: the packet that ping sends by default

# What a reason says about the two hosts, and what to do. Others happen in good health: devices
# announce themselves by broadcast and over IPv6, and a fan carries neither.
_ADVICE = {
    "rx_vni": (
        "the sender's VNI differs",
        "compare VNI and overlay in fanctl show --verbose on both hosts",
    ),
    "rx_outer": (
        "the sender is outside of this fan's underlay, has this host's own address, or its "
        "address was changed by NAT on the way",
        "give all hosts the same underlay prefix, each host an address of its own, "
        "and take NAT out of the way",
    ),
    "rx_source": (
        "the sender computes its slice otherwise, or someone forges addresses",
        "compare overlay and underlay prefixes in fanctl show on both hosts; "
        "restart containers that kept addresses of an older slice",
    ),
    "rx_destination": (
        "the sender computes this host's slice otherwise",
        "compare overlay and underlay prefixes in fanctl show on both hosts",
    ),
    "rx_forged": (
        "they come by a device that does not lead back to the sender, or someone forges addresses",
        "see by which: tcpdump -ni any host PEER; of two devices on the underlay's network, only "
        "the one with the fan's address may answer for it: sysctl net.ipv4.conf.all.arp_ignore=1",
    ),
    "rx_fragment": (
        "packets are larger than the way between the hosts takes, and come in pieces",
        "set a smaller mtu on all hosts: fanctl up ... mtu N",
    ),
}


class Finding(NamedTuple):
    """Something that is wrong, or may be.

    Attributes:
        next: what to do about it.
    """

    level: Literal["problem", "warning"]
    text: str
    next: str


class Way(NamedTuple):
    """How a peer is reached: its name as given, its host, the overlay address to ask."""

    peer: str
    host: IPv4Address
    target: IPv4Address


@dataclass(frozen=True)
class PeerReport:
    """What came of asking another host through the fan.

    Attributes:
        peer: as it was named.
        target: the overlay address that was asked.
        rtt: the average round trip, in ms; None if it did not answer.
        mtu: the largest packet that it answered, in bytes; None if it did not.
    """

    peer: str
    host: IPv4Address
    target: IPv4Address
    answered: bool
    rtt: float | None
    mtu: int | None
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class FanReport:
    """What was found about one fan."""

    state: FanState
    findings: tuple[Finding, ...]
    peers: tuple[PeerReport, ...]


@dataclass(frozen=True)
class Report:
    """What was found about all fans of this host, and what belongs to none of them."""

    fans: tuple[FanReport, ...]
    findings: tuple[Finding, ...]

    @property
    def has_problems(self) -> bool:
        found = [*self.findings]
        for fan in self.fans:
            found += fan.findings
            for peer in fan.peers:
                found += peer.findings
        return any(finding.level == "problem" for finding in found)


def check_all(peers: Sequence[str] = ()) -> Report:
    """Check the fans of this host, and the way to some others.

    Args:
        peers: underlay addresses, overlay addresses or host names.

    Raises:
        FannetError: the fans could not be read, or a program is missing.
    """
    states = datapath.read()
    if not states:
        return Report((), (_problem("no fan is up on this host", "fanctl up OVERLAY UNDERLAY"),))
    strangers = []
    ways: list[list[Way]] = [[] for _ in states]
    for peer in peers:
        addresses = _read_peer(peer)
        found = [_find_way(peer, addresses, state.fan) for state in states]
        if not any(found):
            strangers.append(_explain_stranger(peer, addresses, states))
        for known, way in zip(ways, found, strict=True):
            known += [way] if way else []
    fans = [
        FanReport(state, check_host(state), tuple(check_peer(state, way) for way in known))
        for state, known in zip(states, ways, strict=True)
    ]
    return Report(tuple(fans), tuple(strangers))


def _problem(text: str, then: str) -> Finding:
    return Finding("problem", text, then)


def _read_peer(peer: str) -> list[IPv4Address]:
    """Return the addresses that a peer's name stands for; none if it is unknown."""
    try:
        return [IPv4Address(peer)]
    except AddressValueError:
        pass
    try:
        known = socket.getaddrinfo(peer, None, socket.AF_INET, socket.SOCK_DGRAM)
    except OSError:
        return []
    return [IPv4Address(entry[4][0]) for entry in known]


def _find_way(peer: str, addresses: Sequence[IPv4Address], fan: Fan) -> Way | None:
    """Return which overlay address to ask, if a peer is another host of the fan."""
    for address in addresses:
        try:
            if address in fan.overlay:
                host, target = fan.mapping.host_of(address), address
            else:
                host, target = address, fan.mapping.slice_of(address)[1]
        except AddressError:
            continue
        if host != fan.host:
            return Way(peer, host, target)
    return None


def _explain_stranger(
    peer: str, addresses: Sequence[IPv4Address], states: Sequence[FanState]
) -> Finding:
    if not addresses:
        return _problem(
            f"{peer} is neither an address nor a host name that is known here",
            "name the peer by its underlay address",
        )
    for state in states:
        fan = state.fan
        if any(a == fan.host or a in fan.slice for a in addresses):
            return _problem(f"{peer} is this host itself", "name another host")
    fans = ", ".join(f"{state.fan.bridge} ({state.fan.mapping})" for state in states)
    return _problem(
        f"{peer} is in no fan of this host; there are: {fans}",
        "if it shall be, take an underlay with a shorter prefix, the same on all hosts",
    )


def check_host(state: FanState) -> tuple[Finding, ...]:
    """Return what is wrong with a fan as far as this host can tell alone; takes a second."""
    fan = state.fan
    repair = f"{write_command(fan, read_dhcp(fan.bridge))} mends it"
    found = [_problem(text, repair) for text in (*state.problems, *find_dhcp_problems(fan.bridge))]
    if _FORWARDING.read_text().strip() == "0" and (fan.masquerade or fan.encapsulation == "ipip"):
        found.append(
            _problem(
                "this host forwards no packets (net.ipv4.ip_forward is 0), so containers do not "
                "reach what is outside of their bridge",
                "sysctl -w net.ipv4.ip_forward=1, and look for what in /etc/sysctl.d turns it off",
            )
        )
    found += _check_filter(fan.bridge)
    if state.device is None:
        found.append(
            _problem(
                f"no device of this host has the address {fan.host} any more",
                "fanctl up with the address that it has now; the slice moves with it",
            )
        )
    else:
        found += _check_device(state, state.device)
    found += [
        Finding("warning", f"packets were dropped: {_explain(reason, count)}", then)
        for reason, (_, then) in _ADVICE.items()
        if (count := state.drops.get(reason, 0))
    ]
    return tuple(found)


def _check_filter(bridge: str) -> list[Finding]:
    """Docker lets iptables drop what it does not know, and bridged packets pass through them."""
    if not (_BRIDGED.exists() and _BRIDGED.read_text().strip() == "1" and _IPTABLES.exists()):
        return []
    done = subprocess.run([str(_IPTABLES), "-S"], check=False, capture_output=True, text=True)
    allowed = f"-i {bridge} -o {bridge} -j ACCEPT"
    # From version 28 on, Docker accepts what comes from a bridge of its own, wherever it goes.
    rules = (allowed, f"-i {bridge} -j ACCEPT")
    if "-P FORWARD DROP" not in done.stdout or any(rule in done.stdout for rule in rules):
        return []
    text = f"iptables drop what they do not know, also what is bridged: nothing in {bridge} "
    text += "but containers of Docker's reaches another host"
    chain = "DOCKER-USER" if "-N DOCKER-USER" in done.stdout else "FORWARD"
    then = f"iptables -I {chain} {allowed}, or lay a network of Docker's over {bridge}"
    return [Finding("warning", text, then)]


def _check_device(state: FanState, device: str) -> list[Finding]:
    fan = state.fan
    found = []
    needed = state.mtu + OVERHEAD[fan.encapsulation]
    mtu = int((_DEVICES / device / "mtu").read_text())
    if needed > mtu:
        found.append(
            _problem(
                f"packets of {state.mtu} bytes need {needed} on {device}, which takes {mtu}",
                f"fanctl up with mtu {mtu - OVERHEAD[fan.encapsulation]} or less, on all hosts",
            )
        )
    own = next((a for a in read_addresses() if a.address == fan.host), None)
    if own and own.prefixlen < fan.mapping.underlay.prefixlen:
        found.append(_explain_prefix(own, fan))
    for mac in probes.ask_arp(device, IPv4Address(0), fan.host):
        found.append(
            _problem(
                f"another host on {device} has the address {fan.host} too, with the MAC address "
                f"{mac}: both own the slice {fan.slice}",
                "give one of the two another address, and run fanctl up on it",
            )
        )
    return found


def _explain_prefix(own: Address, fan: Fan) -> Finding:
    return Finding(
        "warning",
        f"{own.device} is on a /{own.prefixlen}, and the underlay {fan.mapping.underlay} is only "
        "a part of that: hosts of the rest are in no slice",
        f"if they shall be in the fan: fanctl up {fan.overlay} {own.device}/{own.prefixlen}, "
        "the same prefix on all hosts",
    )


def _explain(reason: str, count: int) -> str:
    return f"{count} for {reason} ({DROPS[reason]}), so {_ADVICE[reason][0]}"


def check_peer(state: FanState, way: Way) -> PeerReport:
    """Ask another host through the fan; takes a few seconds, more if something is wrong.

    Raises:
        FannetError: there is no ping(8).
    """
    fan, gateway = state.fan, state.fan.gateway.ip
    tunnel = name_tunnel(fan)
    if state.device is None or not (_DEVICES / tunnel).exists():
        return PeerReport(*way, False, None, None, ())  # why is told of this host
    protocol = _PROTOCOLS[fan.encapsulation]
    theirs = fan.mapping.slice_of(way.host)
    with (
        probes.listen(state.device, way.host, protocol) as outside,
        probes.listen_inside(tunnel, theirs) as inside,
    ):
        # Long enough for a new ARP request after one that nobody answered.
        answer = probes.ping(way.target, gateway, deadline=3)
        if not answer.received:
            # Only now, so that what others send in the meantime does not count.
            found = _explain_silence(state, way, outside, inside)
            return PeerReport(*way, False, None, None, found)
    mtu = probes.find_mtu(way.target, gateway, _SMALL, state.mtu)
    found = ()
    if mtu < state.mtu:
        found = (
            _problem(
                f"{way.host} answers packets of up to {mtu} bytes, and the fan lets "
                f"{state.mtu} through: larger ones are lost on the way",
                f"fanctl up with mtu {mtu} on all hosts, or a larger MTU on the way",
            ),
        )
    return PeerReport(*way, True, answer.rtt, mtu, found)


def _explain_silence(
    state: FanState, way: Way, outside: probes.Listener, inside: probes.Listener
) -> tuple[Finding, ...]:
    """Find out why a peer does not answer, from the nearest cause to the farthest."""
    fan = state.fan
    host, port = way.host, fan.port if fan.encapsulation == "vxlan" else 0
    name = f"UDP port {port}" if port else "IP protocol 4 (ipip)"
    source = probes.find_source(host)
    if source is None:
        return (
            _problem(
                f"this host has no route to {host}",
                f"ip route get {host} must lead to {state.device}",
            ),
        )
    if source != fan.host:
        return (
            _problem(
                f"packets to {host} leave with the address {source} instead of {fan.host}, "
                "so the peer takes them for another host's",
                f"set the route's source: ip route ... src {fan.host}",
            ),
        )
    knocked = probes.knock(host, port, fan.host) if port else "silent"
    if knocked == "blocked":
        return (
            _problem(
                f"this host's own firewall drops {name} on the way out",
                f"allow it: iptables -I OUTPUT -p udp --dport {port} -d {host} -j ACCEPT",
            ),
        )
    drops = _count_new(state)
    if drops:
        return tuple(
            _problem(
                f"{host} answers, and this host drops it: {_explain(reason, count)}",
                _ADVICE[reason][1],
            )
            for reason, count in drops.items()
        )
    # Once they are inside, this host let them in. A peer sends of its own accord, too.
    inside_count, arrived = inside.count(), outside.count(port)
    if arrived and not inside_count:
        return (
            _problem(
                f"{arrived} packets came from {host} to {name} of {state.device}, and none "
                "reached the fan: this host's firewall drops them",
                f"allow them: iptables -I INPUT -p udp --dport {port} -s {fan.mapping.underlay} "
                "-j ACCEPT",
            ),
        )
    if inside_count and probes.ask_arp(fan.bridge, fan.gateway.ip, way.target):
        return (
            _problem(
                f"{way.target} answers ARP through the fan, and no ping",
                f"the fan works; allow ICMP where {way.target} is",
            ),
        )
    if knocked == "refused":
        return (
            _problem(
                f"{host} refuses {name}: no fan is up there, or its firewall rejects it",
                f"on {host}: fanctl show, and fanctl up {fan.overlay} with the same prefixes",
            ),
        )
    if not probes.ping(host, fan.host).received:
        return (
            _problem(
                f"{host} does not answer on the underlay either",
                f"see whether it is up, and whether ping -I {fan.host} {host} comes through",
            ),
        )
    return (
        _problem(
            f"{host} answers on the underlay, and nothing in return on its {name}: a firewall "
            "there or on the way drops it, or its fan has another overlay, prefix, VNI or port",
            f"allow {name} between the hosts; then compare fanctl show --verbose on both, and see "
            f"what fanctl check {fan.host} tells on {host}",
        ),
    )


def _count_new(state: FanState) -> Mapping[str, int]:
    """Return what was dropped since a fan was read, for reasons that tell of another host."""
    now = next((s for s in datapath.read() if s.fan.overlay == state.fan.overlay), state)
    new = {reason: now.drops.get(reason, 0) - state.drops.get(reason, 0) for reason in _ADVICE}
    return {reason: count for reason, count in new.items() if count > 0}
