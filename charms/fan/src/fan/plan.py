"""The fan that options ask for on this machine, and who hands out which part of its slice."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import fannet
from fan.config import Config, Docker
from fan.system import System


class PartsError(Exception):
    """A slice is too small for all who want a part of it."""


@dataclass(frozen=True)
class Parts:
    """The parts of a slice.

    Attributes:
        docker: Docker's: the whole slice, or its lower half if there is someone else.
        reserved: addresses in it that no container gets: the slice's first and last. A fan is one
            link, where these are like any others, but not every system knows that.
        others: the first and the last address that LXD or DHCP hands out.
        reserve: how many addresses lie before those, apart from the slice's first.
    """

    docker: IPv4Network
    reserved: tuple[IPv4Address, ...]
    others: tuple[IPv4Address, IPv4Address]
    reserve: int


def divide(fan: fannet.Fan, config: Config) -> Parts:
    """Return the parts of this machine's slice.

    Raises:
        PartsError: it is too small to be shared.
    """
    whole, docker, reserve = fan.slice, fan.slice, 1
    if config.docker is not Docker.NONE and (config.lxd or config.dhcp):
        if whole.prefixlen > 29:
            raise PartsError(
                f"the slice {whole} has too few addresses for Docker and for "
                f"{'LXD' if config.lxd else 'DHCP'}; leave out one of them, "
                "or give a larger overlay"
            )
        docker = next(whole.subnets())
        reserve = docker.num_addresses - 1
    ends = (whole[0], whole[-1])
    return Parts(
        docker=docker,
        reserved=tuple(address for address in ends if address in docker),
        others=(whole[reserve + 1], whole[-2]),
        reserve=reserve,
    )


@dataclass(frozen=True)
class Plan:
    """A fan that options ask for, on this machine.

    Attributes:
        mtu: the largest packet inside the fan, in bytes.
    """

    config: Config
    fan: fannet.Fan
    parts: Parts
    mtu: int


def make_plan(system: System, config: Config) -> Plan:
    """Return the fan that options ask for, with this machine's address.

    Raises:
        PartsError: the slice is too small for all who want a part of it.
        fannet.UnderlayError: this machine's address is not to be found, perhaps not yet.
        fannet.FannetError: the options make no fan with that address.
    """
    try:
        underlay = _find_underlay(system, config.underlay)
        fan = fannet.Fan(
            mapping=fannet.Mapping(config.overlay, underlay.network),
            host=underlay.host,
            bridge=config.lxd_network if config.lxd else "",
            own_bridge=not config.lxd,
            encapsulation=config.encapsulation,
            vni=config.vni,
            port=config.port,
            mtu=config.mtu,
            masquerade=config.masquerade,
            shortcuts=config.shortcuts,
        )
        mtu = system.find_mtu(fan)
    except (fannet.KernelError, OSError) as error:  # OSError: netlink broke off, without memory
        # A boot waits for this to pass, as for an address.
        raise fannet.UnderlayError(f"this machine's addresses can't be read: {error}") from error
    return Plan(config, fan, divide(fan, config), mtu)


def _find_underlay(system: System, network: IPv4Network | None) -> fannet.Underlay:
    try:
        return system.find_underlay(network)
    except fannet.UnderlayError as error:
        raise fannet.UnderlayError(f"option underlay: {error}") from error
