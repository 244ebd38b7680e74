"""The short way out: `fan_direct` on the devices that lead into containers.

All works without it. So nothing here is a step that `up` tells of and `show` misses: containers
come and go between two `up`, and a device that has filters of somebody else's stays as it is.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from fannet import programs
from fannet.links import Link
from fannet.machine import Machine
from fannet.marks import read_mark
from fannet.programs import Maps, Numbers, Program


def list_veths(links: Mapping[int, Link], fans: Mapping[int, Numbers]) -> dict[int, int]:
    """Return the devices that lead from a bridge into containers, with the slots of their fans.

    The slot is 0 on a bridge that belongs to no fan, or to somebody else: LXD makes qdiscs of its
    own on its containers' devices, also while they run, and could not with ours there.

    Args:
        links: all devices of the host, by number.
    """
    ports = ((links[its.port], slot) for slot, its in fans.items() if its.port in links)
    bridges = {
        port.master: slot
        for port, slot in ports
        if port.master in links and read_mark(links[port.master].alias)
    }
    return {
        link.index: bridges.get(link.master, 0)
        for link in links.values()
        if link.kind == "veth" and link.master and link.leads_away
    }


def find_missing(program: Program, maps: Maps, veths: Mapping[int, int]) -> list[int]:
    """Return the devices on fans' own bridges that do not have the program with these maps."""
    missing: list[int] = []
    for device in (device for device, slot in veths.items() if slot):
        with programs.find(device, "ingress") as attached:
            if not attached or not attached.is_like(program, maps):
                missing.append(device)
    return missing


def attach(program: Program, devices: Collection[int]) -> None:
    """Attach the program to devices, but for those with a qdisc of somebody else's."""
    for device in devices:
        programs.attach_alone(program, device)


def prune(
    machine: Machine,
    links: Iterable[Link],
    overlays: Collection[int],
    *,
    keep: Collection[int] = (),
) -> None:
    """Detach the programs of some fans, and of fans that are gone, except from some devices."""
    for link in links:
        is_ours = read_mark(link.alias)  # a fan's port has a program of its own
        if link.kind == "veth" and link.index not in keep and not is_ours:
            overlay = _read_overlay(link.index)
            if overlay == 0 or overlay in overlays:
                _detach(machine, link)


def _read_overlay(device: int) -> int | None:
    """Return which fan's program a device has: 0 if that is gone, None if it has none of ours."""
    with programs.find(device, "ingress") as program, programs.open_maps(program) as maps:
        if not maps:
            return None
        numbers = maps.read().get(maps.read_veths().get(device, 0))
        return numbers.overlay if numbers else 0


def _detach(machine: Machine, link: Link) -> None:
    programs.detach(link.index)
    if not machine.has_filters(link):
        programs.remove_qdisc(link.index)
