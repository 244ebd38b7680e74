"""The fan: every container of every host has an address that all others reach, by arithmetic.

What this package exports is for its users, and so are the modules `check` (what is wrong with a
fan), `dhcp` (addresses for what is plugged into it) and `probes` (questions to other hosts). All
other modules are its own.
"""

from __future__ import annotations

from fannet.datapath import down, find_mtu, list_fans, read, up
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
from fannet.fan import Change, Encapsulation, Fan, FanState, name_bridge, name_tunnel
from fannet.mapping import Constants, Mapping, parse_mapping
from fannet.underlay import Underlay, find_underlay

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
    "Underlay",
    "UnderlayError",
    "__version__",
    "down",
    "find_mtu",
    "find_underlay",
    "list_fans",
    "name_bridge",
    "name_tunnel",
    "parse_mapping",
    "read",
    "up",
]
