"""This machine's own address, from which its slice of the overlay is computed."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import NamedTuple

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

# What the fan's first users have: 16 bits that tell machines apart.
PREFIX = 16
_SECONDARY = 0x01  # IFA_F_SECONDARY, <linux/if_addr.h>
_LOOPBACK = 1  # the device's number, always
_UNIVERSE = 0  # RT_SCOPE_UNIVERSE, <linux/rtnetlink.h>


class UnderlayError(Exception):
    """This machine's address is not to be found; the text says why, and what to do."""


@dataclass(frozen=True)
class Host:
    """What this machine is on the underlay.

    Attributes:
        mtu: of the device that has the address, in bytes.
    """

    address: IPv4Address
    underlay: IPv4Network
    mtu: int


class _Address(NamedTuple):
    device: int
    address: IPv4Address
    secondary: bool


def find_host(underlay: IPv4Network | None) -> Host:
    """Return this machine's address on the underlay, and what goes with it.

    Args:
        underlay: the network to look in; None: the address that the default route goes out
            from, and the /16 that it is in.

    Raises:
        UnderlayError: there is no such address, or no default route.
    """
    try:
        with IPRoute() as netlink:
            addresses = _list_addresses(netlink)
            way_out = _find_way_out(netlink)
            ours = _choose(addresses, way_out, underlay)
            (link,) = netlink.get_links(ours.device)
    except (NetlinkError, OSError) as error:
        raise UnderlayError(f"this machine's addresses can't be read: {error}") from error
    network = underlay or IPv4Interface((ours.address, PREFIX)).network
    return Host(ours.address, network, link.get("mtu"))


def _choose(
    addresses: list[_Address],
    way_out: tuple[int, IPv4Address | None],
    underlay: IPv4Network | None,
) -> _Address:
    device, preferred = way_out
    fit = [
        each
        for each in addresses
        if (each.address in underlay if underlay else each.device == device)
    ]
    if fit:
        # Where several fit, the one that the machine talks from; those of loopback last.
        return min(
            fit,
            key=lambda each: (
                each.device == _LOOPBACK,
                each.address != preferred,
                each.device != device,
                each.secondary,
            ),
        )
    if underlay:
        have = ", ".join(str(each.address) for each in addresses) or "none"
        raise UnderlayError(
            f"option underlay: this machine has no address in {underlay}; it has: {have}"
        )
    raise UnderlayError(
        "this machine has no default route that would tell its address; "
        "set the option underlay to the network that the machines are in"
    )


def _list_addresses(netlink: IPRoute) -> list[_Address]:
    return [
        _Address(
            each["index"],
            IPv4Address(each.get("local") or each.get("address")),
            bool(each["flags"] & _SECONDARY),
        )
        for each in netlink.get_addr(family=socket.AF_INET)
        if each["scope"] == _UNIVERSE
    ]


def _find_way_out(netlink: IPRoute) -> tuple[int, IPv4Address | None]:
    """Return the default route's device, 0 if there is none, and the address that it prefers."""
    routes = [r for r in netlink.get_default_routes(family=socket.AF_INET) if r.get("oif")]
    best = min(routes, key=lambda route: route.get("priority") or 0, default=None)
    if best is None:
        return 0, None
    source = best.get("prefsrc")
    return best.get("oif"), IPv4Address(source) if source else None
