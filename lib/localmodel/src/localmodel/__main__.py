"""`python -m localmodel`: looks after the local model's machines as a whole."""

from __future__ import annotations

import sys
from importlib import import_module

from localmodel.cli.registry import localmodel
from localmodel.cli.session import exit_process, guarded


def main() -> int:
    """Run the command `localmodel`."""
    import_module("localmodel.cli.local")  # its verbs register themselves
    return guarded(lambda: localmodel.main(sys.argv[1:]))


if __name__ == "__main__":
    exit_process(main())
