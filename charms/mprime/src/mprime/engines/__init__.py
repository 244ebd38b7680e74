"""The search programs that an image can hold, and how to talk to each."""

from __future__ import annotations

from mprime.engines.mlucas import Mlucas
from mprime.engines.mprime import Mprime
from mprime.engines.protocol import (
    Adapter,
    Composite,
    PrimeNet,
    Progress,
    Results,
    Search,
    Settings,
    Task,
)

ENGINE_LABEL = "mersenne.engine"
VERSION_LABEL = "mersenne.engine.version"
# Of an image that holds a program which talks to PrimeNet for its search program.
PRIMENET_LABEL = "mersenne.primenet"

ADAPTERS: dict[str, Adapter] = {adapter.name: adapter for adapter in (Mlucas(), Mprime())}

__all__ = [
    "ADAPTERS",
    "ENGINE_LABEL",
    "PRIMENET_LABEL",
    "VERSION_LABEL",
    "Adapter",
    "Composite",
    "PrimeNet",
    "Progress",
    "Results",
    "Search",
    "Settings",
    "Task",
]
