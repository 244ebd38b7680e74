"""This machine as netlink tells of it: its devices, its addresses, its routes."""

from __future__ import annotations

from collections.abc import Collection, Generator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from socket import AF_INET
from typing import NamedTuple

from fannet import netlink
from fannet.errors import KernelError, UnderlayError
from fannet.links import Link, Links
from fannet.netlink import Answer, IfAddr, Netlink, NetlinkError, Route, read_number

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")

# <linux/if_addr.h> and <linux/rtnetlink.h>: of addresses and routes
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFA_F_SECONDARY = 0x01
_RT_SCOPE_UNIVERSE = 0
_RTA_DST, _RTA_OIF, _RTA_PRIORITY, _RTA_PREFSRC = 1, 4, 6, 7
_RT_TABLE_MAIN, _RTPROT_STATIC, _RTN_UNICAST = 254, 4, 1


class Address(NamedTuple):
    """An IPv4 address of this machine.

    Attributes:
        device: its name.
        prefixlen: of the network that the device is on, as far as its address tells.
        secondary: whether the device has another address of the same network, which comes first.
        is_global: whether others can know it; False if it is valid on this machine or link alone.
    """

    device: str
    address: IPv4Address
    prefixlen: int
    secondary: bool = False
    is_global: bool = True

    def __str__(self) -> str:
        return f"{self.address} on {self.device}"


class WayOut(NamedTuple):
    """How this machine reaches all others.

    Attributes:
        device: its name.
        source: the address that the route prefers; None if it leaves that to the device.
    """

    device: str
    source: IPv4Address | None


