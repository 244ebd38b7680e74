"""Which address of this machine an underlay means."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Address, IPv4Interface, IPv4Network, NetmaskValueError
from typing import NamedTuple

from fannet.errors import FanError, MappingError, UnderlayError
from fannet.machine import Address, WayOut, open_machine

FORM = "give DEVICE/PREFIX, ADDRESS/PREFIX or NETWORK/PREFIX, such as eth0/16"
# Of the underlay around the default route's address: what the fan's first users have, 16 bits that
# tell hosts apart.
_PREFIX = 16
_LOOPBACK = "lo"


class Underlay(NamedTuple):
    """This machine's place on an underlay: its address there, and the network."""

    host: IPv4Address
    network: IPv4Network


def read_addresses() -> list[Address]:
    """Return the IPv4 addresses of this machine, apart from those that are valid on it alone.

    Raises:
        KernelError: they could not be read.
    """
    with open_machine() as machine:
        return [each for each in machine.list_addresses() if each.is_global]


def find_underlay(asked: str | IPv4Network | None) -> Underlay:
    """Return this host's address on an underlay, and the underlay.

    Args:
        asked: a text is what a person names for this machine: `eth0/16`, `172.30.0.28/16` or
            `172.30.0.0/16`. An address is taken as it is; for a device and a network, the only
            address that this machine has there. Addresses that float between hosts (/32, as
            keepalived's) count only where there is no other.
            A network is the same on all hosts: of several addresses in it, the one that this
            machine sends from is taken.
            None: the address that the default route goes out from, and the /16 that it is in.

    Raises:
        MappingError: the text is none of the three.
        UnderlayError: there is no such address on this machine, perhaps not yet.
        FanError: there are several that are as good as what the text names.
        KernelError: the addresses could not be read.
    """
    return _read_text(asked) if isinstance(asked, str) else _choose(asked)


def _read_text(text: str) -> Underlay:
    where, slash, length = text.rpartition("/")
    if not (slash and where and length.isascii() and length.isdigit() and int(length) <= 32):
        raise MappingError(f"underlay {text!r} has no prefix length from 0 to 32; {FORM}")
    try:
        network = IPv4Network(text, strict=False)
    except (AddressValueError, NetmaskValueError):
        if where.replace(".", "").isdigit():
            raise MappingError(f"underlay {text!r} is not an IPv4 network; {FORM}") from None
        host = _find_on_device(where)
        return Underlay(host, IPv4Network(f"{host}/{length}", strict=False))
    host = IPv4Address(where)
    if host != network.network_address:
        return Underlay(host, network)
    # An address on lo is not bound to a link, so it is taken only when it is named.
    found = [
        a
        for a in read_addresses()
        if a.address in network and a.device != _LOOPBACK and not a.secondary
    ]
    return Underlay(_take_only(found, f"in {network}"), network)


def _find_on_device(device: str) -> IPv4Address:
    addresses = read_addresses()
    found = [a for a in addresses if a.device == device and not a.secondary]
    if not found:
        others = ", ".join(sorted({a.device for a in addresses})) or "none"
        raise UnderlayError(
            f"device {device} is not there, or has no IPv4 address; devices with one: {others}"
        )
    return _take_only(found, f"on {device}")


def _take_only(found: list[Address], where: str) -> IPv4Address:
    if not found:
        raise UnderlayError(
            f"no address of this machine is {where}; "
            "name a device or a network in which it has one, or wait until it has"
        )
    own = [a for a in found if not _floats(a)] or found
    if len({a.address for a in own}) > 1:
        names = ", ".join(str(a) for a in own)
        raise FanError(
            f"several addresses of this machine are {where}: {names}; name one, as ADDRESS/PREFIX"
        )
    return own[0].address


def _choose(network: IPv4Network | None) -> Underlay:
    """Choose the address that this machine talks from, in a network or at all."""
    addresses, way_out = read_addresses(), _read_way_out()
    device, preferred = way_out or (None, None)
    fit = [a for a in addresses if (a.address in network if network else a.device == device)]
    if not fit and network:
        have = ", ".join(str(a.address) for a in addresses) or "none"
        raise UnderlayError(f"this machine has no address in {network}; it has: {have}")
    if not fit:
        raise UnderlayError(
            "this machine has no default route to find its address by; "
            "give the network that the hosts are in"
        )
    # Those that may float between hosts come after the devices' own, and those of loopback last.
    best = min(
        fit,
        key=lambda a: (
            a.device == _LOOPBACK,
            a.address != preferred,
            _floats(a),
            a.device != device,
            a.secondary,
        ),
    )
    return Underlay(best.address, network or IPv4Interface((best.address, _PREFIX)).network)


def _read_way_out() -> WayOut | None:
    with open_machine() as machine:
        return machine.find_way_out()


def _floats(address: Address) -> bool:
    return address.prefixlen == address.address.max_prefixlen
