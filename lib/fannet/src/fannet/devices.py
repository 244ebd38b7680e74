"""The network devices of one fan: its bridge, its port in the bridge, and its tunnel."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from typing import Any

from fannet import processors, programs, shortcuts
from fannet.errors import ConflictError, FanError, KernelError
from fannet.fan import OVERHEAD, Fan, name_end, name_port, name_tunnel
from fannet.links import Link, disable_ipv6, pack_mac
from fannet.machine import Machine
from fannet.marks import TUNNEL_MARK, Mark, find_marks, read_mark
from fannet.netlink import NetlinkError
from fannet.programs import Maps, Numbers, Program
from fannet.refusals import explain
from fannet.steps import Steps
from fannet.tunnels import list_ports

# The tunnel's MTU limits nothing: that of the bridge and its port does. So several fans, whose
# underlay devices may differ, share one.
_TUNNEL_MTU = 65485
# What a new device is called until it takes its name and its mark, both in one step. So a kill
# leaves none that has the one without the other, and what it leaves is known by this name.
_NEW = "fannet-new"
_MAC_PREFIX = b"\x02\xfa"  # locally administered (IEEE 802); the bridge's address follows

Loaded = tuple[Mapping[str, Program], Maps]  # what programs.load gives


def choose_mtu(fan: Fan, device: Link) -> int:
    """Return the largest packet in a fan, in bytes. Raises: FanError, if it does not fit."""
    largest = device.mtu - OVERHEAD[fan.encapsulation]
    if fan.mtu > largest:
        raise FanError(
            f"mtu {fan.mtu} does not fit into {device.name}'s {device.mtu}: "
            f"{fan.encapsulation} leaves {largest}; give that or less, or 0"
        )
    return fan.mtu or largest


def close_tunnels(machine: Machine, steps: Steps, names: Iterable[str]) -> None:
    """Set tunnels down that are up without our programs, and so let anything in."""
    for link in filter(None, map(machine.find, names)):
        if link.alias == TUNNEL_MARK and link.is_up:
            with (
                programs.find(link.index, "ingress") as receiver,
                programs.open_maps(receiver) as maps,
            ):
                if not maps:
                    steps.do(
                        f"set {link.name} down until it has its programs",
                        lambda link=link: machine.set_link(link, up=False),
                    )


def remove_leftovers(machine: Machine, steps: Steps, fans: Iterable[Fan]) -> None:
    """Remove devices of ours that none of this machine's fans uses; only a kill leaves some."""
    used = {name_tunnel(fan) for fan in fans}
    for link in machine.links().values():
        is_unused = link.alias == TUNNEL_MARK and link.name not in used
        if is_unused or link.name == _NEW:
            steps.do(
                f"remove {link.kind} {link.name}, which no fan uses",
                lambda link=link: machine.delete_link(link),
            )


