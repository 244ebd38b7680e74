"""This machine's network devices, over netlink."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass
from pathlib import Path

from fannet import netlink
from fannet.netlink import Answer, Attributes, IfInfo, Netlink, NetlinkError, Tc, read_number

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


class Links:
    """The devices of this machine, read afresh each time."""

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


def disable_ipv6(name: str) -> None:
    """Keep IPv6 off a device; a kernel without IPv6 has it off anyway."""
    switch = _IPV6 / name / "disable_ipv6"
    if switch.exists() and switch.read_text().strip() != "1":
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
        mtu=read_number(attributes.get(_IFLA_MTU)),
        mac=attributes.get(_IFLA_ADDRESS, b"").hex(":"),
        alias=_read_text(attributes.get(_IFLA_IFALIAS)),
        master=read_number(attributes.get(_IFLA_MASTER)),
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
