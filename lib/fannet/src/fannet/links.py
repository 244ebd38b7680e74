"""This host's network devices and addresses, over netlink."""

from __future__ import annotations

import errno
import struct
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from socket import AF_INET
from typing import NamedTuple

from fannet import netlink
from fannet.errors import KernelError, UnderlayError
from fannet.mapping import Mapping
from fannet.netlink import Answer, Attributes, IfAddr, IfInfo, Netlink, NetlinkError, Route, Tc

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_IPV6 = Path("/proc/sys/net/ipv6/conf")

# <linux/if.h> and <linux/if_link.h>: flags and attributes of devices, and those of some kinds
_IFF_UP, _IFF_LOOPBACK = 1 << 0, 1 << 3
_IFLA_ADDRESS, _IFLA_IFNAME, _IFLA_MTU, _IFLA_MASTER, _IFLA_LINKINFO = 1, 3, 4, 10, 18
_IFLA_IFALIAS, _IFLA_STATS64, _IFLA_LINK_NETNSID = 20, 23, 37
_IFLA_INFO_KIND, _IFLA_INFO_DATA = 1, 2
_IFLA_BR_MCAST_SNOOPING = 23
_IFLA_VXLAN_LEARNING, _IFLA_VXLAN_PORT, _IFLA_VXLAN_COLLECT_METADATA = 7, 15, 25
_IFLA_IPTUN_COLLECT_METADATA = 19  # <linux/if_tunnel.h>
_VETH_INFO_PEER = 1  # <linux/veth.h>
_RX_ERRORS = 32  # offset in struct rtnl_link_stats64

# <linux/if_addr.h> and <linux/rtnetlink.h>: of addresses and routes
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_IFA_F_SECONDARY = 0x01
_RT_SCOPE_UNIVERSE = 0
_RTA_DST, _RTA_OIF, _RTA_PRIORITY, _RTA_PREFSRC = 1, 4, 6, 7
_RT_TABLE_MAIN, _RTPROT_STATIC, _RTN_UNICAST = 254, 4, 1

# <linux/pkt_sched.h>: the places of filters in a clsact qdisc, which are TC_H_CLSACT with
# TC_H_MIN_INGRESS and TC_H_MIN_EGRESS
_PLACES = (0xFFFFFFF2, 0xFFFFFFF3)


@dataclass(frozen=True)
class Link:
    """A network device.

    Attributes:
        kind: such as bridge or vxlan; empty for hardware.
        mac: its link-layer address, such as 02:fa:fa:00:1c:01; empty if it has none.
        master: the number of the bridge that it is plugged into; 0 if none.
        external: whether it is a tunnel that takes each packet's remote host from a tunnel key.
        udp_port: of a vxlan device; 0 for others.
        rx_errors: how many packets it received and refused.
        leads_away: whether it is one of a pair, and the other is in another network namespace.
    """

    index: int
    name: str
    kind: str
    mtu: int
    mac: str
    alias: str
    master: int
    is_up: bool
    is_loopback: bool
    external: bool
    udp_port: int
    rx_errors: int
    leads_away: bool


class Address(NamedTuple):
    """An IPv4 address of this host.

    Attributes:
        device: its name.
        prefixlen: of the network that the device is on, as far as its address tells.
        secondary: whether the device has another address of the same network, which comes first.
        is_global: whether others can know it; False if it is valid on this host or link alone.
    """

    device: str
    address: IPv4Address
    prefixlen: int
    secondary: bool = False
    is_global: bool = True

    def __str__(self) -> str:
        return f"{self.address} on {self.device}"


class WayOut(NamedTuple):
    """How this host reaches all others.

    Attributes:
        device: its name.
        source: the address that the route prefers; None if it leaves that to the device.
    """

    device: str
    source: IPv4Address | None


