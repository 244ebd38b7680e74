"""Keeps two processes out of the same work; the kernel gives a lock back even after a kill."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def hold_lock(lock: Path) -> Iterator[None]:
    """Hold a file as a lock while the block runs; make it, and wait for others, first."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
