from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import ops
import pytest
from ops import testing

SOURCE = Path(__file__).parents[2] / "src"
if str(SOURCE) not in sys.path:
    sys.path.append(str(SOURCE))

from charms.fan.tests.unit.fake_host import Host  # noqa: E402
from lib.cosagent.tests.unit.fixtures import untraced  # noqa: E402

__all__ = ["untraced"]

PRINCIPAL = testing.SubordinateRelation("juju-info", remote_app_name="apache2")
Peers = dict[int, dict[str, str]]


@pytest.fixture(scope="session")
def charm_module() -> ModuleType:
    """The charm's module, under a name that no other charm's has."""
    spec = importlib.util.spec_from_file_location("fan_charm", SOURCE / "charm.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def charm_type(charm_module: ModuleType, host: Host) -> type[ops.CharmBase]:
    """The charm's class, on a machine in memory."""
    members = {"__module__": charm_module.__name__, "system": host.system}
    return type("FanCharm", (charm_module.FanCharm,), members)


@pytest.fixture
def context(charm_type: type[ops.CharmBase]) -> testing.Context[ops.CharmBase]:
    return testing.Context(charm_type, unit_id=0, principal_unit="apache2/0")


@pytest.fixture
def run(context: testing.Context[ops.CharmBase]) -> Callable[..., testing.State]:
    """Runs an event of fan/0, with a configuration and with what peers tell, by their numbers."""

    def run(
        event: str = "config_changed",
        peers: Peers | None = None,
        context: testing.Context[ops.CharmBase] = context,
        **config: str | int | bool,
    ) -> testing.State:
        options = {name.replace("_", "-"): value for name, value in config.items()}
        told = testing.PeerRelation("hosts", peers_data={**(peers or {})})
        state = testing.State(config={**options}, relations={PRINCIPAL, told})
        return context.run(getattr(context.on, event)(), state)

    return run


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    """A machine in memory, which is passed to what works on it."""
    host = Host(agents=tmp_path / "agents", units=tmp_path / "units")
    host.add_unit("fan/0")
    (host.units / "multi-user.target.wants").mkdir(parents=True)
    # Where Juju's agents and systemd have their files; hostkit works on real ones there.
    monkeypatch.setattr("hostkit.agents.AGENTS", host.agents)
    monkeypatch.setattr("hostkit.orphans.COPIES", tmp_path / "copies")
    monkeypatch.setattr("hostkit.systemd.UNITS", host.units)
    monkeypatch.setattr("hostkit.systemd.call", host.call_systemd)
    monkeypatch.setattr("fan.launcher.LAUNCHER", tmp_path / "local" / "fanctl")
    monkeypatch.setattr("fan.launcher.PACKAGED", tmp_path / "packaged" / "fanctl")
    return host


@pytest.fixture
def second(charm_type: type[ops.CharmBase], host: Host) -> testing.Context[ops.CharmBase]:
    """Another unit of the same application on the same machine, fan/1."""
    host.add_unit("fan/1")
    return testing.Context(charm_type, unit_id=1, principal_unit="apache2/0")
