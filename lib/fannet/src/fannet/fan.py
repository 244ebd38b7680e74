"""What a fan is to this machine: what is wanted, what is there, and what changed."""

from __future__ import annotations

import re
from collections.abc import Mapping as Dict
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Literal, get_args

from fannet.errors import FanError
from fannet.mapping import Mapping

Encapsulation = Literal["vxlan", "ipip"]
# What encapsulation adds to a packet, in bytes: IPv4 20, UDP 8, VXLAN 8 (RFC 7348), Ethernet 14.
OVERHEAD = {"vxlan": 50, "ipip": 20}
VXLAN_PORT = 8472  # Ubuntu's fan, and Linux before the port was assigned
_LEAST_MTU = 576  # bytes; RFC 791: what every host must take
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,14}")  # a network device's name


@dataclass(frozen=True)
class Fan:
    """A fan as this machine should have it.

    Attributes:
        host: the underlay address of this machine; it decides the slice.
        bridge: the bridge that containers are plugged into; empty: named after the overlay,
            such as fan-250.
        own_bridge: False if the bridge is someone else's, such as LXD's lxdbr0. Then it must be
            there, and nothing about it is changed but that the fan's port is plugged in.
            It should hold `gateway`.
        vni: the network's number in VXLAN headers, 1 to 16777215; 0: the overlay's first three
            bytes, as on Ubuntu (250.0.0.0 gives 0xFA0000). ipip has none.
        port: VXLAN's UDP port. ipip has none.
        mtu: the largest packet inside the fan, in bytes; 0: the underlay device's less OVERHEAD.
        masquerade: whether packets that leave the overlay take this host's address.
        shortcuts: whether vxlan's packets whose way is known go past the bridge and iptables.

    Raises:
        FanError: a setting is out of range, or two do not go together.
        AddressError: host is not the address of a host in the underlay.
    """

    mapping: Mapping
    host: IPv4Address
    bridge: str = ""
    own_bridge: bool = True
    encapsulation: Encapsulation = "vxlan"
    vni: int = 0
    port: int = VXLAN_PORT
    mtu: int = 0
    masquerade: bool = True
    shortcuts: bool = True

    def __post_init__(self) -> None:
        self.mapping.slice_of(self.host)
        if self.encapsulation not in get_args(Encapsulation):
            known = " and ".join(get_args(Encapsulation))
            raise FanError(f"encapsulation {self.encapsulation!r} is unknown; there are {known}")
        # The fields that stand for a default take its value here, so that equal fans compare so.
        if not self.bridge:
            object.__setattr__(self, "bridge", name_bridge(self.mapping.overlay))
        if self.vni == 0:
            object.__setattr__(self, "vni", int(self.mapping.overlay.network_address) >> 8)
        if not _NAME.fullmatch(self.bridge):
            raise FanError(
                f"bridge {self.bridge!r} is not a device name; "
                "use up to 15 letters, digits, dots, hyphens and underscores"
            )
        if not 1 <= self.vni < 1 << 24:
            raise FanError(f"vni {self.vni} is out of range; it must be from 1 to 16777215")
        if not 1 <= self.port < 1 << 16:
            raise FanError(f"port {self.port} is out of range; it must be from 1 to 65535")
        if self.mtu and not _LEAST_MTU <= self.mtu < 1 << 16:
            raise FanError(
                f"mtu {self.mtu} is out of range; it must be from {_LEAST_MTU} to 65535, "
                "or 0 for what the underlay leaves"
            )
        if self.encapsulation == "ipip" and not self.own_bridge:
            raise FanError(
                f"an ipip fan routes, and cannot be plugged into {self.bridge}; "
                "use the encapsulation vxlan with a bridge that is not the fan's own"
            )

    @property
    def overlay(self) -> IPv4Network:
        return self.mapping.overlay

    @property
    def slice(self) -> IPv4Network:
        """The part of the overlay that this host owns."""
        return self.mapping.slice_of(self.host)

    @property
    def gateway(self) -> IPv4Interface:
        """The bridge's address: the slice's .1.

        A vxlan fan is one link, so its prefix is the overlay's; an ipip fan's is the slice's.
        """
        network = self.overlay if self.encapsulation == "vxlan" else self.slice
        return IPv4Interface((self.slice[1], network.prefixlen))


@dataclass(frozen=True)
class FanState:
    """A fan as it is on this machine, read from the kernel alone.

    Attributes:
        fan: what `up` was given; `fan.mtu` is 0 if it follows the underlay device's.
        mtu: what packets inside the fan can be as large as at this moment, in bytes.
        device: the device that holds the underlay address; None if none does any more.
        plugged: the devices in the bridge, apart from the fan's own port; sorted.
        drops: packets dropped since the programs were loaded, by reason; see fannet.DROPS.
        problems: what is not as `up` would leave it; one line each, empty if all is well.
    """

    fan: Fan
    mtu: int
    device: str | None
    plugged: tuple[str, ...]
    drops: Dict[str, int]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class Change:
    """What `up` or `down` did.

    Attributes:
        steps: what was changed, in words, in order; empty if nothing had to be.
        moved: the old and the new slice, if the underlay address had changed. Containers that
            keep addresses of the old slice reach nobody: those behind `plugged` must restart.
        plugged: the devices in the bridge, apart from the fan's own port; sorted.
        renamed: what the fan's bridge was before, if it is another now; or empty.
        overlaps: what this machine reaches elsewhere although the overlay holds it, in words.
    """

    steps: tuple[str, ...] = ()
    moved: tuple[IPv4Network, IPv4Network] | None = None
    plugged: tuple[str, ...] = ()
    renamed: str = ""
    overlaps: tuple[str, ...] = ()


def name_bridge(overlay: IPv4Network) -> str:
    """Return the name of an overlay's bridge: `fan-250` for 250.0.0.0/8, as on Ubuntu.

    It holds as many of the address's numbers as the prefix covers in whole or in part.
    """
    numbers = str(overlay.network_address).split(".")[: (overlay.prefixlen + 7) // 8]
    name = "-".join(["fan", *numbers])
    # Four numbers can be too long for a device's name, which has 15 characters at most.
    return name if len(name) <= 15 else f"fan-{int(overlay.network_address):08x}"


def name_tunnel(fan: Fan) -> str:
    """Return the name of the device that fans of this encapsulation and port share."""
    return f"fan-vx{fan.port}" if fan.encapsulation == "vxlan" else "fan-ipip"


def name_port(fan: Fan) -> str:
    """Return the name of the fan's port in its bridge; an ipip fan has none."""
    return f"fan-{int(fan.overlay.network_address):08x}-p"


def name_end(fan: Fan) -> str:
    """Return the name of the other end of the fan's port, which is plugged in nowhere."""
    return f"fan-{int(fan.overlay.network_address):08x}-e"
