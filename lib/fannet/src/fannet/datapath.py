"""Brings fans up and down on this host, and reads them back from the kernel."""

from __future__ import annotations

import fcntl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path

from fannet import programs, rules
from fannet.devices import Devices, name_port, name_tunnel
from fannet.drops import DROPS
from fannet.errors import ConflictError, FannetError
from fannet.fan import Change, Fan, FanState
from fannet.links import FORWARDING, Host, Link, open_host
from fannet.marks import Mark, find_marks
from fannet.tunnels import tell_ports
from fannet.work import Work

_LOCK = Path("/run/lock/fannet.lock")


def up(fan: Fan) -> Change:
    """Make this host part of a fan, or mend what is not as it should be.

    It changes only what differs. A fan of the same overlay that is there already takes over the
    settings given.

    Raises:
        UnderlayError: no device of this host holds the fan's underlay address.
        ConflictError: a bridge of that name is someone else's, or another fan uses the overlay,
            or the VNI on that port, or someone else the port.
        KernelError: the kernel or nft refused something; the text says what.
    """
    with _lock(), open_host() as host:
        work = Work()
        marks = find_marks(host.links().values())
        previous = marks.pop(fan.overlay, None)
        _check_conflicts(fan, [mark.fan for mark in marks.values()])
        device = host.find_underlay(fan.mapping, fan.host)
        if previous and _needs_other_devices(previous.fan, fan):
            keep = (previous.fan.bridge, previous.fan.own_bridge) == (fan.bridge, fan.own_bridge)
            Devices(host, work, previous.fan).remove(keep_bridge=keep)
        others = [mark.fan for mark in marks.values()]
        known = [*marks.values(), *([previous] if previous else [])]
        _make(host, work, fan, others, known, device)
        moved = None
        if previous and previous.fan.slice != fan.slice:
            moved = (previous.fan.slice, fan.slice)
        return Change(tuple(work.steps), moved, _list_plugged(host, fan))


def down(overlay: IPv4Network) -> Change:
    """Remove what `up` made for the fan of an overlay; without one, do nothing.

    Raises:
        KernelError: the kernel or nft refused something; the text says what.
    """
    with _lock(), open_host() as host:
        work = Work()
        marks = find_marks(host.links().values())
        mark = marks.pop(overlay, None)
        if not mark:
            return Change()
        plugged = _list_plugged(host, mark.fan)
        Devices(host, work, mark.fan).remove()
        tell_ports(host, work)
        _make_rules(work, [mark.fan for mark in marks.values()])
        # Docker, LXD and libvirt route for their bridges, and may rely on what we turned on.
        routed = any(link.kind == "bridge" for link in host.links().values())
        if (
            mark.forwarding_was_off
            and not marks
            and not routed
            and FORWARDING.read_text() != "0\n"
        ):
            work.do("turn ip_forward off", lambda: FORWARDING.write_text("0"))
        return Change(tuple(work.steps), None, plugged)


def read() -> list[FanState]:
    """Return the fans of this host, in the order of their overlays.

    Raises:
        KernelError: the kernel could not be read.
    """
    with open_host() as host:
        marks = find_marks(host.links().values())
        return [_read(host, marks[overlay].fan, marks.values()) for overlay in sorted(marks)]


def _make(
    host: Host,
    work: Work,
    fan: Fan,
    others: list[Fan],
    known: list[Mark],
    device: Link,
) -> None:
    is_off = FORWARDING.read_text() == "0\n"
    mark = Mark(fan, is_off or any(mark.forwarding_was_off for mark in known))
    Devices(host, work, fan).make(device, mark)
    tell_ports(host, work)
    _make_rules(work, [*others, fan])
    if is_off:
        work.do("turn ip_forward on", lambda: FORWARDING.write_text("1"))


def _make_rules(work: Work, fans: list[Fan]) -> None:
    if not rules.is_in_force(fans):
        step = (
            "put the packet filter's rules in force"
            if fans
            else "remove the packet filter's rules"
        )
        work.do(step, lambda: rules.apply_rules(fans))


def _read(host: Host, fan: Fan, marks: Iterable[Mark]) -> FanState:
    problems: list[str] = []
    device = None
    work = Work(pretend=True)
    others = [mark.fan for mark in marks if mark.fan.overlay != fan.overlay]
    try:
        device = host.find_underlay(fan.mapping, fan.host)
        _make(host, work, fan, others, list(marks), device)
    except FannetError as error:
        problems.append(str(error))
    bridge = host.find(fan.bridge)
    tunnel = host.find(name_tunnel(fan))
    return FanState(
        fan=fan,
        mtu=bridge.mtu if bridge else 0,
        device=device.name if device else None,
        plugged=_list_plugged(host, fan),
        drops=_count_drops(fan, tunnel),
        problems=(*problems, *(f"not done: {step}" for step in work.steps)),
    )


def _count_drops(fan: Fan, tunnel: Link | None) -> dict[str, int]:
    """Return a fan's drops, with those on its tunnel that are no particular fan's."""
    counts = dict.fromkeys(DROPS, 0)
    if tunnel:
        with (
            programs.find(tunnel.index, "ingress") as program,
            programs.open_maps(program) as maps,
        ):
            if maps:
                for slot in {0, maps.find_slot(fan.overlay) or 0}:
                    for reason, count in maps.count_drops(slot).items():
                        counts[reason] += count
        counts["rx_tunnel"] = tunnel.rx_errors
    return counts | {"rx_fragment": rules.count_fragments()}


def _list_plugged(host: Host, fan: Fan) -> tuple[str, ...]:
    bridge = host.find(fan.bridge)
    found = host.plugged(bridge) if bridge else ()
    return tuple(name for name in found if name != name_port(fan))


def _needs_other_devices(old: Fan, new: Fan) -> bool:
    """Return whether a fan's devices must go; all other changes are made to them as they are."""
    return (old.bridge, old.own_bridge, old.encapsulation, old.port) != (
        new.bridge,
        new.own_bridge,
        new.encapsulation,
        new.port,
    )


def _check_conflicts(fan: Fan, others: list[Fan]) -> None:
    for other in others:
        if other.overlay.overlaps(fan.overlay):
            raise ConflictError(
                f"overlay {fan.overlay} overlaps the fan {other.overlay} of this host; "
                "take that down first, or give another overlay"
            )
        if other.bridge == fan.bridge:
            raise ConflictError(
                f"bridge {fan.bridge} belongs to the fan {other.overlay}; give another bridge"
            )
        if fan.encapsulation != other.encapsulation or fan.encapsulation != "vxlan":
            continue
        if (other.port, other.vni) == (fan.port, fan.vni):
            raise ConflictError(
                f"vni {fan.vni} on port {fan.port} belongs to the fan {other.overlay}; "
                "give another vni or port, the same on all hosts of the fan"
            )


@contextmanager
def _lock() -> Iterator[None]:
    """Let one process at a time change fans; a kill frees the lock."""
    with _LOCK.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
