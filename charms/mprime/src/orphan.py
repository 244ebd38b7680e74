"""Gives back what a unit had that is gone from this machine: what hostkit's orphans run."""

from __future__ import annotations

from harvest import removal
from mprime.search import SEARCH

if __name__ == "__main__":
    removal.run(SEARCH)
