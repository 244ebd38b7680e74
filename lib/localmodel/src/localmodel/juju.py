"""`python -m localmodel.juju`: what the shim called `juju` runs."""

from __future__ import annotations

import sys
from importlib import import_module

from localmodel.cli.registry import juju
from localmodel.cli.session import exit_process, guarded

# The modules of `cli` whose verbs are Juju's; each registers them when it is imported.
VERBS = (
    "actions",
    "applications",
    "logs",
    "machines",
    "models",
    "operations",
    "relations",
    "secrets",
    "shells",
    "status",
    "units",
)


def main() -> int:
    """Run a command line spelled as Juju's."""
    load_verbs()
    return guarded(lambda: juju.main(sys.argv[1:]))


def load_verbs() -> None:
    """Import the modules whose verbs register themselves."""
    for module in VERBS:
        import_module(f"localmodel.cli.{module}")


if __name__ == "__main__":
    exit_process(main())
