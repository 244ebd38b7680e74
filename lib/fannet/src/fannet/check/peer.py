"""What is wrong on the way to another host of a fan."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import NamedTuple

from fannet import datapath, probes
from fannet.check.findings import ADVICE, Finding, explain, problem
from fannet.fan import FanState, name_tunnel
from fannet.machine import open_machine

_PROTOCOLS = {"vxlan": socket.IPPROTO_UDP, "ipip": 4}
_SMALL = 84  # bytes: the packet that ping sends by default


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


def check_peer(state: FanState, way: Way) -> PeerReport:
    """Ask another host through the fan; takes a few seconds, more if something is wrong.

    Raises:
        FannetError: there is no ping(8).
    """
    fan, gateway = state.fan, state.fan.gateway.ip
    tunnel = name_tunnel(fan)
    with open_machine() as opened:
        is_there = opened.find(tunnel) is not None
    if state.device is None or not is_there:
        return PeerReport(*way, False, None, None, ())  # why is told of this machine
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
            problem(
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
    if probes.find_source(way.target) != fan.gateway.ip:
        return (
            problem(
                f"this machine's packets to {way.target} do not go into the fan: another route "
                "is closer",
                f"see ip route get {way.target}; remove that route, or take an overlay that is "
                "used for nothing else, on all hosts",
            ),
        )
    source = probes.find_source(host)
    if source is None:
        return (
            problem(
                f"this machine has no route to {host}",
                f"ip route get {host} must lead to {state.device}",
            ),
        )
    if source != fan.host:
        return (
            problem(
                f"packets to {host} leave with the address {source} instead of {fan.host}, "
                "so the peer attributes them to another host",
                f"set the route's source: ip route ... src {fan.host}",
            ),
        )
    knocked = probes.knock(host, port, fan.host) if port else "silent"
    if knocked == "blocked":
        return (
            problem(
                f"this machine's own firewall drops {name} on the way out",
                f"allow it: iptables -I OUTPUT -p udp --dport {port} -d {host} -j ACCEPT",
            ),
        )
    drops = _count_new(state)
    if drops:
        return tuple(
            problem(
                f"{host} answers, and this machine drops it: {explain(reason, count)}",
                ADVICE[reason][1],
            )
            for reason, count in drops.items()
        )
    # Once they are inside, this machine let them in. A peer also sends without being asked.
    inside_count, arrived = inside.count(), outside.count(port)
    if arrived and not inside_count:
        return (
            problem(
                f"{arrived} packets came from {host} to {name} of {state.device}, and none "
                "reached the fan: this machine's firewall drops them",
                f"allow them: iptables -I INPUT -p udp --dport {port} -s {fan.mapping.underlay} "
                "-j ACCEPT",
            ),
        )
    if inside_count and probes.ask_arp(fan.bridge, fan.gateway.ip, way.target):
        return (
            problem(
                f"{way.target} answers ARP through the fan, but not ping",
                f"the fan works; allow ICMP where {way.target} is",
            ),
        )
    if knocked == "refused":
        return (
            problem(
                f"{host} refuses {name}: no fan is up there, or its firewall rejects it",
                f"on {host}: fanctl show, and fanctl up {fan.overlay} with the same prefixes",
            ),
        )
    if not probes.ping(host, fan.host).received:
        return (
            problem(
                f"{host} does not answer on the underlay either",
                f"see whether it is up, and whether ping -I {fan.host} {host} comes through",
            ),
        )
    return (
        problem(
            f"{host} answers on the underlay, but not on its {name}: a firewall there or on the "
            "way drops it, or its fan has another overlay, prefix, VNI or port",
            f"allow {name} between the hosts; then compare fanctl show --verbose on both, and "
            f"run fanctl check {fan.host} on {host}",
        ),
    )


def _count_new(state: FanState) -> Mapping[str, int]:
    """Return what was dropped since a fan was read, for reasons that tell of another host."""
    now = next((s for s in datapath.read() if s.fan.overlay == state.fan.overlay), state)
    new = {reason: now.drops.get(reason, 0) - state.drops.get(reason, 0) for reason in ADVICE}
    return {reason: count for reason, count in new.items() if count > 0}
