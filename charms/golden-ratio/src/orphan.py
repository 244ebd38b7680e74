"""Gives back what a unit had that is gone from this machine: what hostkit's orphans run."""

from __future__ import annotations

from golden_ratio.workload import GOLDEN_RATIO
from harvest import removal

if __name__ == "__main__":
    removal.run(GOLDEN_RATIO)
