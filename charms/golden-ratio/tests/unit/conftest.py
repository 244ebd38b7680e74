from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ops
import pytest
from ops import testing

SOURCE = Path(__file__).parents[2] / "src"
for folder in (SOURCE, Path(__file__).parent):
    if str(folder) not in sys.path:
        sys.path.append(str(folder))

from golden_host import GOLDEN, Host  # noqa: E402

from lib.harvest.tests.unit import fake_host, fixtures  # noqa: E402
from lib.harvest.tests.unit.fake_kernel import Kernel  # noqa: E402
from lib.harvest.tests.unit.fixtures import kernel, owners, untraced  # noqa: E402
from tests.charms.load import load_module  # noqa: E402

__all__ = ["kernel", "owners", "untraced"]

RELATION = testing.SubordinateRelation("juju-info", remote_app_name="apache2")


@pytest.fixture(scope="session")
def charm_type() -> type[ops.CharmBase]:
    """The charm's class, from a module whose name no other charm's has."""
    return load_module(SOURCE.parent, "charm").GoldenRatioCharm


@pytest.fixture
def context(charm_type: type[ops.CharmBase]) -> testing.Context[ops.CharmBase]:
    return testing.Context(charm_type, unit_id=0, principal_unit="apache2/0")


@pytest.fixture
def host(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owners: list[tuple[int, int]],
    kernel: Kernel,
) -> Host:
    host = Host(
        charm="golden-ratio",
        recipes={"golden-ratio": GOLDEN},
        registry={"debian:trixie-slim": fake_host.BASE},
        work=tmp_path / "golden-ratio",
        certificates=tmp_path / "certs.d",
        agents=tmp_path / "agents",
        kernel=kernel,
    )
    # The repository's images are where a packed charm has its own.
    monkeypatch.setattr(ops.CharmBase, "charm_dir", SOURCE.parents[2])
    monkeypatch.setattr("golden_ratio.tasks.Engine", host.connect)
    monkeypatch.setattr("golden_ratio.workload.read_memory", lambda: 2 * 10**9)
    return fixtures.install(host, monkeypatch)


Hook = Callable[..., Any]


@pytest.fixture
def hook(context: testing.Context[ops.CharmBase]) -> Hook:
    """Runs a hook of golden-ratio/0 with options, and returns the status."""

    def hook(event: str = "update_status", **options: Any) -> Any:
        state = testing.State(config=choose_config(options), relations={RELATION})
        return context.run(getattr(context.on, event)(), state).unit_status

    return hook


@pytest.fixture
def act(context: testing.Context[ops.CharmBase]) -> Hook:
    """Runs an action of golden-ratio/0 with parameters, and returns its results."""

    def act(action: str, *, options: dict[str, Any] | None = None, **params: Any) -> Any:
        state = testing.State(config=choose_config(options or {}), relations={RELATION})
        context.run(context.on.action(action, params=params), state)
        return context.action_results or {}

    return act


def choose_config(options: dict[str, Any]) -> dict[str, Any]:
    """Return options as Juju has them: a thousand digits, unless they say otherwise."""
    return {"digits": 1000} | {name.replace("_", "-"): value for name, value in options.items()}


@pytest.fixture
def working(host: Host, hook: Hook) -> Host:
    """A machine on which a thousand digits are being computed."""
    hook("install")
    host.did.clear()
    return host


@pytest.fixture
def finished(working: Host) -> Host:
    """A machine on which a thousand digits are there, verified."""
    working.finish()
    return working
