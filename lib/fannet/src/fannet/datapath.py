"""Brings fans up and down on this host, and reads them back from the kernel."""

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
from fannet.host import FORWARDING, Host, open_host
from fannet.links import Link
from fannet.lock import hold_lock
from fannet.marks import Mark, find_marks, read_mark
from fannet.steps import Work
from fannet.tunnels import tell_ports


def up(fan: Fan, *, force: bool = False) -> Change:
    """Make this host part of a fan, or repair what is not as it should be.

    It changes only what differs. A fan of the same overlay that is there already takes over the
    settings given. Where it fails it leaves nothing of a new fan, and a fan that was there as it
    was; but a tunnel that has lost its programs is set down before all else, and stays so.

    Args:
        force: whether a change of the bridge may cut off what is plugged into the old one.

    Raises:
        UnderlayError: no device of this host holds the fan's underlay address.
        ConflictError: a bridge of that name is someone else's, or another fan uses the overlay,
            or the VNI on that port, or someone else the port; or something would be cut off; or
            another process works on fans for a minute already.
        KernelError: the kernel or nft refused something; the text says what.
    """
    with hold_lock(), open_host() as host:
        work = Work()
        marks = find_marks(host.links().values())
        fans = [mark.fan for mark in marks.values()]
        close_tunnels(host, work, {name_tunnel(each) for each in (*fans, fan)})
        previous = marks.get(fan.overlay)
        others = [each for each in fans if each.overlay != fan.overlay]
        check_fans(fan, others)
        device = host.find_device(fan.mapping.underlay, fan.host)
        check_devices(host, fan, device)
        if previous and not force and moves(previous.fan, fan):
            check_plugged(previous.fan, fan, _list_plugged(host, previous.fan))
        with programs.load() as loaded:
            remove_leftovers(host, work, fans)
            site = _Site(host, work, others, list(marks.values()), loaded)
            old = previous.fan if previous else None
            try:
                site.change(old, fan, device)
            except BaseException:
                site.undo(old, fan)
                raise
        return Change(
            tuple(work.steps),
            (old.slice, fan.slice) if old and old.slice != fan.slice else None,
            _list_plugged(host, fan),
            renamed=old.bridge if old and old.bridge != fan.bridge else "",
            overlaps=tuple(host.find_overlaps(fan.overlay, {fan.bridge, name_tunnel(fan)})),
        )


def down(overlay: IPv4Network) -> Change:
    """Remove what `up` made for the fan of an overlay; without one, only what a kill left.

    Raises:
        ConflictError: another process works on fans for a minute already.
        KernelError: the kernel or nft refused something; the text says what.
    """
    with hold_lock(), open_host() as host:
        work = Work()
        marks = find_marks(host.links().values())
        remove_leftovers(host, work, [mark.fan for mark in marks.values()])
        mark = marks.pop(overlay, None)
        others = [mark.fan for mark in marks.values()]
        if not mark:
            if Path(rules.NFT).exists():  # without it there can be no rules
                _ensure_rules(host, work, others)
            return Change(tuple(work.steps))
        plugged = _list_plugged(host, mark.fan)
        devices = Devices(host, work, mark.fan)
        devices.leave_tunnel()
        # Docker, LXD and libvirt route for their bridges, and may rely on what we turned on.
        routed = any(
            link.kind == "bridge" and not read_mark(link.alias) for link in host.links().values()
        )
        if (
            mark.forwarding_was_off
            and not others
            and not routed
            and FORWARDING.read_text() != "0\n"
        ):
            work.do("turn ip_forward off", lambda: FORWARDING.write_text("0"))
        _ensure_rules(host, work, others)
        devices.remove_links()
        tell_ports(host, work)
        return Change(tuple(work.steps), None, plugged)


def read() -> list[FanState]:
    """Return the fans of this host, in the order of their overlays.

    Raises:
        KernelError: the kernel could not be read.
    """
    with open_host() as host:
        marks = find_marks(host.links().values())
        return [_read(host, marks[overlay].fan, marks.values()) for overlay in sorted(marks)]


