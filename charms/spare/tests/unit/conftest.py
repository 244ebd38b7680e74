from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ops
import pytest
from ops import testing

from dockerhost import Image
from lib.cosagent.tests.unit.fixtures import untraced
from lib.harvest.tests.unit.fake_host import Host
from lib.harvest.tests.unit.fixtures import (
    RELATION,
    MakeHost,
    context,
    kernel,
    make_host,
    owners,
)
from tests.charms.load import load_module

__all__ = ["context", "kernel", "make_host", "owners", "untraced"]

CHARM = Path(__file__).parents[2]
if str(CHARM / "src") not in sys.path:
    sys.path.append(str(CHARM / "src"))
IMAGE = "172.30.0.3:5000/jobs/tell:1"
Context = testing.Context[ops.CharmBase]


@pytest.fixture(scope="session")
def charm_type() -> type[ops.CharmBase]:
    """The charm's class, from a module whose name no other charm's has."""
    return load_module(CHARM, "charm").SpareCharm


@pytest.fixture
def host(make_host: MakeHost) -> Host:
    """A machine, and a registry with an image."""
    return make_host(Host, "spare", recipes={}, registry={IMAGE: Image("sha256:1", {})})


@pytest.fixture
def run(host: Host, context: Context) -> Callable[..., testing.State]:
    """Runs an event of spare/0, with the image and other options, and returns the new state."""

    def run(event: str = "update_status", **options: Any) -> testing.State:
        # Two have the names that they have in other charms.
        named = {
            n if n.startswith("install_") else n.replace("_", "-"): options[n] for n in options
        }
        state = testing.State(config={"image": IMAGE, **named}, relations={RELATION})
        return context.run(getattr(context.on, event)(), state)

    return run
