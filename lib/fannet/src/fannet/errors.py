"""What can go wrong; every text is one line that says what was given and what to do."""

from __future__ import annotations


class FannetError(Exception):
    """Something about a fan failed; the text is the reason, in one line."""


class MappingError(FannetError, ValueError):
    """An overlay and an underlay make no fan."""


class AddressError(FannetError, ValueError):
    """An address is outside of the network it should be in, or no host's."""


class FanError(FannetError, ValueError):
    """A fan's settings are wrong or do not go together."""


class ConflictError(FannetError):
    """Something that the fan needs is in use, by another fan or by someone else."""


class UnderlayError(FannetError):
    """This machine does not hold the underlay address that the fan names."""


class KernelError(FannetError):
    """The kernel, or a program that speaks to it, refused what the fan needs."""
