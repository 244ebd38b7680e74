"""Docker's containers on the fan: through a network of their own, or the default bridge."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network

import dockerhost
import fannet
from dockerhost import DaemonError, EngineUnavailableError, NetworkError, Networks, NetworkSpec
from fan.config import Docker
from fan.plan import Plan
from fan.system import System

_LABEL = "fan.overlay"
_DEFAULT = "bridge"  # what the engine calls its default network


def check(system: System, wanted: Plan) -> None:
    """Refuse to take a bridge away from containers that are on it.

    Raises:
        NetworkError: the fan is to have another bridge, and containers use the present one's.
    """
    try:
        networks = system.open_docker()
    except EngineUnavailableError:
        return
    bridge = wanted.fan.bridge
    for network in _list(networks, wanted.fan.overlay):
        if network.bridge != bridge and (containers := networks.list_containers(network)):
            raise NetworkError(
                f"the fan moves from {network.bridge} to {bridge}, and containers are on it: "
                f"{', '.join(containers)}; take each off it "
                f"(docker network disconnect --force {network.name} CONTAINER), "
                "and connect it again afterwards"
            )


def ensure(system: System, wanted: Plan, _: bool, report: Callable[[str], None]) -> None:
    """Ensure that Docker's containers get onto the fan as the options say.

    Raises:
        DockerHostError: the engine refused, or containers are in the way.
    """
    config, fan = wanted.config, wanted.fan
    owner = fannet.name_bridge(fan.overlay)
    if config.docker is Docker.NONE:
        give_back(system, fan.overlay, detach=False)
        return
    system.ensure_engine(report)
    networks = system.open_docker()
    kept = config.docker_network if config.docker is Docker.NETWORK else ""
    # First: the engine lets no two networks overlap.
    for network in _list(networks, fan.overlay):
        if network.name != kept:
            networks.remove(network.name)
    if config.docker is Docker.NETWORK:
        system.give_back_daemon_settings(owner=owner, report=report)
        networks.ensure(_make_spec(wanted))
        return
    system.ensure_daemon_settings(
        {
            "bridge": fan.bridge,
            "fixed-cidr": str(wanted.parts.docker),
            "mtu": wanted.mtu,
            "ip-masq": False,  # the fan does that itself, where it is wanted
            # These are for a bridge that the engine makes itself.
            "bip": None,
            "default-gateway": None,
        },
        owner=owner,
        report=report,
    )
    there = networks.inspect(_DEFAULT)
    if there is None or there.bridge != fan.bridge:
        why = (
            "with live-restore it keeps the old one while containers run; stop them, and restart "
            "the engine"
            if networks.has_live_restore()
            else "something else decides that; see systemctl cat docker.service for a "
            "--bridge or a --config-file"
        )
        raise DaemonError(
            f"the Docker Engine was restarted, and its default bridge is not {fan.bridge}: {why}"
        )


def give_back(system: System, overlay: IPv4Network, *, detach: bool = True) -> None:
    """Give back what `ensure` changed about the engine, if there is one.

    Args:
        overlay: the fan's.
        detach: take containers off its network first, which then go on without it.

    Raises:
        DockerHostError: the engine refused, or containers are in the way.
    """
    try:
        networks = system.open_docker()
    except EngineUnavailableError:
        # There may be none; or it does not start for lack of a bridge.
        system.give_back_daemon_settings(owner=fannet.name_bridge(overlay))
        return
    for network in _list(networks, overlay):
        networks.remove(network.name, detach=detach)
    system.give_back_daemon_settings(owner=fannet.name_bridge(overlay))


def list_users(system: System, wanted: Plan) -> tuple[str, ...]:
    """Return the names of the containers that are on the fan."""
    fan = wanted.fan
    try:
        networks = system.open_docker()
    except EngineUnavailableError:
        return ()
    there = (*_list(networks, fan.overlay), networks.inspect(_DEFAULT))
    ours = [each for each in there if each and each.bridge == fan.bridge]
    return tuple(sorted({name for each in ours for name in networks.list_containers(each)}))


def _list(networks: Networks, overlay: IPv4Network) -> tuple[dockerhost.Network, ...]:
    return networks.list(f"{_LABEL}={overlay}")


def _make_spec(wanted: Plan) -> NetworkSpec:
    fan = wanted.fan
    return NetworkSpec(
        name=wanted.config.docker_network,
        bridge=fan.bridge,
        subnet=fan.gateway.network,
        ip_range=wanted.parts.docker,
        gateway=fan.gateway.ip,
        mtu=wanted.mtu,
        reserved=wanted.parts.reserved,
        masquerade=False,  # the fan does that itself, where it is wanted
        labels={_LABEL: str(fan.overlay)},
    )
