"""``python -m localmodel.juju``: what the shim called ``juju`` runs."""

from __future__ import annotations

import sys

from localmodel.cli.registry import juju
from localmodel.cli.session import guarded, leave


def main() -> int:
    """Run a command line spelled as Juju's."""
    # The verbs register themselves.
    from localmodel.cli import (  # noqa: F401
        actions,
        applications,
        logs,
        machines,
        models,
        operations,
        relations,
        secrets,
        shells,
        status,
        units,
    )

    return guarded(lambda: juju.main(sys.argv[1:]))


if __name__ == "__main__":
    leave(main())
