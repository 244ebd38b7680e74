"""How our devices are marked: in their alias (`ip link show`), where it also says which fan's.

Nothing else is kept: a host's fans are read back from the marks of its bridges and ports.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from fannet.errors import FannetError
from fannet.fan import Fan
from fannet.links import Link
from fannet.mapping import parse_mapping

_SIGN = "fannet"
TUNNEL_MARK = f"{_SIGN} tunnel"


@dataclass(frozen=True)
class Mark:
    """What is written on a fan's bridge and port.

    Attributes:
        forwarding_was_off: ip_forward is on because of fans, and goes off with the last of them.
    """

    fan: Fan
    forwarding_was_off: bool

    def __str__(self) -> str:
        fan = self.fan
        values = {
            "overlay": fan.overlay,
            "underlay": fan.mapping.underlay,
            "host": fan.host,
            "bridge": fan.bridge,
            "own_bridge": int(fan.own_bridge),
            "encapsulation": fan.encapsulation,
            "vni": fan.vni,
            "port": fan.port,
            "mtu": fan.mtu,
            "masquerade": int(fan.masquerade),
            "shortcuts": int(fan.shortcuts),
            "forwarding_was_off": int(self.forwarding_was_off),
        }
        return " ".join([_SIGN, *(f"{name}={value}" for name, value in values.items())])


def read_mark(alias: str) -> Mark | None:
    """Return what a device's alias says; None if it is not a mark of ours."""
    sign, *words = alias.split() or [""]
    if sign != _SIGN:
        return None
    pairs = (word.partition("=") for word in words)
    values = {name: value for name, _, value in pairs}
    try:
        fan = Fan(
            mapping=parse_mapping(values["overlay"], values["underlay"]),
            host=IPv4Address(values["host"]),
            bridge=values["bridge"],
            own_bridge=values["own_bridge"] == "1",
            encapsulation=values["encapsulation"],  # pyright: ignore[reportArgumentType]
            vni=int(values["vni"]),
            port=int(values["port"]),
            mtu=int(values["mtu"]),
            masquerade=values["masquerade"] == "1",
            shortcuts=values.get("shortcuts", "1") == "1",  # older marks have none
        )
        return Mark(fan, values["forwarding_was_off"] == "1")
    except (KeyError, ValueError, FannetError):
        return None  # the tunnel's, or somebody's own text


def find_marks(links: Iterable[Link]) -> dict[IPv4Network, Mark]:
    """Return the marks among devices, by the fans' overlays."""
    marks = filter(None, (read_mark(link.alias) for link in links))
    return {mark.fan.overlay: mark for mark in marks}
