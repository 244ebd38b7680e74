"""Stands in for the kernel, where fanctl calls the data path."""

from __future__ import annotations

from ipaddress import IPv4Network

from fannet.drops import DROPS
from fannet.errors import ConflictError
from fannet.fan import Change, Fan, FanState


class Kernel:
    """A data path in memory."""

    def __init__(self) -> None:
        self.fans: dict[IPv4Network, Fan] = {}
        self.plugged = ("veth1", "veth2")
        self.refuses = ""
        self.forced = False
        self.overlaps: tuple[str, ...] = ()

    def up(self, fan: Fan, *, force: bool = False) -> Change:
        self.forced = force
        if self.refuses == fan.bridge:
            raise ConflictError(f"{fan.bridge} is someone else's; name another bridge")
        before = self.fans.get(fan.overlay)
        self.fans[fan.overlay] = fan
        if before == fan:
            return Change(plugged=self.plugged)
        moved = (before.slice, fan.slice) if before and before.slice != fan.slice else None
        renamed = before.bridge if before and before.bridge != fan.bridge else ""
        steps = (f"make bridge {fan.bridge}",)
        return Change(steps, moved, self.plugged, renamed, self.overlaps)

    def down(self, overlay: IPv4Network) -> Change:
        fan = self.fans.pop(overlay, None)
        return Change((f"remove bridge {fan.bridge}",) if fan else ())

    def read(self) -> list[FanState]:
        drops = dict.fromkeys(DROPS, 0) | {"rx_source": 3}
        return [
            FanState(fan, fan.mtu or 1450, "eth0", self.plugged, drops, ("its filter is lost",))
            for _, fan in sorted(self.fans.items())
        ]
