"""The fan's other machines: what they tell, what is wrong with it, and whether they answer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import fannet
from fannet import check, probes

if TYPE_CHECKING:  # what measures the way, with little memory, needs no engines
    from fan.system import System

# A hook asks no more of them: it is to be over in a second or two.
SAMPLE = 16
AT_ONCE = 16  # questions on the way


@dataclass(frozen=True)
class Peer:
    """Another unit's fan, as it tells.

    Attributes:
        unit: its name, such as fan/1.
        host: its machine's address on the underlay.
    """

    unit: str
    host: IPv4Address
    underlay: IPv4Network
    overlay: IPv4Network

    def databag(self) -> dict[str, str]:
        """Return what `read_peer` takes."""
        return {
            "host": str(self.host),
            "underlay": str(self.underlay),
            "overlay": str(self.overlay),
        }


@dataclass(frozen=True)
class Verification:
    """Which peers answer through the fan.

    Attributes:
        asked: the units that were asked; not all of them, where there are many.
        silent: those of them that did not answer.
    """

    asked: tuple[str, ...]
    silent: tuple[str, ...]


def make_peer(unit: str, fan: fannet.Fan) -> Peer:
    """Return what a unit tells its peers."""
    return Peer(unit, fan.host, fan.mapping.underlay, fan.overlay)


def read_peer(unit: str, databag: Mapping[str, str]) -> Peer | None:
    """Return what a peer tells; None if it has not yet, or not in a way that makes sense."""
    try:
        return Peer(
            unit,
            IPv4Address(databag["host"]),
            IPv4Network(databag["underlay"]),
            IPv4Network(databag["overlay"]),
        )
    except (KeyError, ValueError):
        return None


def find_conflicts(fan: fannet.Fan, peers: Iterable[Peer]) -> list[str]:
    """Return what of the peers does not go together with a fan, one line each, with names."""
    conflicts: list[str] = []
    for peer in peers:
        if peer.overlay != fan.overlay:
            conflicts.append(f"{peer.unit} has the overlay {peer.overlay}, not {fan.overlay}")
        elif peer.host not in fan.mapping.underlay:
            conflicts.append(
                f"{peer.unit}'s address {peer.host} is outside of the underlay "
                f"{fan.mapping.underlay}; set the option underlay to a network that holds all"
            )
        elif peer.host == fan.host:
            conflicts.append(
                f"{peer.unit} has the address {peer.host} too, and so the slice {fan.slice}; "
                "give each machine an address of its own"
            )
        elif peer.underlay != fan.mapping.underlay:
            conflicts.append(
                f"{peer.unit} has the underlay {peer.underlay}, not {fan.mapping.underlay}; "
                "set the option underlay to a network that holds all"
            )
    return conflicts


def verify(system: System, fan: fannet.Fan, peers: Sequence[Peer], turn: int) -> Verification:
    """Ask peers for an answer through the fan; takes two seconds at most.

    An answer proves the way there and back.

    Args:
        turn: which of the peers are asked, where there are more than SAMPLE: others each time.
    """
    first = turn * SAMPLE % len(peers) if len(peers) > SAMPLE else 0
    asked = [*peers[first:], *peers[:first]][:SAMPLE]

    answers = ping_all(system, fan, asked)
    silent = [
        peer.unit for peer, answer in zip(asked, answers, strict=True) if not answer.received
    ]
    return Verification(tuple(peer.unit for peer in asked), tuple(silent))


def ping_all(system: System, fan: fannet.Fan, peers: Sequence[Peer]) -> list[probes.Ping]:
    """Ask peers side by side, as `ping` does; return what came of it, in their order."""

    def ask(peer: Peer) -> probes.Ping:
        return ping(system, fan, peer)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(ask, peers))


def ping(system: System, fan: fannet.Fan, peer: Peer) -> probes.Ping:
    """Send packets to a peer through the fan until one is answered, for two seconds at most.

    One alone may be lost, as while the kernel waits for an answer to an older ARP request.
    """
    return system.ping(fan.mapping.slice_of(peer.host)[1], fan.gateway.ip, count=1, deadline=2)


def examine(
    system: System, state: fannet.FanState, peers: Sequence[Peer]
) -> list[check.PeerReport]:
    """Ask all peers, with small and with large packets, and explain what does not work.

    Takes some seconds where something does not.

    Raises:
        fannet.FannetError: a program is missing.
    """

    def ask(peer: Peer) -> check.PeerReport:
        target = state.fan.mapping.slice_of(peer.host)[1]
        return system.check_peer(state, check.Way(peer.unit, peer.host, target))

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(ask, peers))
