"""Serves the metrics of a unit's search: what cosagent's service of systemd runs."""

from __future__ import annotations

import argparse
import sys

from cosagent.serving import serve
from cpu import Policy
from metrics import SearchCollector


def main() -> int:
    """Serve until a signal ends it; return the exit status."""
    parser = argparse.ArgumentParser(description="Serve the metrics of a unit's search.")
    parser.add_argument("unit", help="such as mprime/0")
    parser.add_argument("policy", type=Policy, help="how its search competes for the processors")
    parser.add_argument("port", type=int, help="where to listen")
    given = parser.parse_args()
    return serve(SearchCollector(given.unit, given.policy), given.port)


if __name__ == "__main__":  # pragma: nocover
    sys.exit(main())
