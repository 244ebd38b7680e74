"""Gives back what a unit had that is gone from this machine: what hostkit's orphans run."""

from __future__ import annotations

import sys
from ipaddress import IPv4Network

from fan.removal import give_back

if __name__ == "__main__":
    sys.exit(give_back(sys.argv[1], IPv4Network(sys.argv[2])))