def find_mtu(fan: Fan) -> int:
    """Return the largest packet inside a fan on this host, in bytes, whether it is up or not.

    Raises:
        UnderlayError: no device of this host holds the fan's underlay address.
        FanError: the fan's MTU does not fit the underlay device's.
        KernelError: the kernel could not be read.
    """
    with open_host() as host:
        return choose_mtu(fan, host.find_device(fan.mapping.underlay, fan.host))


@dataclass(frozen=True)
class _Site:
    """Where one fan is made: this host, its other fans, and the programs that are loaded.

    Attributes:
        known: what the marks of all fans tell, of the one that is made as well.
    """

    host: Host
    work: Work
    others: list[Fan]
    known: list[Mark]
    loaded: Loaded

    def change(self, old: Fan | None, new: Fan, device: Link) -> None:
        """Make a fan, in place of the one of its overlay that is there."""
        is_off = FORWARDING.read_text() == "0\n"
        mark = Mark(new, is_off or any(mark.forwarding_was_off for mark in self.known))
        devices = Devices(self.host, self.work, new)
        if old and old.own_bridge and new.own_bridge and old.bridge != new.bridge:
            devices.rename_bridge(old.bridge, mark)
        if old and needs_other_devices(old, new):
            devices.ensure_tunnel(device)  # if that is refused, the old one is still there
            self._remove(old, keep_bridge=old.own_bridge and new.own_bridge)
        _ensure_rules(self.host, self.work, [*self.others, new])
        devices.ensure(device, mark, self.loaded)
        tell_ports(self.host, self.work)
        devices.open()
        if is_off:
            self.work.do("turn ip_forward on", lambda: FORWARDING.write_text("1"))

    def undo(self, old: Fan | None, new: Fan) -> None:
        """Take back what `change` did before it failed, as far as the kernel lets us."""
        site = replace(self, work=Work())
        if old:
            with suppress(FannetError, OSError):
                site.change(new, old, self.host.find_device(old.mapping.underlay, old.host))
            return
        devices = Devices(self.host, site.work, new)
        for step in (
            devices.leave_tunnel,
            lambda: _ensure_rules(self.host, site.work, self.others),
            devices.remove_links,
            lambda: tell_ports(self.host, site.work),
            lambda: remove_leftovers(self.host, site.work, self.others),
        ):
            with suppress(FannetError, OSError):
                step()

    def _remove(self, fan: Fan, *, keep_bridge: bool) -> None:
        devices = Devices(self.host, self.work, fan)
        devices.leave_tunnel()
        devices.remove_links(keep_bridge=keep_bridge)


def _ensure_rules(host: Host, work: Work, fans: list[Fan]) -> None:
    devices: dict[Fan, str] = {}
    for fan in fans:
        with suppress(UnderlayError):  # what is wrong with another fan is told for that one
            devices[fan] = host.find_device(fan.mapping.underlay, fan.host).name
    if not rules.is_in_force(fans, devices):
        step = (
            "put the packet filter's rules in force"
            if fans
            else "remove the packet filter's rules"
        )
        work.do(step, lambda: rules.apply_rules(fans, devices))


def _read(host: Host, fan: Fan, marks: Iterable[Mark]) -> FanState:
    problems: list[str] = []
    device = None
    work = Work(pretend=True)
    others = [mark.fan for mark in marks if mark.fan.overlay != fan.overlay]
    try:
        close_tunnels(host, work, [name_tunnel(fan)])
        device = host.find_device(fan.mapping.underlay, fan.host)
        check_devices(host, fan, device)
        with programs.load() as loaded:
            _Site(host, work, others, list(marks), loaded).change(fan, fan, device)
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
    return counts | rules.count_drops()


def _list_plugged(host: Host, fan: Fan) -> tuple[str, ...]:
    bridge = host.find(fan.bridge)
    found = host.plugged(bridge) if bridge else ()
    return tuple(name for name in found if name != name_port(fan))