class Devices:
    """Makes, repairs and removes the devices of one fan, and says so to `steps`."""

    def __init__(self, machine: Machine, steps: Steps, fan: Fan):
        self._machine = machine
        self._steps = steps
        self._fan = fan

    def ensure(self, device: Link, mark: Mark, loaded: Loaded) -> None:
        """Make what is missing, and repair what differs; a new tunnel stays down."""
        mtu = choose_mtu(self._fan, device)
        bridge = self._ensure_bridge(mtu, str(mark))
        port = None
        if bridge and self._fan.encapsulation == "vxlan":
            port = self._ensure_port(bridge, mtu, str(mark))
        tunnel = self.ensure_tunnel(device)
        if self._fan.encapsulation == "ipip":
            port = tunnel
        if not bridge or not port or not tunnel:
            return  # only pretended
        self._ensure_programs(bridge, tunnel, port, loaded)
        if self._fan.own_bridge:
            self._ensure_address(bridge)

    def open_tunnel(self) -> None:
        """Set the tunnel up, which is the last step: programs and rules are in place."""
        tunnel = self._machine.find(name_tunnel(self._fan))
        if tunnel:
            self._ensure_link(tunnel)
            if self._fan.encapsulation == "ipip":
                self._ensure_route(tunnel)

    def rename_bridge(self, bridge: str, mark: Mark) -> None:
        """Give the fan's own bridge the name that a new mark has; what is plugged in stays."""
        link = self._machine.find(bridge)
        if not link or not read_mark(link.alias):
            return
        name = self._fan.bridge

        def rename() -> None:
            try:
                self._machine.set_link(link, name=name, alias=str(mark))
            except NetlinkError as error:
                if error.errno != errno.EBUSY:
                    raise
                # Before Linux 6.2, a device must be down for this.
                self._machine.set_link(link, up=False)
                self._machine.set_link(link, name=name, alias=str(mark), up=True)

        self._steps.do(f"rename bridge {bridge} to {name}", rename)

    def give_back_tunnel(self) -> None:
        """Remove the fan from its tunnel, and the tunnel unless other fans use it."""
        fan = self._fan
        shortcuts.prune(
            self._machine, self._machine.links().values(), {int(fan.overlay.network_address)}
        )
        tunnel = self._machine.find(name_tunnel(fan))
        if not tunnel or tunnel.alias != TUNNEL_MARK:
            return
        others = find_marks(self._machine.links().values()).values()
        if any(
            name_tunnel(other.fan) == tunnel.name and other.fan.overlay != fan.overlay
            for other in others
        ):
            self._remove_slot(tunnel)
        else:
            self._delete(tunnel)

    def remove_links(self, *, keep_bridge: bool = False) -> None:
        """Remove port and bridge, whose marks are all that tells of the fan: the last step."""
        fan = self._fan
        port = self._machine.find(name_port(fan)) if fan.encapsulation == "vxlan" else None
        if port and read_mark(port.alias):
            self._delete(port)
        bridge = self._machine.find(fan.bridge)
        if bridge and fan.own_bridge and not keep_bridge and read_mark(bridge.alias):
            self._delete(bridge)

    def _remove_slot(self, tunnel: Link) -> None:
        with (
            programs.find(tunnel.index, "ingress") as program,
            programs.open_maps(program) as maps,
        ):
            slot = maps.find_slot(self._fan.overlay) if maps else None
            if maps and slot:
                self._steps.do("remove the fan from the programs", lambda: maps.write(slot, None))

    def _ensure_bridge(self, mtu: int, alias: str) -> Link | None:
        name = self._fan.bridge
        link = self._machine.find(name)
        if not self._fan.own_bridge:
            return link
        mac = (_MAC_PREFIX + self._fan.gateway.ip.packed).hex(":")
        if not link:
            # A bridge that snoops joins a multicast group itself (RFC 4286) and reports it through
            # the fan, as it does with IPv6; the fan carries neither, and would count drops.
            self._add(f"make bridge {name}", lambda: self._machine.add_bridge(_NEW, mac))
            link = self._find_new()
        return self._ensure_link(link, name=name, mtu=mtu, mac=mac, alias=alias)

    def ensure_tunnel(self, device: Link) -> Link | None:
        """Make the tunnel, which others may share, and leave it down if it is new."""
        fan = self._fan
        name = name_tunnel(fan)
        link = self._machine.find(name)
        vxlan = fan.encapsulation == "vxlan"
        if link and (link.kind, link.external, link.udp_port) != (
            fan.encapsulation,
            True,
            fan.port if vxlan else 0,
        ):
            self._delete(link)
            link = None
        if not link:
            self._add(
                f"make tunnel {name}",
                lambda: (
                    self._machine.add_vxlan(_NEW, fan.port)
                    if vxlan
                    else self._machine.add_ipip(_NEW)
                ),
            )
            link = self._find_new()
        mtu = _TUNNEL_MTU if vxlan else choose_mtu(self._fan, device)
        return self._ensure_link(link, up=False, name=name, mtu=mtu, alias=TUNNEL_MARK)

    def _ensure_port(self, bridge: Link, mtu: int, alias: str) -> Link | None:
        """Make the veth whose one end is in the bridge; the other is there for it to be up."""
        name, end = name_port(self._fan), name_end(self._fan)
        link = self._machine.find(name)
        if not link:
            self._add(f"make port {name}", lambda: self._machine.add_veth(_NEW, end))
            link = self._find_new()
        self._ensure_link(self._find_new(end))
        return self._ensure_link(link, name=name, mtu=mtu, alias=alias, master=bridge.index)

    def _ensure_programs(self, bridge: Link, tunnel: Link, port: Link, loaded: Loaded) -> None:
        """Attach the programs, and tell them the fan's numbers.

        The fans on one tunnel share programs. Where one is missing or of another version, all are
        replaced, each in one step.
        """
        kind = "fan" if self._fan.encapsulation == "vxlan" else "ipip"
        fresh, fresh_maps = loaded
        with (
            programs.find(tunnel.index, "ingress") as receiver,
            programs.find(port.index, "egress") as sender,
            programs.find(port.index, "ingress") as taker,
            programs.open_maps(receiver) as maps,
        ):
            rx, tx = fresh[f"{kind}_rx"], fresh[f"{kind}_tx"]
            take = fresh["fan_in"] if kind == "fan" else rx  # an ipip fan's port is its tunnel
            present = ((receiver, rx), (sender, tx), (taker, take))
            known = maps.read() if maps else {}
            numbers = self._choose_numbers(known, bridge, tunnel, port)
            slot = numbers.slot
            if maps and sender and all(x and x.is_like(own, maps) for x, own in present):
                if known.get(slot) != numbers:
                    self._steps.do(
                        "add the fan to the programs", lambda: maps.write(slot, numbers)
                    )
                if not self._steps.pretend:
                    self._ensure_shortcuts(fresh["fan_direct"], sender, known | {slot: numbers})
                return
            known[slot] = numbers

            def replace() -> None:
                links = self._read_links()
                for place, its in known.items():
                    fresh_maps.write(place, its)
                veths = shortcuts.list_veths(links, known)
                fresh_maps.set_veths(veths)
                fresh_maps.set_ports(list_ports(links.values()))
                programs.attach(rx, tunnel.index, "ingress")
                for its in known.values():
                    if its.port in links:
                        programs.attach(tx, its.port, "egress")
                        programs.attach(take, its.port, "ingress")
                shortcuts.attach(fresh["fan_direct"], [x for x, slot in veths.items() if slot])

            self._steps.do(f"attach the programs to {tunnel.name} and {port.name}", replace)

    def _ensure_shortcuts(
        self, program: Program, sender: Program, fans: dict[int, Numbers]
    ) -> None:
        """Attach the short ways in and out to containers that came since the last `up`."""
        links = self._read_links()
        veths = shortcuts.list_veths(links, fans)
        keep = {device for device, slot in veths.items() if slot}
        overlays = {its.overlay for its in fans.values()}
        shortcuts.prune(self._machine, links.values(), overlays, keep=keep)
        with programs.open_maps(sender) as maps:
            if not maps:
                return
            maps.set_veths(veths)
            missing = shortcuts.find_missing(program, maps, veths)
            if missing:
                with programs.load(maps) as (loaded, _):
                    shortcuts.attach(loaded["fan_direct"], missing)

    def _choose_numbers(
        self, known: dict[int, Numbers], bridge: Link, tunnel: Link, port: Link
    ) -> Numbers:
        fan = self._fan
        free = (slot for slot in programs.SLOTS if slot not in known)
        slot = programs.find_slot(known, fan.overlay) or next(free, None)
        if slot is None:
            raise ConflictError(
                f"{tunnel.name} serves {len(known)} fans already, which is the maximum; "
                "use another port, or take one of them down"
            )
        return Numbers(
            **asdict(fan.mapping.constants(fan.host)),
            vni=fan.vni,
            udp_port=fan.port,
            tunnel=tunnel.index,
            port=port.index,
            mac=pack_mac(bridge.mac),
            slot=slot,
            cpus=self._ensure_processors(port, known.get(slot)),
            bridged=int(not fan.shortcuts),
        )

    def _ensure_processors(self, port: Link, known: Numbers | None) -> int:
        """Return to how many processors the port may hand over, and let it."""
        if self._fan.encapsulation != "vxlan":
            return 0
        found = processors.count(port) if self._steps.pretend else processors.ensure_spread(port)
        if found is None:
            return known.cpus if known else 0
        return found

    def _ensure_address(self, bridge: Link) -> None:
        """Give the bridge the slice's .1; addresses outside of the overlay are not our matter."""
        gateway = self._fan.gateway
        present = self._machine.addresses(bridge)
        stale = {a for a in present if a.ip in self._fan.overlay and a != gateway}
        for address in sorted(stale):
            self._steps.do(
                f"remove address {address} from {bridge.name}",
                lambda address=address: self._machine.delete_address(bridge, address),
            )
        if gateway not in present:
            self._steps.do(
                f"give {bridge.name} the address {gateway}",
                lambda: self._machine.add_address(bridge, gateway),
            )

    def _ensure_route(self, tunnel: Link) -> None:
        overlay, source = self._fan.overlay, self._fan.gateway.ip
        if not self._machine.has_route(tunnel, overlay, source):
            self._steps.do(
                f"route {overlay} through {tunnel.name}",
                lambda: self._machine.set_route(tunnel, overlay, source),
            )

    def _read_links(self) -> dict[int, Link]:
        """Return the host's devices by number."""
        return {link.index: link for link in self._machine.links().values()}

    def _find_new(self, name: str = _NEW) -> Link | None:
        """Return a device of the fan's, which carries no IPv6; none that was only pretended."""
        if self._steps.pretend:
            return None if name == _NEW else self._machine.find(name)
        disable_ipv6(name)
        return self._machine.find(name)

    def _add(self, step: str, action: Callable[[], None]) -> None:
        try:
            self._steps.do(step, action)
        except KernelError as error:
            raise explain(error, self._fan) from error

    def _delete(self, link: Link) -> None:
        self._steps.do(f"remove {link.kind} {link.name}", lambda: self._machine.delete_link(link))

    def _ensure_link(self, link: Link | None, *, up: bool = True, **wanted: Any) -> Link | None:
        """Set what differs of a device's name, mtu, mac, alias and master, and let it be up."""
        if not link:
            return None  # only pretended
        if up:
            wanted["is_up"] = True
        differing = {key: value for key, value in wanted.items() if getattr(link, key) != value}
        if not differing:
            return link
        words = {"alias": "mark it", "master": "plug it in", "is_up": "set it up"}
        what = [
            words.get(key, f"set its {key} to {value}")
            for key, value in differing.items()
            if key != "name"  # which it has already, for whoever reads this
        ]
        name = wanted.get("name", link.name)
        values = {"up" if key == "is_up" else key: value for key, value in differing.items()}
        try:
            self._steps.do(
                f"{name}: {', '.join(what)}", lambda: self._machine.set_link(link, **values)
            )
        except KernelError as error:
            raise explain(error, self._fan) from error
        return self._machine.find(link.name if self._steps.pretend else name)
