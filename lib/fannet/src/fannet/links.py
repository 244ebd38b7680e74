"""This host's network devices and addresses, over netlink."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

from fannet.errors import KernelError, UnderlayError
from fannet.mapping import Mapping
from fannet.netlink import IPRoute, NetlinkError

FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_IPV6 = Path("/proc/sys/net/ipv6/conf")
_LOOPBACK = 1 << 3  # IFF_LOOPBACK
_UP = 1 << 0  # IFF_UP


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


class Host:
    """The devices and addresses of this host, read afresh each time."""

    def __init__(self, netlink: IPRoute):
        self.netlink = netlink

    def links(self) -> dict[str, Link]:
        return {link.name: link for link in map(_read_link, self.netlink.get_links())}

    def find(self, name: str) -> Link | None:
        try:
            return next(map(_read_link, self.netlink.link("get", ifname=name)), None)
        except NetlinkError as error:
            if error.code == errno.ENODEV:
                return None
            raise

    def find_underlay(self, mapping: Mapping, host: IPv4Address) -> Link:
        """Return the device that holds an underlay address.

        An address on the loopback device stands for the device that leads to the underlay.

        Raises:
            UnderlayError: there is none.
        """
        holders = {a["index"] for a in self._addresses() if a.get_attr("IFA_LOCAL") == str(host)}
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
            route = next(iter(self.netlink.route("get", dst=str(peer))))
        except NetlinkError as error:
            raise UnderlayError(
                f"{host} is on {device.name} only, and no route leads to {mapping.underlay}"
            ) from error
        return links[route.get_attr("RTA_OIF")]

    def addresses(self, link: Link) -> set[IPv4Interface]:
        """Return the IPv4 addresses of a device."""
        return {
            IPv4Interface((a.get_attr("IFA_LOCAL"), a["prefixlen"]))
            for a in self._addresses()
            if a["index"] == link.index
        }

    def plugged(self, bridge: Link) -> tuple[str, ...]:
        return tuple(sorted(x.name for x in self.links().values() if x.master == bridge.index))

    def _addresses(self) -> list[Any]:
        return list(self.netlink.get_addr(family=2))


@contextmanager
def open_host() -> Iterator[Host]:
    """Open netlink; what the kernel refuses there becomes a KernelError."""
    try:
        with IPRoute() as netlink:
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
