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

from lib.cosagent.tests.unit.fixtures import untraced  # noqa: E402
from lib.harvest.tests.unit import fake_host  # noqa: E402
from lib.harvest.tests.unit.fixtures import (  # noqa: E402
    RELATION,
    MakeHost,
    context,
    kernel,
    make_host,
    owners,
)
from tests.charms.load import load_module  # noqa: E402

__all__ = ["context", "kernel", "make_host", "owners", "untraced"]


@pytest.fixture(scope="session")
def charm_type() -> type[ops.CharmBase]:
    """The charm's class, from a module whose name no other charm's has."""
    return load_module(SOURCE.parent, "charm").GoldenRatioCharm


@pytest.fixture
def host(make_host: MakeHost, monkeypatch: pytest.MonkeyPatch) -> Host:
    recipes, registry = {"golden-ratio": GOLDEN}, {"debian:trixie-slim": fake_host.BASE}
    host = make_host(Host, "golden-ratio", recipes=recipes, registry=registry)
    # The repository's images are where a packed charm has its own.
    monkeypatch.setattr(ops.CharmBase, "charm_dir", SOURCE.parents[2])
    monkeypatch.setattr("golden_ratio.tasks.Engine", host.connect)
    monkeypatch.setattr("golden_ratio.workload.read_memory", lambda: 2 * 10**9)
    return host


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
    # Two have the names that they have in other charms.
    return {"digits": 1000} | {
        name if name.startswith("install_") else name.replace("_", "-"): value
        for name, value in options.items()
    }


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
