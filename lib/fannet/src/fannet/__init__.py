"""The fan: every container of every host has an address that all others reach, by arithmetic."""

from __future__ import annotations

from fannet.datapath import down, read, up
from fannet.drops import DROPS
from fannet.errors import (
    AddressError,
    ConflictError,
    FanError,
    FannetError,
    KernelError,
    MappingError,
    UnderlayError,
)
from fannet.fan import Change, Encapsulation, Fan, FanState, name_bridge
from fannet.mapping import Constants, Mapping, parse_mapping

__version__ = "0.1.0"  # also where the package itself has it from

__all__ = [
    "DROPS",
    "AddressError",
    "Change",
    "ConflictError",
    "Constants",
    "Encapsulation",
    "Fan",
    "FanError",
    "FanState",
    "FannetError",
    "KernelError",
    "Mapping",
    "MappingError",
    "UnderlayError",
    "down",
    "name_bridge",
    "parse_mapping",
    "read",
    "up",
]
