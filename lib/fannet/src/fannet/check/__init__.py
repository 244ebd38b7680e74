"""Finds out what is wrong with a fan, on this machine and on the way to others, and what to do."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address

from fannet import datapath
from fannet.check.findings import Finding, problem
from fannet.check.machine import check_machine
from fannet.check.peer import PeerReport, Way, check_peer
from fannet.errors import AddressError
from fannet.fan import Fan, FanState

__all__ = ["FanReport", "Finding", "PeerReport", "Report", "check_all"]


@dataclass(frozen=True)
class FanReport:
    """What was found about one fan."""

    state: FanState
    findings: tuple[Finding, ...]
    peers: tuple[PeerReport, ...]


@dataclass(frozen=True)
class Report:
    """What was found about all fans of this machine, and what belongs to none of them."""

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
    """Check the fans of this machine, and the way to some others.

    Args:
        peers: underlay addresses, overlay addresses or host names.

    Raises:
        FannetError: the fans could not be read, or a program is missing.
    """
    states = datapath.read()
    if not states:
        return Report((), (problem("no fan is up on this machine", "fanctl up OVERLAY UNDERLAY"),))
    strangers: list[Finding] = []
    ways: list[list[Way]] = [[] for _ in states]
    for peer in peers:
        addresses = _read_peer(peer)
        found = [_find_way(peer, addresses, state.fan) for state in states]
        if not any(found):
            strangers.append(_explain_stranger(peer, addresses, states))
        for known, way in zip(ways, found, strict=True):
            known += [way] if way else []
    fans = [
        FanReport(state, check_machine(state), tuple(check_peer(state, way) for way in known))
        for state, known in zip(states, ways, strict=True)
    ]
    return Report(tuple(fans), tuple(strangers))


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
        return problem(
            f"{peer} is neither an address nor a host name that is known here",
            "name the peer by its underlay address",
        )
    for state in states:
        fan = state.fan
        if any(a == fan.host or a in fan.slice for a in addresses):
            return problem(f"{peer} is this machine itself", "name another host")
    fans = ", ".join(f"{state.fan.bridge} ({state.fan.mapping})" for state in states)
    return problem(
        f"{peer} is in no fan of this machine; there are: {fans}",
        "to include it, take an underlay with a shorter prefix, the same on all hosts",
    )
