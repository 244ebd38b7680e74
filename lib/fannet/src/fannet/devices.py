"""The network devices of one fan: its bridge, its port in the bridge, and its tunnel."""

from __future__ import annotations

import errno
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from fannet import direct, processors, programs
from fannet.errors import ConflictError, FanError, FannetError, KernelError
from fannet.fan import OVERHEAD, Fan
from fannet.links import Host, Link, pack_mac, silence_ipv6
from fannet.marks import TUNNEL_MARK, Mark, find_marks, read_mark
from fannet.programs import Numbers, Program
from fannet.tunnels import list_ports
from fannet.work import Work

# The tunnel's MTU limits nothing: that of the bridge and its port does. So several fans, whose
# underlay devices may differ, share one.
_TUNNEL_MTU = 65485
_MAC_PREFIX = b"\x02\xfa"  # locally administered (IEEE 802); the bridge's address follows


def name_tunnel(fan: Fan) -> str:
    return f"fan-vx{fan.port}" if fan.encapsulation == "vxlan" else "fan-ipip"


def name_port(fan: Fan) -> str:
    """Return the name of the fan's port in its bridge; an ipip fan has none."""
    return f"fan-{int(fan.overlay.network_address):08x}-p"


def _name_end(fan: Fan) -> str:
    return f"fan-{int(fan.overlay.network_address):08x}-e"


