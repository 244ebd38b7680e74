"""Networks of the engine, laid over bridges that somebody else looks after."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import docker.errors
import docker.types

from dockerhost.connection import SOCKET, connect, translating
from dockerhost.containers import SPEC_LABEL, Change
from dockerhost.errors import NetworkError

_BRIDGE = "com.docker.network.bridge"


@dataclass(frozen=True)
class NetworkSpec:
    """A network as it should be: the engine's part of a bridge that is there already.

    Attributes:
        bridge: the bridge's device, which holds the gateway's address.
        subnet: the network that the bridge is on.
        ip_range: the part of it that containers get addresses from.
        reserved: addresses in the range that no container gets.
        mtu: of the containers' devices, in bytes.
        masquerade: whether the engine hides the containers' addresses outside of the subnet.
    """

    name: str
    bridge: str
    subnet: IPv4Network
    ip_range: IPv4Network
    gateway: IPv4Address
    mtu: int
    reserved: tuple[IPv4Address, ...] = ()
    masquerade: bool = True
    labels: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def digest(self) -> str:
        """A SHA-256 in hex over everything above."""
        text = json.dumps(asdict(self), sort_keys=True, separators=(",", ":"), default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def create_options(self) -> dict[str, Any]:
        """Return the arguments of the docker package's `create_network`."""
        pool = docker.types.IPAMPool(
            subnet=str(self.subnet),
            iprange=str(self.ip_range),
            gateway=str(self.gateway),
            aux_addresses={f"reserved-{a}": str(a) for a in self.reserved},
        )
        return {
            "name": self.name,
            "driver": "bridge",
            "ipam": docker.types.IPAMConfig(pool_configs=[pool]),
            "options": {
                f"{_BRIDGE}.name": self.bridge,
                f"{_BRIDGE}.enable_ip_masquerade": str(self.masquerade).lower(),
                "com.docker.network.driver.mtu": str(self.mtu),
            },
            "labels": {**self.labels, SPEC_LABEL: self.digest},
        }


@dataclass(frozen=True)
class Network:
    """A network as the engine has it.

    Attributes:
        bridge: its device; empty if the engine named that itself.
    """

    name: str
    id: str
    bridge: str
    labels: Mapping[str, str]

    @property
    def spec_digest(self) -> str | None:
        """The digest of the specification that it was made from; None if others made it."""
        return self.labels.get(SPEC_LABEL)


class Networks:
    """The networks of the Docker Engine behind this host's socket.

    Every method raises DockerHostError, with the engine's reason in one line.
    """

    def __init__(self, url: str = SOCKET):
        self._api: Any = connect(url)  # the types of its answers are not known

    def ensure(self, spec: NetworkSpec) -> Change:
        """Ensure that a network is as specified; return what was changed.

        Networks do not change: one that differs is removed and made again, for which no
        container may be attached to it.

        Raises:
            NetworkError: the engine refused, containers are attached to one that differs, or the
                name belongs to a network of others.
        """
        there = self.inspect(spec.name)
        if there and there.spec_digest == spec.digest:
            return Change.UNCHANGED
        self.remove(spec.name)
        with translating(NetworkError):
            self._api.create_network(**spec.create_options())
        return Change.REPLACED if there else Change.CREATED

    def remove(self, name: str, *, detach: bool = False) -> bool:
        """Remove a network; return whether there was one.

        Args:
            name: the network's.
            detach: take the containers off it first, which then go on without it.

        Raises:
            NetworkError: the engine refused, containers are attached, or the network is not one
                of ours.
        """
        there = self.inspect(name)
        if there is None:
            return False
        if there.spec_digest is None:
            raise NetworkError(
                f"a Docker network named {name} exists and was not made here; "
                "remove it, or choose another name"
            )
        containers = self.list_containers(there)
        if containers and not detach:
            raise NetworkError(
                f"Docker network {name} must be removed or replaced, and containers are attached "
                f"to it: {', '.join(containers)}; take each off it "
                f"(docker network disconnect --force {name} CONTAINER), "
                "and connect it again afterwards"
            )
        for container in containers:
            with translating(NetworkError):
                try:
                    self._api.disconnect_container_from_network(container, there.id, force=True)
                except docker.errors.NotFound:
                    continue  # it has just gone by itself
        with translating(NetworkError):
            try:
                self._api.remove_network(there.id)
            except docker.errors.NotFound:
                return False
        return True

    def inspect(self, name: str) -> Network | None:
        """Return a network as it is now; None if there is none of that name."""
        with translating(NetworkError):
            # The filter takes parts of names too.
            found = [each for each in self._api.networks(names=[name]) if each["Name"] == name]
            return _read(found[0]) if found else None

    def list(self, label: str) -> tuple[Network, ...]:
        """Return the networks that have a label, such as owner=me, by name."""
        with translating(NetworkError):
            found = [_read(each) for each in self._api.networks(filters={"label": label})]
        return tuple(sorted(found, key=lambda network: network.name))

    def list_containers(self, network: Network) -> tuple[str, ...]:
        """Return the names of the containers that are attached, running or not; sorted."""
        with translating(NetworkError):
            # The network's own answer knows only of containers that run.
            attached = self._api.containers(all=True, filters={"network": network.id})
        return tuple(sorted(each["Names"][0].lstrip("/") for each in attached))

    def has_live_restore(self) -> bool:
        """Return whether containers, and with them the default bridge, outlive a restart."""
        with translating(NetworkError):
            return bool(self._api.info().get("LiveRestoreEnabled"))


def _read(answer: Mapping[str, Any]) -> Network:
    options: dict[str, str] = answer.get("Options") or {}
    return Network(
        name=answer["Name"],
        id=answer["Id"],
        bridge=options.get(f"{_BRIDGE}.name", ""),
        labels=answer.get("Labels") or {},
    )
