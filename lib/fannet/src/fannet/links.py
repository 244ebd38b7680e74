"""This host's network devices and addresses, over netlink."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from pathlib import Path
from socket import AF_INET
from typing import Any, NamedTuple

from fannet.errors import KernelError, UnderlayError
from fannet.mapping import Mapping
from fannet.netlink import (
    CREATE,
    DUMP,
    EXCLUSIVE,
    REPLACE,
    Attributes,
    Netlink,
    NetlinkError,
    ifaddrmsg,
    ifinfmsg,
    nest,
    rtmsg,
    rtnl,
)

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_IPV6 = Path("/proc/sys/net/ipv6/conf")
_LOOPBACK = 1 << 3  # IFF_LOOPBACK
_UP = 1 << 0  # IFF_UP
# The places of filters in a clsact qdisc: TC_H_CLSACT with TC_H_MIN_INGRESS and TC_H_MIN_EGRESS.
_PLACES = (0xFFFFFFF2, 0xFFFFFFF3)
# Of addresses, <linux/if_addr.h>: IFA_F_SECONDARY, and RT_SCOPE_UNIVERSE.
_SECONDARY, _UNIVERSE = 0x01, 0
# Of routes, <linux/rtnetlink.h>: RT_TABLE_MAIN, RTPROT_STATIC and RTN_UNICAST.
_MAIN_TABLE, _STATIC, _UNICAST = 254, 4, 1


@dataclass(frozen=True)
class Link:
    """A network device.

    Attributes:
        kind: such as bridge or vxlan; empty for hardware.
        mac: its link-layer address, such as 02:fa:fa:00:1c:01; empty for tunnels over IP.
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

    def __init__(self, netlink: Netlink):
        self._netlink = netlink

    def links(self) -> dict[str, Link]:
        found = self._netlink.request(rtnl.RTM_GETLINK, ifinfmsg, DUMP)
        return {link.name: link for link in map(_read_link, found)}

    def find(self, name: str) -> Link | None:
        try:
            (found,) = self._netlink.request(
                rtnl.RTM_GETLINK, ifinfmsg, attributes={"IFLA_IFNAME": name}
            )
        except NetlinkError as error:
            if error.code == errno.ENODEV:
                return None
            raise
        return _read_link(found)

    def add_link(self, name: str, kind: str, data: Attributes, **attributes: Any) -> None:
        """Make a device, of which <linux/if_link.h> has all names.

        Args:
            data: what devices of the kind have besides, such as IFLA_VXLAN_PORT.
            attributes: what all devices have, such as IFLA_ADDRESS.
        """
        info = {"IFLA_INFO_KIND": kind, "IFLA_INFO_DATA": nest(data)}
        attributes |= {"IFLA_IFNAME": name, "IFLA_LINKINFO": nest(info)}
        self._netlink.request(
            rtnl.RTM_NEWLINK, ifinfmsg, CREATE | EXCLUSIVE, attributes=attributes
        )

    def set_link(self, link: Link, *, up: bool = False, **attributes: Any) -> None:
        """Change attributes of a device, such as IFLA_MTU, and set it up if so wanted."""
        flags = _UP if up else 0
        self._netlink.request(
            rtnl.RTM_NEWLINK,
            ifinfmsg,
            attributes=attributes,
            index=link.index,
            flags=flags,
            change=flags,
        )

    def delete_link(self, link: Link) -> None:
        self._netlink.request(rtnl.RTM_DELLINK, ifinfmsg, index=link.index)

    def plugged(self, bridge: Link) -> tuple[str, ...]:
        return tuple(sorted(x.name for x in self.links().values() if x.master == bridge.index))

    def has_filters(self, link: Link) -> bool:
        """Return whether anybody has a filter in a device's clsact qdisc."""
        # Nothing else needs it, and it brings the formats of all kinds of filters along.
        from pyroute2.netlink.rtnl.tcmsg import tcmsg

        return any(
            self._netlink.request(rtnl.RTM_GETTFILTER, tcmsg, DUMP, index=link.index, parent=place)
            for place in _PLACES
        )

    def list_addresses(self) -> list[Address]:
        """Return the IPv4 addresses of all devices."""
        names = {link.index: link.name for link in self.links().values()}
        return [
            Address(
                names[message["index"]],
                IPv4Address(message.get_attr("IFA_LOCAL")),
                message["prefixlen"],
                secondary=bool(message["flags"] & _SECONDARY),
                is_global=message["scope"] == _UNIVERSE,
            )
            for message in self._read_addresses()
            if message["index"] in names
        ]

    def addresses(self, link: Link) -> set[IPv4Interface]:
        """Return the IPv4 addresses of a device."""
        return {
            IPv4Interface((message.get_attr("IFA_LOCAL"), message["prefixlen"]))
            for message in self._read_addresses()
            if message["index"] == link.index
        }

    def add_address(self, link: Link, address: IPv4Interface) -> None:
        self._write_address(rtnl.RTM_NEWADDR, link, address, CREATE | EXCLUSIVE)

    def delete_address(self, link: Link, address: IPv4Interface) -> None:
        self._write_address(rtnl.RTM_DELADDR, link, address)

    def find_underlay(self, mapping: Mapping, host: IPv4Address) -> Link:
        """Return the device that holds an underlay address.

        An address on the loopback device stands for the device that leads to the underlay.

        Raises:
            UnderlayError: there is none.
        """
        holders = {
            message["index"]
            for message in self._read_addresses()
            if message.get_attr("IFA_LOCAL") == str(host)
        }
        if not holders:
            raise UnderlayError(
                f"no device of this host has the address {host}; give one that it has in "
                f"{mapping.underlay}, or wait until it is configured"
            )
        links = {link.index: link for link in self.links().values()}
        device = links[min(holders)]
        if not device.is_loopback:
            return device
        peer = next(peer for peer in mapping.underlay.hosts() if peer != host)
        try:
            (route,) = self._netlink.request(
                rtnl.RTM_GETROUTE,
                rtmsg,
                family=AF_INET,
                dst_len=32,
                attributes={"RTA_DST": str(peer)},
            )
        except NetlinkError as error:
            raise UnderlayError(
                f"{host} is on {device.name} only, and no route leads to {mapping.underlay}"
            ) from error
        return links[route.get_attr("RTA_OIF")]

    def find_way_out(self) -> WayOut | None:
        """Return what the best default route tells; None without one."""
        routes = [
            route
            for route in self._read_routes()
            if (route["table"], route["dst_len"]) == (_MAIN_TABLE, 0) and route.get_attr("RTA_OIF")
        ]
        if not routes:
            return None
        best = min(routes, key=lambda route: route.get_attr("RTA_PRIORITY") or 0)
        names = {link.index: link.name for link in self.links().values()}
        source = best.get_attr("RTA_PREFSRC")
        return WayOut(names[best.get_attr("RTA_OIF")], IPv4Address(source) if source else None)

    def has_route(self, link: Link, network: IPv4Network, source: IPv4Address) -> bool:
        """Return whether a network is routed through a device, with that address as a source."""
        wanted = (str(network[0]), network.prefixlen, link.index, str(source))
        return wanted in (
            (
                route.get_attr("RTA_DST"),
                route["dst_len"],
                route.get_attr("RTA_OIF"),
                route.get_attr("RTA_PREFSRC"),
            )
            for route in self._read_routes()
        )

    def set_route(self, link: Link, network: IPv4Network, source: IPv4Address) -> None:
        """Route a network through a device, with that address as a source."""
        self._netlink.request(
            rtnl.RTM_NEWROUTE,
            rtmsg,
            CREATE | REPLACE,
            family=AF_INET,
            dst_len=network.prefixlen,
            table=_MAIN_TABLE,
            proto=_STATIC,
            type=_UNICAST,
            attributes={
                "RTA_DST": str(network[0]),
                "RTA_OIF": link.index,
                "RTA_PREFSRC": str(source),
            },
        )

    def _read_addresses(self) -> list[Any]:
        return self._netlink.request(rtnl.RTM_GETADDR, ifaddrmsg, DUMP, family=AF_INET)

    def _read_routes(self) -> list[Any]:
        return self._netlink.request(rtnl.RTM_GETROUTE, rtmsg, DUMP, family=AF_INET)

    def _write_address(
        self, kind: int, link: Link, address: IPv4Interface, flags: int = 0
    ) -> None:
        self._netlink.request(
            kind,
            ifaddrmsg,
            flags,
            family=AF_INET,
            index=link.index,
            prefixlen=address.network.prefixlen,
            attributes={"IFA_LOCAL": str(address.ip), "IFA_ADDRESS": str(address.ip)},
        )


