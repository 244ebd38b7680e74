"""Keeps Python from looking for garbage where there is none. Import it before all else.

A hook loads some forty thousand objects that it needs to its end. To look among them for garbage,
while they are loaded and once more when the process ends, took each hook a tenth of its time.
"""

from __future__ import annotations

import atexit
import gc

gc.disable()
# What is frozen nobody looks at, not even at the end.
atexit.register(gc.freeze)


def collect_from_here() -> None:
    """Look for garbage from here on, among what comes; an action may run for hours."""
    gc.freeze()
    gc.enable()
