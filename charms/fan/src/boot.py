"""Brings a unit's fan up at boot: what fan.boot's unit of systemd runs."""

from __future__ import annotations

import sys

from fan import host


def main() -> int:
    """Bring up the fan of the unit that is named on the command line; return the exit status."""
    try:
        host.restore(sys.argv[1])
    except host.TROUBLE as error:
        print(host.explain(error), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
