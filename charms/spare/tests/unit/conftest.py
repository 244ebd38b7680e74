from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ops
import pytest
from ops import testing

from dockerhost import Image
from lib.harvest.tests.unit import fixtures
from lib.harvest.tests.unit.fake_host import Host
from lib.harvest.tests.unit.fake_kernel import Kernel
from lib.harvest.tests.unit.fixtures import kernel, owners, untraced
from tests.charms.load import load_module

__all__ = ["kernel", "owners", "untraced"]

CHARM = Path(__file__).parents[2]
if str(CHARM / "src") not in sys.path:
    sys.path.append(str(CHARM / "src"))
RELATION = testing.SubordinateRelation("juju-info", remote_app_name="apache2")
IMAGE = "172.30.0.3:5000/jobs/tell:1"
Context = testing.Context[ops.CharmBase]


@pytest.fixture(scope="session")
def charm_type() -> type[ops.CharmBase]:
    """The charm's class, from a module whose name no other charm's has."""
    return load_module(CHARM, "charm").SpareCharm


@pytest.fixture
def context(charm_type: type[ops.CharmBase]) -> Context:
    return testing.Context(charm_type, unit_id=0, principal_unit="apache2/0")


@pytest.fixture
def host(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owners: list[tuple[int, int]],
    kernel: Kernel,
) -> Host:
    """A machine, and a registry with an image."""
    host = Host(
        charm="spare",
        recipes={},
        registry={IMAGE: Image("sha256:1", {})},
        work=tmp_path / "spare",
        certificates=tmp_path / "certs.d",
        agents=tmp_path / "agents",
        kernel=kernel,
    )
    return fixtures.install(host, monkeypatch)


@pytest.fixture
def run(host: Host, context: Context) -> Callable[..., testing.State]:
    """Runs an event of spare/0, with the image and other options, and returns the new state."""

    def run(event: str = "update_status", **options: Any) -> testing.State:
        named = {name.replace("_", "-"): value for name, value in options.items()}
        state = testing.State(config={"image": IMAGE, **named}, relations={RELATION})
        return context.run(getattr(context.on, event)(), state)

    return run
