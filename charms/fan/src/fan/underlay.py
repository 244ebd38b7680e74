"""This machine's own address, from which its slice of the overlay is computed."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from fannet import KernelError
from fannet.links import Address, WayOut, open_host

# What the fan's first users have: 16 bits that tell machines apart.
PREFIX = 16
_LOOPBACK = "lo"


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


def find_host(underlay: IPv4Network | None) -> Host:
    """Return this machine's address on the underlay, and what goes with it.

    Args:
        underlay: the network to look in; None: the address that the default route goes out
            from, and the /16 that it is in.

    Raises:
        UnderlayError: there is no such address, or no default route.
    """
    try:
        with open_host() as host:
            addresses = [each for each in host.list_addresses() if each.is_global]
            ours = _choose(addresses, host.find_way_out(), underlay)
            link = host.find(ours.device)
    except (KernelError, OSError) as error:  # OSError: netlink broke off, as without memory
        raise UnderlayError(f"this machine's addresses can't be read: {error}") from error
    if not link:
        raise UnderlayError(f"{ours} went away just now; the next hook looks again")
    network = underlay or IPv4Interface((ours.address, PREFIX)).network
    return Host(ours.address, network, link.mtu)


def _choose(
    addresses: list[Address],
    way_out: WayOut | None,
    underlay: IPv4Network | None,
) -> Address:
    device, preferred = way_out or (None, None)
    fit = [
        each
        for each in addresses
        if (each.address in underlay if underlay else each.device == device)
    ]
    if fit:
        # Where several fit, the one that the machine talks from. Those that may float between
        # machines (/32, as keepalived's) come after the devices' own, and those of loopback last.
        return min(
            fit,
            key=lambda each: (
                each.device == _LOOPBACK,
                each.address != preferred,
                each.prefixlen == each.address.max_prefixlen,
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
