"""Gives back what the unit had, once its machine has no agent of it any more."""

from __future__ import annotations

from harvest import removal
from spare.program import Program

if __name__ == "__main__":
    removal.run(Program())
