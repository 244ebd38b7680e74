"""Which address of this host an underlay means."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError

from fannet.errors import FanError, MappingError, UnderlayError
from fannet.links import Address, open_host

FORM = "give DEVICE/PREFIX, ADDRESS/PREFIX or NETWORK/PREFIX, such as eth0/16"


def read_addresses() -> list[Address]:
    """Return the IPv4 addresses of this host, apart from those that are valid on it alone.

    Raises:
        KernelError: they could not be read.
    """
    with open_host() as host:
        return [each for each in host.list_addresses() if each.is_global]


def find_underlay(text: str) -> tuple[IPv4Address, IPv4Network]:
    """Return this host's address on an underlay, and the underlay.

    Args:
        text: `eth0/16`, `172.30.0.28/16` or `172.30.0.0/16`. An address is taken as it is; for a
            device and a network, this host's only address there is. Addresses that float between
            hosts (/32, as keepalived's) count only where there is no other.

    Raises:
        MappingError: the text is none of the three.
        UnderlayError: there is no such address on this host, perhaps not yet.
        FanError: there are several that are as good.
    """
    where, slash, length = text.rpartition("/")
    if not (slash and where and length.isascii() and length.isdigit() and int(length) <= 32):
        raise MappingError(f"underlay {text!r} has no prefix length from 0 to 32; {FORM}")
    try:
        network = IPv4Network(text, strict=False)
    except (AddressValueError, NetmaskValueError):
        if where.replace(".", "").isdigit():
            raise MappingError(f"underlay {text!r} is not an IPv4 network; {FORM}") from None
        host = _find_on_device(where)
        return host, IPv4Network(f"{host}/{length}", strict=False)
    host = IPv4Address(where)
    if host != network.network_address:
        return host, network
    # An address on lo is not bound to a link, so it is taken only when it is named.
    found = [
        a
        for a in read_addresses()
        if a.address in network and a.device != "lo" and not a.secondary
    ]
    return _only(found, f"in {network}"), network


def _find_on_device(device: str) -> IPv4Address:
    addresses = read_addresses()
    found = [a for a in addresses if a.device == device and not a.secondary]
    if not found:
        others = ", ".join(sorted({a.device for a in addresses})) or "none"
        raise UnderlayError(
            f"device {device} is not there, or has no IPv4 address; devices with one: {others}"
        )
    return _only(found, f"on {device}")


def _only(found: list[Address], where: str) -> IPv4Address:
    if not found:
        raise UnderlayError(
            f"no address of this host is {where}; "
            "name a device or a network in which it has one, or wait until it has"
        )
    own = [a for a in found if a.prefixlen < a.address.max_prefixlen] or found
    if len({a.address for a in own}) > 1:
        names = ", ".join(str(a) for a in own)
        raise FanError(
            f"several addresses of this host are {where}: {names}; name one, as ADDRESS/PREFIX"
        )
    return own[0].address
