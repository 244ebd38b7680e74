from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path

import ops
import pytest
from ops import testing

SOURCE = Path(__file__).parents[2] / "src"
if str(SOURCE) not in sys.path:
    sys.path.append(str(SOURCE))

from charms.fan.tests.unit.fake_host import Host  # noqa: E402

PRINCIPAL = testing.SubordinateRelation("juju-info", remote_app_name="apache2")
Peers = dict[int, dict[str, str]]


@pytest.fixture(scope="session")
def charm_type() -> type[ops.CharmBase]:
    """The charm's class, from a module whose name no other charm's has."""
    spec = importlib.util.spec_from_file_location("fan_charm", SOURCE / "charm.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.FanCharm


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
    host = Host(agents=tmp_path / "agents", units=tmp_path / "units")
    host.add_unit("fan/0")
    (host.units / "multi-user.target.wants").mkdir(parents=True)

    for name, stand_in in {
        "dockerhost.install": host.install,
        "hostkit.apt.install": host.install_packages,
        "dockerhost.restore_daemon": host.restore_daemon,
        "dockerhost.settle_daemon": host.settle_daemon,
        "fan.users.docker.Networks": host.connect,
        "fan.machine._PROGRAMS": {},
        "fan.plan.find_host": host.find_host,
        "fan.users.lxd.Lxd": host.open_lxd,
        "fan.users.lxd.is_here": lambda: host.lxd_networks is not None,
        "fannet.check.check_host": lambda _: (),
        "fannet.check.check_peer": host.check_peer,
        "fannet.dhcp.DNSMASQ": tmp_path,
        "fannet.dhcp.start_dhcp": host.start_dhcp,
        "fannet.dhcp.stop_dhcp": host.stop_dhcp,
        "fannet.down": host.down,
        "fannet.probes.ping": host.ping,
        "fannet.read": host.read,
        "fannet.up": host.up,
        "hostkit.agents.AGENTS": host.agents,
        "hostkit.orphans.COPIES": tmp_path / "copies",
        "hostkit.systemd.UNITS": host.units,
        "hostkit.systemd.call": host.call_systemd,
    }.items():
        monkeypatch.setattr(name, stand_in)
    return host


@pytest.fixture
def second(charm_type: type[ops.CharmBase], host: Host) -> testing.Context[ops.CharmBase]:
    """Another unit of the same application on the same machine, fan/1."""
    host.add_unit("fan/1")
    return testing.Context(charm_type, unit_id=1, principal_unit="apache2/0")
