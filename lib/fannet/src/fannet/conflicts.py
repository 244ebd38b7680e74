"""What stands against a fan on this machine, and is refused before anything is changed."""

from __future__ import annotations

import errno
import socket
from collections.abc import Sequence

from fannet.devices import choose_mtu
from fannet.errors import ConflictError, KernelError
from fannet.fan import Fan, name_tunnel
from fannet.links import Link
from fannet.machine import Machine
from fannet.marks import TUNNEL_MARK, read_mark
from fannet.programs import SLOTS
from fannet.refusals import refuse_port


def needs_other_devices(old: Fan, new: Fan) -> bool:
    """Return whether a fan's devices must go; all other changes are made to them as they are."""
    return moves(old, new) or (old.encapsulation, old.port) != (new.encapsulation, new.port)


def moves(old: Fan, new: Fan) -> bool:
    """Return whether a fan goes to another bridge; one of its own is only renamed."""
    is_own = old.own_bridge and new.own_bridge
    return not is_own and (old.own_bridge, old.bridge) != (new.own_bridge, new.bridge)


def check_plugged(old: Fan, new: Fan, plugged: Sequence[str]) -> None:
    """Refuse to leave behind what is plugged into a fan's bridge. Raises: ConflictError."""
    if plugged:
        raise ConflictError(
            f"the fan {old.overlay} would go from {old.bridge} to {new.bridge} and leave behind "
            f"what is plugged in there: {', '.join(plugged)}; plug it into {new.bridge} "
            "afterwards, and allow the change with --force"
        )


def check_fans(fan: Fan, others: Sequence[Fan]) -> None:
    """Refuse what another fan of this machine has. Raises: ConflictError."""
    for other in others:
        if other.overlay.overlaps(fan.overlay):
            raise ConflictError(
                f"overlay {fan.overlay} overlaps the fan {other.overlay} of this machine; "
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
    tunnel = name_tunnel(fan)
    if sum(name_tunnel(other) == tunnel for other in others) >= len(SLOTS):
        raise ConflictError(
            f"{tunnel} serves {len(SLOTS)} fans already, which is the maximum; "
            "use another port, or take one of them down"
        )


def check_devices(machine: Machine, fan: Fan, device: Link) -> None:
    """Refuse what the host's devices do not allow.

    Args:
        device: that of the underlay.

    Raises:
        ConflictError: a name is taken by a device that is not ours, or the UDP port is in use.
        FanError: the fan's MTU does not fit the underlay device's.
    """
    choose_mtu(fan, device)
    bridge = machine.find(fan.bridge)
    if not fan.own_bridge:
        if not bridge or bridge.kind != "bridge":
            raise ConflictError(
                f"there is no bridge {fan.bridge}; make it first, or leave out the flag into, "
                "for a bridge that the fan makes"
            )
    elif bridge and not read_mark(bridge.alias):
        raise ConflictError(
            f"there is a device {bridge.name} already, which fannet did not make; "
            "remove it, or give the fan's bridge another name"
        )
    tunnel = machine.find(name_tunnel(fan))
    if tunnel and tunnel.alias != TUNNEL_MARK:
        raise ConflictError(
            f"there is a device {tunnel.name} already, which fannet did not make; remove it"
        )
    if fan.encapsulation == "vxlan" and not (tunnel and tunnel.is_up):
        _check_port(fan.port)


def _check_port(port: int) -> None:
    """Refuse a UDP port that somebody has, such as another vxlan device that is up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind(("", port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise refuse_port(port) from None
            raise KernelError(f"UDP port {port} can't be taken: {error.strerror}") from error
