"""Brings fans up and down on this host, and reads them back from the kernel."""

from __future__ import annotations

from ipaddress import IPv4Network

from fannet.fan import Change, Fan, FanState


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
    raise NotImplementedError


def down(overlay: IPv4Network) -> Change:
    """Remove what `up` made for the fan of an overlay; without one, do nothing.

    Raises:
        KernelError: the kernel or nft refused something; the text says what.
    """
    raise NotImplementedError


def read() -> list[FanState]:
    """Return the fans of this host, in the order of their overlays.

    Raises:
        KernelError: the kernel could not be read.
    """
    raise NotImplementedError
