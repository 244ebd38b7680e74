"""What may be found wrong, and what to do about it."""

from __future__ import annotations

from typing import Literal, NamedTuple

from fannet.drops import DROPS

# What a reason says about the two hosts, and what to do. Others happen in good health: devices
# announce themselves by broadcast and over IPv6, and a fan carries neither.
ADVICE = {
    "rx_vni": (
        "the sender's VNI differs",
        "compare VNI and overlay in fanctl show --verbose on both hosts",
    ),
    "rx_outer": (
        "the sender is outside of this fan's underlay, has this host's own address, or its "
        "address was changed by NAT on the way",
        "give all hosts the same underlay prefix, each host an address of its own, "
        "and remove NAT between them",
    ),
    "rx_source": (
        "the sender computes its slice differently, or someone forges addresses",
        "compare overlay and underlay prefixes in fanctl show on both hosts; "
        "restart containers that kept addresses of an older slice",
    ),
    "rx_destination": (
        "the sender computes this host's slice differently",
        "compare overlay and underlay prefixes in fanctl show on both hosts",
    ),
    "rx_forged": (
        "they arrive by a device that does not lead back to the sender, or someone forges "
        "addresses",
        "see by which: tcpdump -ni any host PEER; of two devices on the underlay's network, only "
        "the one with the fan's address may answer for it: sysctl net.ipv4.conf.all.arp_ignore=1",
    ),
    "rx_fragment": (
        "packets are larger than the path between the hosts allows, and are fragmented",
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


def problem(text: str, then: str) -> Finding:
    return Finding("problem", text, then)


def explain(reason: str, count: int) -> str:
    """Return what packets that were dropped for a reason tell."""
    return f"{count} for {reason} ({DROPS[reason]}), so {ADVICE[reason][0]}"
