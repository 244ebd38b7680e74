"""The fan's arithmetic: which slice of the overlay a host owns, and which host owns an address.

With overlay O/n and underlay U/m, host u owns the slice `O | ((u & hostmask(m)) << (m - n))` of
prefix length `n + 32 - m`, and address d belongs to host `U | ((d & hostmask(n)) >> (m - n))`.
This module is the one place where that is written; the BPF program takes its constants from here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError

from fannet.errors import AddressError, MappingError

_LONGEST_SLICE = 30
# What no host or container may be addressed by (RFC 6890). Class E, 240.0.0.0/4, is not among
# them: Linux uses it like any other, and the fan's first users took it for its emptiness.
_UNUSABLE = {
    "this network": IPv4Network("0.0.0.0/8"),
    "loopback": IPv4Network("127.0.0.0/8"),
    "link-local": IPv4Network("169.254.0.0/16"),
    "multicast": IPv4Network("224.0.0.0/4"),
}


@dataclass(frozen=True)
class Constants:
    """What a program needs to do a mapping's arithmetic for one host, in host byte order.

    The host that owns address d is `underlay | ((d & ~overlay_mask) >> shift)`.
    """

    overlay: int
    overlay_mask: int
    underlay: int
    underlay_mask: int
    shift: int
    host: int
    slice: int
    slice_mask: int


@dataclass(frozen=True)
class Mapping:
    """An overlay network spread over the hosts of an underlay network.

    Raises:
        MappingError: the two networks make no fan; the text gives the reason.
    """

    overlay: IPv4Network
    underlay: IPv4Network

    def __post_init__(self) -> None:
        for name, network in (("overlay", self.overlay), ("underlay", self.underlay)):
            # Who calls this need not check types.
            if not isinstance(network, IPv4Network):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise MappingError(
                    f"{name} {network} is not an IPv4 network; give one like 10.0.0.0/8"
                )
            for kind, unusable in _UNUSABLE.items():
                if network.overlaps(unusable):
                    raise MappingError(
                        f"{name} {network} overlaps {kind} addresses ({unusable}); "
                        "give a network of unicast addresses, such as 250.0.0.0/8"
                    )
        if self.overlay.overlaps(self.underlay):
            raise MappingError(
                f"overlay {self.overlay} and underlay {self.underlay} overlap; "
                "give an overlay that is used for nothing else, such as 250.0.0.0/8"
            )
        if self.shift <= 0:
            raise MappingError(
                f"overlay {self.overlay} is not larger than underlay {self.underlay}; its prefix "
                f"must be shorter than /{self.underlay.prefixlen}"
            )
        if self.slice_prefixlen > _LONGEST_SLICE:
            raise MappingError(
                f"overlay {self.overlay} gives each host of underlay {self.underlay} a "
                f"/{self.slice_prefixlen}, which is smaller than /{_LONGEST_SLICE}; shorten the "
                "overlay's prefix or lengthen the underlay's"
            )
        if self.underlay.prefixlen > _LONGEST_SLICE:
            raise MappingError(
                f"underlay {self.underlay} has fewer than two hosts; "
                f"its prefix must be /{_LONGEST_SLICE} or shorter"
            )

    @property
    def shift(self) -> int:
        """By how many bits a host's number is moved up to become its slice's."""
        return self.underlay.prefixlen - self.overlay.prefixlen

    @property
    def slice_prefixlen(self) -> int:
        return self.overlay.prefixlen + 32 - self.underlay.prefixlen

    def slice_of(self, host: IPv4Address) -> IPv4Network:
        """Return the part of the overlay that a host owns.

        Raises:
            AddressError: the address is not that of a host in the underlay.
        """
        number = int(host) & int(self.underlay.hostmask)
        if host not in self.underlay:
            raise AddressError(
                f"{host} is not in the underlay {self.underlay}; "
                "give an address of this machine that is"
            )
        self._check_host(number, f"{host}")
        start = int(self.overlay.network_address) | (number << self.shift)
        return IPv4Network((start, self.slice_prefixlen))

    def host_of(self, address: IPv4Address) -> IPv4Address:
        """Return the host whose slice an overlay address is in.

        Raises:
            AddressError: the address is not in the overlay, or in a slice that no host can own.
        """
        if address not in self.overlay:
            raise AddressError(f"{address} is not in the overlay {self.overlay}")
        number = (int(address) & int(self.overlay.hostmask)) >> self.shift
        self._check_host(number, f"the host of {address}")
        return IPv4Address(int(self.underlay.network_address) | number)

    def hosts(self) -> Iterator[IPv4Address]:
        """Yield all hosts that the fan has room for, in order."""
        return self.underlay.hosts()

    def constants(self, host: IPv4Address) -> Constants:
        """Return the numbers with which a program on a host does this arithmetic.

        Raises:
            AddressError: the address is not that of a host in the underlay.
        """
        own = self.slice_of(host)
        return Constants(
            overlay=int(self.overlay.network_address),
            overlay_mask=int(self.overlay.netmask),
            underlay=int(self.underlay.network_address),
            underlay_mask=int(self.underlay.netmask),
            shift=self.shift,
            host=int(host),
            slice=int(own.network_address),
            slice_mask=int(own.netmask),
        )

    def _check_host(self, number: int, what: str) -> None:
        """Refuse the numbers 0 and all ones: the underlay's own and its broadcast address."""
        if number in (0, int(self.underlay.hostmask)):
            name = "broadcast" if number else "network"
            raise AddressError(f"{what} would be the {name} address of underlay {self.underlay}")

    def __str__(self) -> str:
        return f"{self.overlay} over {self.underlay}"


def parse_mapping(overlay: str, underlay: str) -> Mapping:
    """Return the mapping of two networks written like `250.0.0.0/8`.

    Raises:
        MappingError: a text is not a network, has host bits set, or the two do not make a fan.
    """
    return Mapping(_parse_network("overlay", overlay), _parse_network("underlay", underlay))


def _parse_network(name: str, text: str) -> IPv4Network:
    if "/" not in text:
        raise MappingError(f"{name} {text!r} has no prefix length; give one like 250.0.0.0/8")
    try:
        network = IPv4Network(text, strict=False)
    except (AddressValueError, NetmaskValueError) as error:
        raise MappingError(
            f"{name} {text!r} is not an IPv4 network; give one like 250.0.0.0/8"
        ) from error
    address = IPv4Address(text.partition("/")[0])
    if address != network.network_address:
        raise MappingError(f"{name} {text!r} has host bits set; did you mean {network}?")
    return network
