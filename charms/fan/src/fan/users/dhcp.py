"""Whoever asks for an address on the fan's bridge, such as virtual machines: with dnsmasq."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network

import fannet
from fan.plan import Plan
from fan.system import System
from fannet import dhcp


def check(_: System, wanted: Plan) -> None:
    """Refuse a slice that has no addresses to hand out. Raises fannet.FanError."""
    if wanted.config.dhcp:
        dhcp.plan_range(wanted.fan, wanted.parts.reserve)


def ensure(system: System, wanted: Plan, made: bool, _report: Callable[[str], None]) -> None:
    """Ensure that DHCP is served or not, as the options say. Raises fannet.FannetError."""
    if wanted.config.dhcp:
        system.ensure_dhcp(wanted.fan, wanted.mtu, wanted.parts.reserve, again=made)
    else:
        give_back(system, wanted.fan.overlay)


def give_back(system: System, overlay: IPv4Network) -> None:
    """Stop serving DHCP. Raises fannet.KernelError."""
    system.remove_dhcp(fannet.name_bridge(overlay))


def list_users(_: System, _wanted: Plan) -> tuple[str, ...]:
    """Return nobody: a lease ends by itself, and its holder asks again."""
    return ()