class Machine(Links):
    """The devices, addresses and routes of this machine, read afresh each time."""

    def list_addresses(self) -> list[Address]:
        """Return the IPv4 addresses of all devices."""
        names = {link.index: link.name for link in self.links().values()}
        return [
            Address(
                names[header.index],
                IPv4Address(attributes[_IFA_LOCAL]),
                header.prefixlen,
                secondary=bool(header.flags & _IFA_F_SECONDARY),
                is_global=header.scope == _RT_SCOPE_UNIVERSE,
            )
            for header, attributes in self._read_addresses()
            if header.index in names
        ]

    def addresses(self, link: Link) -> set[IPv4Interface]:
        """Return the IPv4 addresses of a device."""
        return {
            IPv4Interface((attributes[_IFA_LOCAL], header.prefixlen))
            for header, attributes in self._read_addresses()
            if header.index == link.index
        }

    def add_address(self, link: Link, address: IPv4Interface) -> None:
        self._write_address(
            netlink.RTM_NEWADDR, link, address, netlink.NLM_F_CREATE | netlink.NLM_F_EXCL
        )

    def delete_address(self, link: Link, address: IPv4Interface) -> None:
        self._write_address(netlink.RTM_DELADDR, link, address)

    def find_device(self, underlay: IPv4Network, host: IPv4Address) -> Link:
        """Return the device that holds an underlay address of this machine.

        An address on the loopback device stands for the device that leads to the underlay.

        Raises:
            UnderlayError: there is none.
        """
        links = {link.index: link for link in self.links().values()}
        # An address may float (/32) or stand on the loopback device beside the device's own.
        holders = [
            (links[header.index].is_loopback, header.prefixlen == host.max_prefixlen, header.index)
            for header, attributes in self._read_addresses()
            if header.index in links and attributes[_IFA_LOCAL] == host.packed
        ]
        if not holders:
            raise UnderlayError(
                f"no device of this machine has the address {host}; give one that it has in "
                f"{underlay}, or wait until it is configured"
            )
        device = links[min(holders)[-1]]
        if not device.is_loopback:
            return device
        peer = next(peer for peer in underlay.hosts() if peer != host)
        leading = links.get(self._find_leading(peer))
        if not leading:
            raise UnderlayError(
                f"{host} is on {device.name} only, and no route leads to {underlay}"
            )
        return leading

    def find_way_out(self) -> WayOut | None:
        """Return what the best default route tells; None without one."""
        names = {link.index: link.name for link in self.links().values()}
        found = [
            (read_number(route.get(_RTA_PRIORITY)), names[device], route.get(_RTA_PREFSRC))
            for header, route in self._read_routes()
            if (header.table, header.dst_len) == (_RT_TABLE_MAIN, 0)
            and (device := read_number(route.get(_RTA_OIF))) in names
        ]
        if not found:
            return None
        _, device, source = min(found, key=lambda each: each[0])
        return WayOut(device, IPv4Address(source) if source else None)

    def find_overlaps(self, overlay: IPv4Network, devices: Collection[str]) -> list[str]:
        """Return what this machine has of an overlay on other devices than these, in words.

        A route into the overlay that is not the fan's takes its part of it away, and so does an
        address. A route that is as wide, or an address that a route names already, is told once.
        """
        names = {link.index: link.name for link in self.links().values()}
        found = {
            (IPv4Network((route[_RTA_DST], header.dst_len)), read_number(route.get(_RTA_OIF)))
            for header, route in self._read_routes()
            if header.table == _RT_TABLE_MAIN and _RTA_DST in route
        }
        for header, attributes in self._read_addresses():
            address = IPv4Network(attributes[_IFA_LOCAL])
            if not any(
                address.subnet_of(route) for route, device in found if device == header.index
            ):
                found.add((address, header.index))
        return [
            f"{network} on {names.get(device, 'no device')}"
            for network, device in sorted(found)
            if network.subnet_of(overlay) and names.get(device) not in devices
        ]

    def has_route(self, link: Link, network: IPv4Network, source: IPv4Address) -> bool:
        """Return whether a network is routed through a device, with that address as a source."""
        wanted = (network[0].packed, link.index, source.packed)
        return any(
            (route.get(_RTA_DST), read_number(route.get(_RTA_OIF)), route.get(_RTA_PREFSRC))
            == wanted
            for header, route in self._read_routes()
            if header.dst_len == network.prefixlen
        )

    def set_route(self, link: Link, network: IPv4Network, source: IPv4Address) -> None:
        """Route a network through a device, with that address as a source."""
        header = Route(
            family=AF_INET,
            dst_len=network.prefixlen,
            table=_RT_TABLE_MAIN,
            protocol=_RTPROT_STATIC,
            type=_RTN_UNICAST,
        )
        self._socket.request(
            netlink.RTM_NEWROUTE,
            header,
            {_RTA_DST: network[0].packed, _RTA_OIF: link.index, _RTA_PREFSRC: source.packed},
            netlink.NLM_F_CREATE | netlink.NLM_F_REPLACE,
        )

    def _write_address(
        self, kind: int, link: Link, address: IPv4Interface, modifiers: int = 0
    ) -> None:
        length = address.network.prefixlen
        header = IfAddr(family=AF_INET, prefixlen=length, index=link.index)
        values = {_IFA_LOCAL: address.ip.packed, _IFA_ADDRESS: address.ip.packed}
        self._socket.request(kind, header, values, modifiers)

    def _read_addresses(self) -> list[Answer]:
        header = IfAddr(family=AF_INET)
        found = self._socket.request(netlink.RTM_GETADDR, header, modifiers=netlink.NLM_F_DUMP)
        return [answer for answer in found if _IFA_LOCAL in answer.attributes]

    def _read_routes(self) -> list[Answer]:
        header = Route(family=AF_INET)
        return self._socket.request(netlink.RTM_GETROUTE, header, modifiers=netlink.NLM_F_DUMP)

    def _find_leading(self, peer: IPv4Address) -> int:
        """Return the number of the device through which packets to a peer go; 0 without one."""
        header = Route(family=AF_INET, dst_len=peer.max_prefixlen)
        try:
            ((_, route),) = self._socket.request(
                netlink.RTM_GETROUTE, header, {_RTA_DST: peer.packed}
            )
        except NetlinkError:
            return 0
        return read_number(route.get(_RTA_OIF))


@contextmanager
def open_machine() -> Generator[Machine]:
    """Open netlink; what the kernel refuses there becomes a KernelError."""
    try:
        opened = Netlink()
    except OSError as error:
        raise KernelError(f"netlink can't be opened here: {error.strerror}") from error
    try:
        with opened as socket:
            yield Machine(socket)
    except NetlinkError as error:
        raise KernelError(f"netlink: {error.strerror}") from error
