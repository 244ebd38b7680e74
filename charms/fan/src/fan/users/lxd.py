"""LXD's own bridge as the fan's: its containers get addresses of the fan from LXD's DHCP."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network

from fan.plan import Plan
from fan.system import System


def check(system: System, wanted: Plan) -> None:
    """Refuse a bridge that LXD does not have. Raises LxdError."""
    if wanted.config.lxd:
        system.open_lxd().check(wanted.config.lxd_network)


def ensure(system: System, wanted: Plan, _made: bool, _report: Callable[[str], None]) -> None:
    """Ensure that LXD's bridge is the fan's if the options say so. Raises LxdError."""
    name = wanted.config.lxd_network if wanted.config.lxd else ""
    give_back(system, wanted.fan.overlay, but=name)
    if name:
        system.open_lxd().ensure(name, str(wanted.fan.overlay), _make_keys(wanted))


def give_back(system: System, overlay: IPv4Network, *, but: str = "") -> None:
    """Give all bridges back that are the fan of an overlay, but for one. Raises LxdError."""
    if not system.has_lxd():
        return
    here = system.open_lxd()
    for network in here.list_fans(str(overlay)):
        if network.name != but:
            here.give_back(network.name)


def list_users(system: System, wanted: Plan) -> tuple[str, ...]:
    """Return the names of the instances that are on the fan. Raises LxdError."""
    if not wanted.config.lxd:
        return ()
    fans = system.open_lxd().list_fans(str(wanted.fan.overlay))
    return tuple(user for fan in fans for user in fan.users)


def _make_keys(wanted: Plan) -> dict[str, str]:
    """Return the keys that make LXD's bridge a fan's, and give its instances the others' part."""
    first, last = wanted.parts.others
    return {
        "bridge.mtu": str(wanted.mtu),
        "ipv4.address": str(wanted.fan.gateway),
        "ipv4.dhcp": "true",
        "ipv4.dhcp.ranges": f"{first}-{last}",
        "ipv4.nat": "false",  # the fan does that itself, where it is wanted
    }
