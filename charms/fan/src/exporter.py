"""Serves the metrics of a unit's fan: what cosagent's service of systemd runs."""

from __future__ import annotations

import argparse
import sys

from cosagent.serving import serve
from fan.metrics import FanCollector
from fan.system import System


def main() -> int:
    """Serve until a signal ends it; return the exit status."""
    parser = argparse.ArgumentParser(description="Serve the metrics of a unit's fan.")
    parser.add_argument("unit", help="such as fan/0")
    parser.add_argument("port", type=int, help="where to listen")
    given = parser.parse_args()
    return serve(FanCollector(System(), given.unit), given.port)


if __name__ == "__main__":  # pragma: nocover
    sys.exit(main())