class Host:
    """The devices and addresses of this host, read afresh each time."""

    def __init__(self, socket: Netlink):
        self._socket = socket

    def links(self) -> dict[str, Link]:
        found = self._socket.request(netlink.RTM_GETLINK, IfInfo(), modifiers=netlink.NLM_F_DUMP)
        return {link.name: link for link in map(_read_link, found)}

    def find(self, name: str) -> Link | None:
        try:
            (found,) = self._socket.request(netlink.RTM_GETLINK, IfInfo(), {_IFLA_IFNAME: name})
        except NetlinkError as error:
            if error.errno == errno.ENODEV:
                return None
            raise
        return _read_link(found)

    def add_bridge(self, name: str, mac: str) -> None:
        """Make a bridge that does not snoop on multicast."""
        address = {_IFLA_ADDRESS: pack_mac(mac)}
        self._add(name, "bridge", {_IFLA_BR_MCAST_SNOOPING: b"\0"}, address)

    def add_vxlan(self, name: str, port: int) -> None:
        """Make a vxlan device that takes each packet's remote host from a tunnel key."""
        data = {
            _IFLA_VXLAN_PORT: port.to_bytes(2, "big"),
            _IFLA_VXLAN_COLLECT_METADATA: b"\1",
            _IFLA_VXLAN_LEARNING: b"\0",
        }
        self._add(name, "vxlan", data)

    def add_ipip(self, name: str) -> None:
        """Make an ipip device that takes each packet's remote host from a tunnel key."""
        self._add(name, "ipip", {_IFLA_IPTUN_COLLECT_METADATA: b""})

    def add_veth(self, name: str, end: str) -> None:
        """Make a pair of devices."""
        peer = bytes(IfInfo()) + netlink.encode({_IFLA_IFNAME: end})
        self._add(name, "veth", {_VETH_INFO_PEER: peer})

    def set_link(
        self,
        link: Link,
        *,
        name: str | None = None,
        mtu: int | None = None,
        mac: str | None = None,
        alias: str | None = None,
        master: int | None = None,
        up: bool | None = None,
    ) -> None:
        """Change what is given of a device, in one request; its state last."""
        values = {
            _IFLA_IFNAME: name,
            _IFLA_MTU: mtu,
            _IFLA_ADDRESS: pack_mac(mac) if mac else None,
            _IFLA_IFALIAS: alias,
            _IFLA_MASTER: master,
        }
        header = IfInfo(
            index=link.index,
            flags=_IFF_UP if up else 0,
            change=0 if up is None else _IFF_UP,
        )
        self._socket.request(
            netlink.RTM_NEWLINK,
            header,
            {kind: value for kind, value in values.items() if value is not None},
        )

    def delete_link(self, link: Link) -> None:
        self._socket.request(netlink.RTM_DELLINK, IfInfo(index=link.index))

    def plugged(self, bridge: Link) -> tuple[str, ...]:
        return tuple(sorted(x.name for x in self.links().values() if x.master == bridge.index))

    def has_filters(self, link: Link) -> bool:
        """Return whether anybody has a filter in a device's clsact qdisc."""
        return any(
            self._socket.request(
                netlink.RTM_GETTFILTER,
                Tc(index=link.index, parent=place),
                modifiers=netlink.NLM_F_DUMP,
            )
            for place in _PLACES
        )

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

    def find_underlay(self, mapping: Mapping, host: IPv4Address) -> Link:
        """Return the device that holds an underlay address.

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
                f"no device of this host has the address {host}; give one that it has in "
                f"{mapping.underlay}, or wait until it is configured"
            )
        device = links[min(holders)[-1]]
        if not device.is_loopback:
            return device
        peer = next(peer for peer in mapping.underlay.hosts() if peer != host)
        leading = links.get(self._find_leading(peer))
        if not leading:
            raise UnderlayError(
                f"{host} is on {device.name} only, and no route leads to {mapping.underlay}"
            )
        return leading

    def find_way_out(self) -> WayOut | None:
        """Return what the best default route tells; None without one."""
        names = {link.index: link.name for link in self.links().values()}
        found = [
            (_read_number(route.get(_RTA_PRIORITY)), names[device], route.get(_RTA_PREFSRC))
            for header, route in self._read_routes()
            if (header.table, header.dst_len) == (_RT_TABLE_MAIN, 0)
            and (device := _read_number(route.get(_RTA_OIF))) in names
        ]
        if not found:
            return None
        _, device, source = min(found, key=lambda each: each[0])
        return WayOut(device, IPv4Address(source) if source else None)

    def find_overlaps(self, overlay: IPv4Network, devices: Collection[str]) -> list[str]:
        """Return what this host has of an overlay on other devices than these, in words.

        A route into the overlay that is not the fan's takes its part of it away, and so does an
        address. A route that is as wide, or an address that a route names already, is told once.
        """
        names = {link.index: link.name for link in self.links().values()}
        found = {
            (IPv4Network((route[_RTA_DST], header.dst_len)), _read_number(route.get(_RTA_OIF)))
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
            (route.get(_RTA_DST), _read_number(route.get(_RTA_OIF)), route.get(_RTA_PREFSRC))
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

    def _add(
        self, name: str, kind: str, data: Attributes, others: Attributes | None = None
    ) -> None:
        info = {_IFLA_INFO_KIND: kind, _IFLA_INFO_DATA: data}
        self._socket.request(
            netlink.RTM_NEWLINK,
            IfInfo(),
            {_IFLA_IFNAME: name, _IFLA_LINKINFO: info, **(others or {})},
            netlink.NLM_F_CREATE | netlink.NLM_F_EXCL,
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
        return _read_number(route.get(_RTA_OIF))


@contextmanager
def open_host() -> Iterator[Host]:
    """Open netlink; what the kernel refuses there becomes a KernelError."""
    try:
        opened = Netlink()
    except OSError as error:
        raise KernelError(f"netlink can't be opened here: {error.strerror}") from error
    try:
        with opened as socket:
            yield Host(socket)
    except NetlinkError as error:
        raise KernelError(f"netlink: {error.strerror}") from error


def silence_ipv6(name: str) -> None:
    """Keep IPv6 off a device; a kernel without IPv6 has it off anyway."""
    switch = _IPV6 / name / "disable_ipv6"
    if switch.exists():
        switch.write_text("1")


def pack_mac(mac: str) -> bytes:
    """Return a link-layer address as the kernel has it."""
    return bytes.fromhex(mac.replace(":", ""))


def _read_link(answer: Answer) -> Link:
    header, attributes = answer
    info = netlink.decode(attributes.get(_IFLA_LINKINFO, b""))
    kind = _read_text(info.get(_IFLA_INFO_KIND))
    data = netlink.decode(info.get(_IFLA_INFO_DATA, b"")) if kind in ("vxlan", "ipip") else {}
    external = data.get(_IFLA_VXLAN_COLLECT_METADATA) == b"\1"
    if kind == "ipip":
        external = _IFLA_IPTUN_COLLECT_METADATA in data  # a flag, whose presence says all
    return Link(
        index=header.index,
        name=_read_text(attributes.get(_IFLA_IFNAME)),
        kind=kind,
        mtu=_read_number(attributes.get(_IFLA_MTU)),
        mac=attributes.get(_IFLA_ADDRESS, b"").hex(":"),
        alias=_read_text(attributes.get(_IFLA_IFALIAS)),
        master=_read_number(attributes.get(_IFLA_MASTER)),
        is_up=bool(header.flags & _IFF_UP),
        is_loopback=bool(header.flags & _IFF_LOOPBACK),
        external=external,
        udp_port=int.from_bytes(
            data.get(_IFLA_VXLAN_PORT, b"") if kind == "vxlan" else b"", "big"
        ),
        rx_errors=struct.unpack_from("=Q", attributes[_IFLA_STATS64], _RX_ERRORS)[0],
        leads_away=_IFLA_LINK_NETNSID in attributes,
    )


def _read_text(value: bytes | None) -> str:
    return (value or b"").rstrip(b"\0").decode(errors="replace")


def _read_number(value: bytes | None) -> int:
    return int.from_bytes(value or b"", sys.byteorder)
