"""What all fans of a host have in common: no tunnel may be inside of another, whoever's it is."""

from __future__ import annotations

from collections.abc import Iterable

from fannet import programs
from fannet.links import Link
from fannet.machine import Machine
from fannet.marks import TUNNEL_MARK, find_marks
from fannet.steps import Steps


def list_ports(links: Iterable[Link]) -> set[int]:
    """Return the UDP ports of a host's fans, from all of its devices."""
    fans = (mark.fan for mark in find_marks(links).values())
    return {fan.port for fan in fans if fan.encapsulation == "vxlan"}


def ensure_ports(machine: Machine, steps: Steps) -> None:
    """Ensure that the programs of every tunnel know the ports of all fans.

    Raises:
        KernelError: the kernel refused it.
    """
    links = machine.links().values()
    ports = list_ports(links)
    for tunnel in (link for link in links if link.alias == TUNNEL_MARK):
        with (
            programs.find(tunnel.index, "ingress") as program,
            programs.open_maps(program) as maps,
        ):
            if maps and maps.read_ports() != ports:
                steps.do(
                    f"give the programs of {tunnel.name} the ports that carry tunnels",
                    lambda maps=maps: maps.set_ports(ports),
                )
