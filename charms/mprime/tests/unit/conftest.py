from __future__ import annotations

import os
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

from charms.mprime.tests.unit import fake_kernel  # noqa: E402
from charms.mprime.tests.unit.fake_host import MLUCAS, Host  # noqa: E402
from dockerhost import Cgroups  # noqa: E402
from tests.charms.load import load_module  # noqa: E402

OPS_TRACING = ops.tracing
RELATION = testing.SubordinateRelation("juju-info", remote_app_name="apache2")
IMAGE = "172.30.0.3:5000/mlucas:1"
SEARCH = testing.State(config={"image": IMAGE}, relations={RELATION})
Act = Callable[..., dict[str, Any]]
Hook = Callable[[], Any]


@pytest.fixture(autouse=True)
def untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps ops from tracing, as in a unit that nobody asks for traces."""
    monkeypatch.setitem(sys.modules, "ops_tracing", None)
    monkeypatch.setattr(ops, "tracing", None)


@pytest.fixture(scope="session")
def charm_type() -> type[ops.CharmBase]:
    """The charm's class, from a module whose name no other charm's has."""
    return load_module(SOURCE.parent, "charm").MprimeCharm


@pytest.fixture(autouse=True)
def settled_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets every work list count as whole, however new it is; no program runs that writes it."""
    monkeypatch.setattr("engines.mprime.worklist._WRITES", 0.0)
    monkeypatch.setattr("engines.mprime.worklist._PATIENCE", 0.0)


@pytest.fixture
def context(charm_type: type[ops.CharmBase]) -> testing.Context[ops.CharmBase]:
    return testing.Context(charm_type, unit_id=0, principal_unit="apache2/0")


@pytest.fixture
def run(context: testing.Context[ops.CharmBase]) -> Callable[..., testing.State]:
    """Runs an event of mprime/0, with a configuration."""

    def run(event: str = "update_status", **config: str | float) -> testing.State:
        state = testing.State(config={**config}, relations={RELATION})
        return context.run(getattr(context.on, event)(), state)

    return run


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Stands in for giving files away, which only root can."""
    given: list[tuple[int, int]] = []

    def give(_: object, uid: int, gid: int, **__: object) -> None:
        given.append((uid, gid))

    monkeypatch.setattr(os, "chown", give)
    monkeypatch.setattr(os, "fchown", give)
    return given


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fake_kernel.Kernel:
    kernel = fake_kernel.Kernel(tmp_path / "kernel", Cgroups("cgroupfs", 1))
    return fake_kernel.install(kernel, monkeypatch)


@pytest.fixture
def host(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owners: list[tuple[int, int]],
    kernel: fake_kernel.Kernel,
) -> Host:
    host = Host(
        work=tmp_path / "work",
        certificates=tmp_path / "certs.d",
        agents=tmp_path / "agents",
        kernel=kernel,
    )
    monkeypatch.setattr("hostkit.agents.AGENTS", host.agents)
    monkeypatch.setattr("plan.WORK", host.work)
    monkeypatch.setattr("workdir.WorkDirectory.measure_space", lambda _: host.space)
    monkeypatch.setattr("mprime.Engine", host.connect)
    monkeypatch.setattr("tasks.Engine", host.connect)
    monkeypatch.setattr("dockerhost.install", host.install)
    monkeypatch.setattr("dockerhost.trust.CERTIFICATES", host.certificates)
    monkeypatch.setattr("dockerhost.forget_proxies", lambda: False)
    monkeypatch.setattr("dockerhost.hide_proxies", lambda: False)
    monkeypatch.setattr("image.settle_proxies", lambda *_: "")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("ops.model.Resources.fetch", host.fetch)
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
