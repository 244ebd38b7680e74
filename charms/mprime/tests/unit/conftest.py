from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ops
import pytest
from ops import testing

SOURCE = Path(__file__).parents[2] / "src"
if str(SOURCE) not in sys.path:
    sys.path.append(str(SOURCE))

from charms.mprime.tests.unit.fake_host import MLUCAS, MPRIME, Host  # noqa: E402
from lib.cosagent.tests.unit.fixtures import untraced  # noqa: E402
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

IMAGE = "172.30.0.3:5000/mlucas:1"
SEARCH = testing.State(config={"image": IMAGE}, relations={RELATION})
Act = Callable[..., dict[str, Any]]
Hook = Callable[[], Any]


@pytest.fixture(scope="session")
def charm_type() -> type[ops.CharmBase]:
    """The charm's class, from a module whose name no other charm's has."""
    return load_module(SOURCE.parent, "charm").MprimeCharm


@pytest.fixture(autouse=True)
def settled_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every work list count as whole, however new it is; no program runs that writes it."""
    monkeypatch.setattr("mprime.engines.mprime.worklist._WRITES", 0.0)
    monkeypatch.setattr("mprime.engines.mprime.worklist._PATIENCE", 0.0)


@pytest.fixture
def run(context: testing.Context[ops.CharmBase]) -> Callable[..., testing.State]:
    """Runs an event of mprime/0, with a configuration."""

    def run(event: str = "update_status", **config: str | float) -> testing.State:
        state = testing.State(config={**config}, relations={RELATION})
        return context.run(getattr(context.on, event)(), state)

    return run


@pytest.fixture
def host(make_host: MakeHost, monkeypatch: pytest.MonkeyPatch) -> Host:
    host = make_host(Host, "mprime", recipes={"mlucas": MLUCAS, "mprime": MPRIME})
    monkeypatch.setattr("mprime.tasks.Engine", host.connect)
    return host


@pytest.fixture
def charm_images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts the repository's images where a packed charm has them."""
    images = SOURCE.parents[2] / "images"
    monkeypatch.setattr(ops.CharmBase, "charm_dir", images.parent)


@pytest.fixture
def search(host: Host, context: testing.Context[ops.CharmBase]) -> Host:
    """A machine on which a search runs."""
    host.registry[IMAGE] = MLUCAS
    context.run(context.on.install(), SEARCH)
    host.did.clear()
    return host


@pytest.fixture
def act(context: testing.Context[ops.CharmBase]) -> Act:
    """Runs an action of mprime/0, and returns its results."""

    def act(action: str, **params: Any) -> dict[str, Any]:
        context.run(context.on.action(action, params=params), SEARCH)
        return context.action_results or {}

    return act


@pytest.fixture
def hook(context: testing.Context[ops.CharmBase]) -> Hook:
    """Runs the hook update-status of mprime/0, and returns the status."""

    def hook() -> Any:
        return context.run(context.on.update_status(), SEARCH).unit_status

    return hook
