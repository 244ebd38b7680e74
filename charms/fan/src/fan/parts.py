"""Who on this machine hands out which part of its slice."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

import fannet
from fan.config import Config, Docker


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
