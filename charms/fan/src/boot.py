"""Brings a unit's fan up at boot: what fan.boot's unit of systemd runs."""

from __future__ import annotations

import sys

from fan import machine
from fan.system import System
from hostkit.text import explain


def main() -> int:
    """Bring up the fan of the unit that is named on the command line; return the exit status."""
    try:
        machine.ensure_after_boot(System(), sys.argv[1])
    except machine.TROUBLE as error:
        print(explain(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