class Devices:
    """Makes, mends and removes the devices of one fan, and says so to `work`."""

    def __init__(self, host: Host, work: Work, fan: Fan):
        self._host = host
        self._work = work
        self._fan = fan

    def make(self, device: Link, mark: Mark) -> None:
        """Make what is missing, and mend what differs.

        Raises:
            ConflictError: a name is taken by a device that is not ours, or the UDP port is in use.
            FanError: the fan's MTU does not fit the underlay device's.
        """
        mtu = self._choose_mtu(device)
        bridge = self._make_bridge(mtu, str(mark))
        tunnel = self._make_tunnel(mtu)
        if not bridge or not tunnel:
            return  # only pretended
        port = tunnel
        if self._fan.encapsulation == "vxlan":
            made = self._make_port(bridge, mtu, str(mark))
            if not made:
                return
            port = made
        self._make_programs(bridge, tunnel, port)
        if self._fan.own_bridge:
            self._make_address(bridge)
        if self._fan.encapsulation == "ipip":
            self._make_route(tunnel)

    def remove(self, *, keep_bridge: bool = False) -> None:
        """Remove what `make` made; the tunnel stays while other fans use it."""
        fan = self._fan
        direct.prune(self._host, self._host.links().values(), {int(fan.overlay.network_address)})
        port = self._host.find(name_port(fan)) if fan.encapsulation == "vxlan" else None
        if port and read_mark(port.alias):
            self._delete(port)
        bridge = self._host.find(fan.bridge)
        if bridge and fan.own_bridge and not keep_bridge and read_mark(bridge.alias):
            self._delete(bridge)
        tunnel = self._host.find(name_tunnel(fan))
        if not tunnel or tunnel.alias != TUNNEL_MARK:
            return
        others = find_marks(self._host.links().values()).values()
        if any(
            name_tunnel(other.fan) == tunnel.name and other.fan.overlay != fan.overlay
            for other in others
        ):
            self._forget(tunnel)
        else:
            self._delete(tunnel)

    def _forget(self, tunnel: Link) -> None:
        with (
            programs.find(tunnel.index, "ingress") as program,
            programs.open_maps(program) as maps,
        ):
            slot = maps.find_slot(self._fan.overlay) if maps else None
            if maps and slot:
                self._work.do("tell the programs to forget it", lambda: maps.write(slot, None))

    def _choose_mtu(self, device: Link) -> int:
        largest = device.mtu - OVERHEAD[self._fan.encapsulation]
        if self._fan.mtu > largest:
            raise FanError(
                f"mtu {self._fan.mtu} does not fit into {device.name}'s {device.mtu}: "
                f"{self._fan.encapsulation} leaves {largest}; give that or less, or 0"
            )
        return self._fan.mtu or largest

    def _make_bridge(self, mtu: int, alias: str) -> Link | None:
        name = self._fan.bridge
        link = self._host.find(name)
        if not self._fan.own_bridge:
            if not link or link.kind != "bridge":
                raise ConflictError(
                    f"there is no bridge {name}; make it first, or let the fan make its own"
                )
            return link
        if link and not read_mark(link.alias):
            raise ConflictError(
                f"a device {name} is there already, and not made by fannet; "
                "remove it, or give the fan's bridge another name"
            )
        mac = (_MAC_PREFIX + self._fan.gateway.ip.packed).hex(":")
        if not link:
            # A bridge that snoops joins a multicast group itself (RFC 4286) and reports it through
            # the fan, as it does with IPv6; the fan carries neither, and would count drops.
            self._add(f"make bridge {name}", lambda: self._host.add_bridge(name, mac))
            link = self._find_new(name)
        return self._mend(link, mtu=mtu, mac=mac, alias=alias)

    def _make_tunnel(self, mtu: int) -> Link | None:
        fan = self._fan
        name = name_tunnel(fan)
        link = self._host.find(name)
        if link and link.alias != TUNNEL_MARK:
            raise ConflictError(
                f"a device {name} is there already, and not made by fannet; remove it"
            )
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
                    self._host.add_vxlan(name, fan.port) if vxlan else self._host.add_ipip(name)
                ),
            )
            link = self._find_new(name)
        try:
            return self._mend(link, mtu=_TUNNEL_MTU if vxlan else mtu, alias=TUNNEL_MARK)
        except ConflictError:
            if link:
                self._delete(link)  # it could not be set up, and is of no use
            raise

    def _make_port(self, bridge: Link, mtu: int, alias: str) -> Link | None:
        """Make the veth whose one end is in the bridge; the other is there for it to be up."""
        name, end = name_port(self._fan), _name_end(self._fan)
        link = self._host.find(name)
        if not link:
            self._add(f"make port {name}", lambda: self._host.add_veth(name, end))
            link = self._find_new(name)
        self._mend(self._find_new(end))
        return self._mend(link, mtu=mtu, alias=alias, master=bridge.index)

    def _make_programs(self, bridge: Link, tunnel: Link, port: Link) -> None:
        """Load the programs, attach them, and tell them the fan's numbers.

        The fans on one tunnel share programs. Where one is missing or of another version, all are
        replaced, each in one step.
        """
        kind = "fan" if self._fan.encapsulation == "vxlan" else "ipip"
        with (
            programs.load() as (fresh, fresh_maps),
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
                    self._work.do(
                        "tell the programs about the fan", lambda: maps.write(slot, numbers)
                    )
                if not self._work.pretend:
                    self._shorten(fresh["fan_direct"], sender, known | {slot: numbers})
                return
            known[slot] = numbers

            def replace() -> None:
                links = self._read_links()
                for place, its in known.items():
                    fresh_maps.write(place, its)
                veths = direct.list_veths(links, known)
                fresh_maps.set_veths(veths)
                fresh_maps.set_ports(list_ports(links.values()))
                programs.attach(rx, tunnel.index, "ingress")
                for its in known.values():
                    if its.port in links:
                        programs.attach(tx, its.port, "egress")
                        programs.attach(take, its.port, "ingress")
                direct.attach(fresh["fan_direct"], [x for x, slot in veths.items() if slot])

            self._work.do(f"attach the programs to {tunnel.name} and {port.name}", replace)

    def _shorten(self, program: Program, sender: Program, fans: dict[int, Numbers]) -> None:
        """Let containers that came since the last `up` have the short ways in and out."""
        links = self._read_links()
        veths = direct.list_veths(links, fans)
        keep = {device for device, slot in veths.items() if slot}
        overlays = {its.overlay for its in fans.values()}
        direct.prune(self._host, links.values(), overlays, keep=keep)
        with programs.open_maps(sender) as maps:
            if not maps:
                return
            maps.set_veths(veths)
            missing = direct.find_missing(program, maps, veths)
            if missing:
                with programs.load(maps) as (loaded, _):
                    direct.attach(loaded["fan_direct"], missing)

    def _choose_numbers(
        self, known: dict[int, Numbers], bridge: Link, tunnel: Link, port: Link
    ) -> Numbers:
        fan = self._fan
        free = (slot for slot in programs.SLOTS if slot not in known)
        slot = programs.find_slot(known, fan.overlay) or next(free, None)
        if slot is None:
            raise ConflictError(
                f"{tunnel.name} serves {len(known)} fans already, which is the most; "
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
            cpus=self._count_processors(port, known.get(slot)),
            bridged=int(not fan.shortcuts),
        )

    def _count_processors(self, port: Link, known: Numbers | None) -> int:
        """Return to how many processors the port may hand over, and let it."""
        if self._fan.encapsulation != "vxlan":
            return 0
        found = processors.count(port) if self._work.pretend else processors.spread(port)
        if found is None:
            return known.cpus if known else 0
        return found

    def _make_address(self, bridge: Link) -> None:
        """Give the bridge the slice's .1; addresses outside of the overlay are not our matter."""
        gateway = self._fan.gateway
        present = self._host.addresses(bridge)
        stale = {a for a in present if a.ip in self._fan.overlay and a != gateway}
        for address in sorted(stale):
            self._work.do(
                f"remove address {address} from {bridge.name}",
                lambda address=address: self._host.delete_address(bridge, address),
            )
        if gateway not in present:
            self._work.do(
                f"give {bridge.name} the address {gateway}",
                lambda: self._host.add_address(bridge, gateway),
            )

    def _make_route(self, tunnel: Link) -> None:
        overlay, source = self._fan.overlay, self._fan.gateway.ip
        if not self._host.has_route(tunnel, overlay, source):
            self._work.do(
                f"route {overlay} through {tunnel.name}",
                lambda: self._host.set_route(tunnel, overlay, source),
            )

    def _read_links(self) -> dict[int, Link]:
        """Return the host's devices by number."""
        return {link.index: link for link in self._host.links().values()}

    def _find_new(self, name: str) -> Link | None:
        """Return a device of the fan's, which carries no IPv6."""
        if not self._work.pretend:
            silence_ipv6(name)
        return self._host.find(name)

    def _add(self, step: str, action: Callable[[], None]) -> None:
        try:
            self._work.do(step, action)
        except KernelError as error:
            raise _explain(error, self._fan) from error

    def _delete(self, link: Link) -> None:
        self._work.do(f"remove {link.kind} {link.name}", lambda: self._host.delete_link(link))

    def _mend(self, link: Link | None, **wanted: Any) -> Link | None:
        """Set what differs of a device's mtu, mac, alias and master, and that it is up."""
        if not link:
            return None  # only pretended
        differing = {name: value for name, value in wanted.items() if getattr(link, name) != value}
        if not differing and link.is_up:
            return link
        words = {"alias": "mark it", "master": "plug it in"}
        what = [words.get(name, f"set its {name} to {value}") for name, value in differing.items()]
        if not link.is_up:
            what.append("set it up")
        try:
            self._work.do(
                f"{link.name}: {', '.join(what)}",
                lambda: self._host.set_link(link, up=not link.is_up, **differing),
            )
        except KernelError as error:
            raise _explain(error, self._fan) from error
        return self._host.find(link.name)


def _explain(error: KernelError, fan: Fan) -> FannetError:
    """Turn the kernel's refusals that have a plain cause into errors that name it."""
    code = getattr(error.__cause__, "errno", None)
    if code in (errno.EADDRINUSE, errno.EEXIST) and fan.encapsulation == "vxlan":
        return ConflictError(
            f"UDP port {fan.port} is in use on this host, such as by another vxlan device; "
            "give the fan another port, the same on all of its hosts"
        )
    if code == errno.EEXIST:
        return ConflictError(
            "another ipip device in external mode is there, and the kernel takes only one; "
            "remove it, or use the encapsulation vxlan"
        )
    if code == errno.EOPNOTSUPP:
        return KernelError(
            f"this kernel has no {fan.encapsulation} devices, or not the module for them; "
            "use another encapsulation"
        )
    return error