@contextmanager
def open_host() -> Iterator[Host]:
    """Open netlink; what the kernel refuses there becomes a KernelError."""
    try:
        with Netlink() as netlink:
            yield Host(netlink)
    except NetlinkError as error:
        raise KernelError(f"netlink: {os.strerror(error.code)}") from error


def silence_ipv6(name: str) -> None:
    """Keep IPv6 off a device; a kernel without IPv6 has it off anyway."""
    switch = _IPV6 / name / "disable_ipv6"
    if switch.exists():
        switch.write_text("1")


class Work:
    """Takes note of what is to be done, and does it, unless it is only to be told.

    Attributes:
        steps: what was done, or would be, in words.
    """

    def __init__(self, *, pretend: bool = False):
        self.pretend = pretend
        self.steps: list[str] = []

    def do(self, step: str, action: Callable[[], Any]) -> None:
        """Do one thing.

        Raises:
            KernelError: the kernel refused it.
        """
        self.steps.append(step)
        if self.pretend:
            return
        try:
            action()
        except NetlinkError as error:
            raise KernelError(f"could not {step}: {os.strerror(error.code)}") from error


def _read_link(message: Any) -> Link:
    info = message.get_attr("IFLA_LINKINFO")
    kind = (info.get_attr("IFLA_INFO_KIND") if info else None) or ""
    external: Any = False
    udp_port = 0
    if info and kind in ("vxlan", "ipip"):
        data = info.get_attr("IFLA_INFO_DATA")
        external = data.get_attr(f"IFLA_{kind.upper()}_COLLECT_METADATA")
        udp_port = data.get_attr("IFLA_VXLAN_PORT") or 0
    return Link(
        index=message["index"],
        name=message.get_attr("IFLA_IFNAME"),
        kind=kind,
        mtu=message.get_attr("IFLA_MTU"),
        mac=message.get_attr("IFLA_ADDRESS") or "",
        alias=message.get_attr("IFLA_IFALIAS") or "",
        master=message.get_attr("IFLA_MASTER") or 0,
        is_up=bool(message["flags"] & _UP),
        is_loopback=bool(message["flags"] & _LOOPBACK),
        external=bool(external),
        udp_port=udp_port,
        rx_errors=message.get_attr("IFLA_STATS64")["rx_errors"],
        leads_away=message.get_attr("IFLA_LINK_NETNSID") is not None,
    )
