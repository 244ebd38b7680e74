"""Brings fans up and down on this machine, and reads them back from the kernel."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from ipaddress import IPv4Network
from pathlib import Path

from fannet import programs, rules
from fannet.conflicts import check_devices, check_fans, check_plugged, moves, needs_other_devices
from fannet.devices import Devices, Loaded, choose_mtu, close_tunnels, remove_leftovers
from fannet.drops import DROPS
from fannet.errors import FannetError, UnderlayError
from fannet.fan import Change, Fan, FanState, name_port, name_tunnel
from fannet.links import Link
from fannet.lock import hold_lock
from fannet.machine import FORWARDING, Machine, open_machine
from fannet.marks import Mark, find_marks, read_mark
from fannet.steps import Steps
from fannet.tunnels import ensure_ports


def up(fan: Fan, *, force: bool = False) -> Change:
    """Make this machine part of a fan, or repair what is not as it should be.

    It changes only what differs. A fan of the same overlay that is there already takes over the
    settings given. Where it fails it leaves nothing of a new fan, and a fan that was there as it
    was; but a tunnel that has lost its programs is set down before all else, and stays so.

    Args:
        force: whether a change of the bridge may cut off what is plugged into the old one.

    Raises:
        UnderlayError: no device of this machine holds the fan's underlay address.
        ConflictError: a bridge of that name is someone else's, or another fan uses the overlay,
            or the VNI on that port, or someone else the port; or something would be cut off; or
            another process works on fans for a minute already.
        KernelError: the kernel or nft refused something; the text says what.
    """
    with hold_lock(), open_machine() as machine:
        steps = Steps()
        marks = find_marks(machine.links().values())
        fans = [mark.fan for mark in marks.values()]
        close_tunnels(machine, steps, {name_tunnel(each) for each in (*fans, fan)})
        previous = marks.get(fan.overlay)
        others = [each for each in fans if each.overlay != fan.overlay]
        check_fans(fan, others)
        device = machine.find_device(fan.mapping.underlay, fan.host)
        check_devices(machine, fan, device)
        if previous and not force and moves(previous.fan, fan):
            check_plugged(previous.fan, fan, _list_plugged(machine, previous.fan))
        with programs.load() as loaded:
            remove_leftovers(machine, steps, fans)
            site = _Site(machine, steps, others, list(marks.values()), loaded)
            old = previous.fan if previous else None
            try:
                site.ensure(old, fan, device)
            except BaseException:
                site.give_back(old, fan)
                raise
        return Change(
            tuple(steps.words),
            (old.slice, fan.slice) if old and old.slice != fan.slice else None,
            _list_plugged(machine, fan),
            renamed=old.bridge if old and old.bridge != fan.bridge else "",
            overlaps=tuple(machine.find_overlaps(fan.overlay, {fan.bridge, name_tunnel(fan)})),
        )


def down(overlay: IPv4Network) -> Change:
    """Remove what `up` made for the fan of an overlay; without one, only what a kill left.

    Raises:
        ConflictError: another process works on fans for a minute already.
        KernelError: the kernel or nft refused something; the text says what.
    """
    with hold_lock(), open_machine() as machine:
        steps = Steps()
        marks = find_marks(machine.links().values())
        remove_leftovers(machine, steps, [mark.fan for mark in marks.values()])
        mark = marks.pop(overlay, None)
        others = [mark.fan for mark in marks.values()]
        if not mark:
            if Path(rules.NFT).exists():  # without it there can be no rules
                _ensure_rules(machine, steps, others)
            return Change(tuple(steps.words))
        plugged = _list_plugged(machine, mark.fan)
        devices = Devices(machine, steps, mark.fan)
        devices.give_back_tunnel()
        # Docker, LXD and libvirt route for their bridges, and may rely on what we turned on.
        routed = any(
            link.kind == "bridge" and not read_mark(link.alias)
            for link in machine.links().values()
        )
        if (
            mark.forwarding_was_off
            and not others
            and not routed
            and FORWARDING.read_text() != "0\n"
        ):
            steps.do("turn ip_forward off", lambda: FORWARDING.write_text("0"))
        _ensure_rules(machine, steps, others)
        devices.remove_links()
        ensure_ports(machine, steps)
        return Change(tuple(steps.words), None, plugged)


def list_fans() -> list[Fan]:
    """Return the fans of this machine, in the order of their overlays, as `up` was given them.

    Whether they are as they should be, `read` tells.

    Raises:
        KernelError: the kernel could not be read.
    """
    with open_machine() as machine:
        marks = find_marks(machine.links().values())
    return [marks[overlay].fan for overlay in sorted(marks)]


def read() -> list[FanState]:
    """Return the fans of this machine, in the order of their overlays.

    Raises:
        KernelError: the kernel could not be read.
    """
    with open_machine() as machine:
        marks = find_marks(machine.links().values())
        return [_read(machine, marks[overlay].fan, marks.values()) for overlay in sorted(marks)]


def find_mtu(fan: Fan) -> int:
    """Return the largest packet inside a fan on this machine, in bytes, whether it is up or not.

    Raises:
        UnderlayError: no device of this machine holds the fan's underlay address.
        FanError: the fan's MTU does not fit the underlay device's.
        KernelError: the kernel could not be read.
    """
    with open_machine() as machine:
        return choose_mtu(fan, machine.find_device(fan.mapping.underlay, fan.host))


@dataclass(frozen=True)
class _Site:
    """Where one fan is made: this machine, its other fans, and the programs that are loaded.

    Attributes:
        known: what the marks of all fans tell, of the one that is made as well.
    """

    machine: Machine
    steps: Steps
    others: list[Fan]
    known: list[Mark]
    loaded: Loaded

    def ensure(self, old: Fan | None, new: Fan, device: Link) -> None:
        """Make a fan, in place of the one of its overlay that is there."""
        is_off = FORWARDING.read_text() == "0\n"
        mark = Mark(new, is_off or any(mark.forwarding_was_off for mark in self.known))
        devices = Devices(self.machine, self.steps, new)
        if old and old.own_bridge and new.own_bridge and old.bridge != new.bridge:
            devices.rename_bridge(old.bridge, mark)
        if old and needs_other_devices(old, new):
            devices.ensure_tunnel(device)  # if that is refused, the old one is still there
            self._remove(old, keep_bridge=old.own_bridge and new.own_bridge)
        _ensure_rules(self.machine, self.steps, [*self.others, new])
        devices.ensure(device, mark, self.loaded)
        ensure_ports(self.machine, self.steps)
        devices.open_tunnel()
        if is_off:
            self.steps.do("turn ip_forward on", lambda: FORWARDING.write_text("1"))

    def give_back(self, old: Fan | None, new: Fan) -> None:
        """Undo what `ensure` did before it failed, as far as the kernel allows it."""
        site = replace(self, steps=Steps())
        if old:
            with suppress(FannetError, OSError):
                site.ensure(new, old, self.machine.find_device(old.mapping.underlay, old.host))
            return
        devices = Devices(self.machine, site.steps, new)
        for step in (
            devices.give_back_tunnel,
            lambda: _ensure_rules(self.machine, site.steps, self.others),
            devices.remove_links,
            lambda: ensure_ports(self.machine, site.steps),
            lambda: remove_leftovers(self.machine, site.steps, self.others),
        ):
            with suppress(FannetError, OSError):
                step()

    def _remove(self, fan: Fan, *, keep_bridge: bool) -> None:
        devices = Devices(self.machine, self.steps, fan)
        devices.give_back_tunnel()
        devices.remove_links(keep_bridge=keep_bridge)


def _ensure_rules(machine: Machine, steps: Steps, fans: list[Fan]) -> None:
    devices: dict[Fan, str] = {}
    for fan in fans:
        with suppress(UnderlayError):  # what is wrong with another fan is told for that one
            devices[fan] = machine.find_device(fan.mapping.underlay, fan.host).name
    if not rules.is_in_force(fans, devices):
        step = "apply the packet filter's rules" if fans else "remove the packet filter's rules"
        steps.do(step, lambda: rules.ensure_rules(fans, devices))


def _read(machine: Machine, fan: Fan, marks: Iterable[Mark]) -> FanState:
    problems: list[str] = []
    device = None
    steps = Steps(pretend=True)
    others = [mark.fan for mark in marks if mark.fan.overlay != fan.overlay]
    try:
        close_tunnels(machine, steps, [name_tunnel(fan)])
        device = machine.find_device(fan.mapping.underlay, fan.host)
        check_devices(machine, fan, device)
        # Nothing is done to maps that are not open.
        loaded = programs.describe(), programs.Maps(dict.fromkeys(programs.MAPS, -1))
        _Site(machine, steps, others, list(marks), loaded).ensure(fan, fan, device)
    except FannetError as error:
        problems.append(str(error))
    bridge = machine.find(fan.bridge)
    tunnel = machine.find(name_tunnel(fan))
    return FanState(
        fan=fan,
        mtu=bridge.mtu if bridge else 0,
        device=device.name if device else None,
        plugged=_list_plugged(machine, fan),
        drops=_count_drops(fan, tunnel),
        problems=(*problems, *(f"not done: {step}" for step in steps.words)),
    )


def _count_drops(fan: Fan, tunnel: Link | None) -> dict[str, int]:
    """Return a fan's drops, with those on its tunnel that belong to no particular fan."""
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
    return counts | rules.count_drops()


def _list_plugged(machine: Machine, fan: Fan) -> tuple[str, ...]:
    bridge = machine.find(fan.bridge)
    found = machine.plugged(bridge) if bridge else ()
    return tuple(name for name in found if name != name_port(fan))
