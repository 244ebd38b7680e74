"""Docker's containers on the fan: through a network of their own, or the default bridge."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network

import dockerhost
import fannet
from dockerhost import DaemonError, EngineUnavailableError, NetworkError, Networks, NetworkSpec
from fan.config import Config, Docker
from fan.parts import Parts

_LABEL = "fan.overlay"
_DEFAULT = "bridge"  # what the engine calls its default network


def settle(
    config: Config,
    fan: fannet.Fan,
    mtu: int,
    parts: Parts,
    report: Callable[[str], None],
) -> None:
    """Let Docker's containers get onto the fan the way that the options say.

    Raises:
        DockerHostError: the engine refused, or containers are in the way.
    """
    owner = fannet.name_bridge(fan.overlay)
    if config.docker is Docker.NONE:
        clear(fan.overlay, detach=False)
        return
    dockerhost.install(report)
    networks = Networks()
    wanted = config.docker_network if config.docker is Docker.NETWORK else ""
    # First: the engine lets no two networks overlap.
    for network in _list(networks, fan.overlay):
        if network.name != wanted:
            networks.remove(network.name)
    if config.docker is Docker.NETWORK:
        dockerhost.restore_daemon(owner=owner, report=report)
        networks.apply(_specify(config.docker_network, fan, mtu, parts))
        return
    dockerhost.settle_daemon(
        {
            "bridge": fan.bridge,
            "fixed-cidr": str(parts.docker),
            "mtu": mtu,
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
            if networks.outlive_engine()
            else "something else decides that; see systemctl cat docker.service for a "
            "--bridge or a --config-file"
        )
        raise DaemonError(
            f"the Docker Engine was restarted, and its default bridge is not {fan.bridge}: {why}"
        )


def clear(overlay: IPv4Network, *, detach: bool = True) -> None:
    """Give back what `settle` changed about the engine, if there is one.

    Args:
        overlay: the fan's.
        detach: take containers off its network first, which then go on without it.

    Raises:
        DockerHostError: the engine refused, or containers are in the way.
    """
    try:
        networks = Networks()
    except EngineUnavailableError:
        # There may be none; or it does not start for lack of a bridge.
        dockerhost.restore_daemon(owner=fannet.name_bridge(overlay))
        return
    for network in _list(networks, overlay):
        networks.remove(network.name, detach=detach)
    dockerhost.restore_daemon(owner=fannet.name_bridge(overlay))


def check_bridge(fan: fannet.Fan) -> None:
    """Refuse to take a bridge away from containers that are on it.

    Raises:
        NetworkError: the fan is to have another bridge, and containers use the present one's.
    """
    try:
        networks = Networks()
    except EngineUnavailableError:
        return
    for network in _list(networks, fan.overlay):
        if network.containers and network.bridge != fan.bridge:
            raise NetworkError(
                f"the fan moves from {network.bridge} to {fan.bridge}, and containers are on it: "
                f"{', '.join(network.containers)}; take each off it "
                f"(docker network disconnect --force {network.name} CONTAINER), "
                "and connect it again afterwards"
            )


def list_users(fan: fannet.Fan) -> tuple[str, ...]:
    """Return the names of the containers that are on the fan."""
    try:
        networks = Networks()
    except EngineUnavailableError:
        return ()
    there = (*_list(networks, fan.overlay), networks.inspect(_DEFAULT))
    ours = [each for each in there if each and each.bridge == fan.bridge]
    return tuple(sorted({name for each in ours for name in each.containers}))


def _list(networks: Networks, overlay: IPv4Network) -> tuple[dockerhost.Network, ...]:
    return networks.list(f"{_LABEL}={overlay}")


def _specify(name: str, fan: fannet.Fan, mtu: int, parts: Parts) -> NetworkSpec:
    return NetworkSpec(
        name=name,
        bridge=fan.bridge,
        subnet=fan.gateway.network,
        ip_range=parts.docker,
        gateway=fan.gateway.ip,
        mtu=mtu,
        reserved=parts.reserved,
        masquerade=False,  # the fan does that itself, where it is wanted
        labels={_LABEL: str(fan.overlay)},
    )
