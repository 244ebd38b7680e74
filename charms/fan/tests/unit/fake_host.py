"""A machine for the charm's tests: its kernel, Docker Engine and LXD in memory, its files real."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any, cast

import dockerhost
import fannet
from dockerhost import Change, Network, NetworkError, NetworkSpec
from dockerhost.containers import SPEC_LABEL
from fan import lxd
from fan.system import System
from fannet import check, probes
from hostkit.sources import PackageSource


@dataclass
class Host:
    """Stands in for a machine.

    Attributes:
        address: this machine's, on the underlay; None if it has none.
        mtu: of the device that has the address; 0 if it has just gone.
        fault: what netlink raises.
        missing: the packages that are not installed.
        refusal: why the kernel refuses a fan.
        silent: the gateways of the machines that do not answer.
        attached: the containers on Docker's networks, by the network's name.
        live_restore: whether the engine keeps its old default bridge.
        own_bridge: the default bridge that an option of the engine's unit gives it.
        instances: LXD's containers.
        broken_service: one of systemd's that does not start.
        sources: where packages come from, by unit.
        did: every change, in order.
    """

    agents: Path
    units: Path
    address: str | None = "172.30.0.28"
    mtu: int = 1500
    fault: Exception | None = None
    missing: list[str] = field(default_factory=list)
    refusal: str = ""
    silent: set[str] = field(default_factory=set)
    fans: dict[IPv4Network, fannet.Fan] = field(default_factory=dict)
    installed: bool = True
    networks: dict[str, Network] = field(default_factory=dict)
    specs: dict[str, NetworkSpec] = field(default_factory=dict)
    attached: dict[str, tuple[str, ...]] = field(default_factory=dict)
    daemon: dict[str, dict[str, Any]] = field(default_factory=dict)
    live_restore: bool = False
    own_bridge: str = ""
    lxd_networks: dict[str, dict[str, str]] | None = None
    instances: tuple[str, ...] = ()
    broken_service: str = ""
    dhcp: dict[str, int] = field(default_factory=dict)
    drops: dict[str, int] = field(default_factory=dict)
    active: set[str] = field(default_factory=set)
    sources: dict[str, tuple[PackageSource, ...]] = field(default_factory=dict)
    did: list[str] = field(default_factory=list)

    @property
    def system(self) -> System:
        """This machine as what works on it takes it."""
        return cast(System, self)

    def add_unit(self, unit: str) -> None:
        """Let a unit live on this machine."""
        (self.agents / f"unit-{unit.replace('/', '-')}").mkdir(parents=True, exist_ok=True)

    def remove_unit(self, unit: str) -> None:
        folder = self.agents / f"unit-{unit.replace('/', '-')}"
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()

    # The kernel.

    def find_underlay(self, asked: IPv4Network | None) -> fannet.Underlay:
        if self.fault:
            raise self.fault
        if self.address is None:
            raise fannet.UnderlayError("this machine has no default route to find its address by")
        address = IPv4Address(self.address)
        if asked and address not in asked:
            raise fannet.UnderlayError(f"this machine has no address in {asked}")
        return fannet.Underlay(address, asked or IPv4Network(f"{address}/16", strict=False))

    def find_mtu(self, fan: fannet.Fan) -> int:
        if str(fan.host) != self.address or not self.mtu:
            raise fannet.UnderlayError(f"no device of this machine has the address {fan.host}")
        return fan.mtu or self.mtu - 50

    def up(self, fan: fannet.Fan, *, force: bool = False) -> fannet.Change:
        if self.refusal:
            raise fannet.ConflictError(self.refusal)
        there = self.fans.get(fan.overlay)
        if there == fan:
            return fannet.Change()
        self.did.append(f"up {fan.bridge} {fan.slice}")
        self.fans[fan.overlay] = fan
        moved = (there.slice, fan.slice) if there and there.slice != fan.slice else None
        return fannet.Change(("made it",), moved)

    def down(self, overlay: IPv4Network) -> fannet.Change:
        if self.fans.pop(overlay, None):
            self.did.append(f"down {overlay}")
        return fannet.Change()

    def list_fans(self) -> list[fannet.Fan]:
        return [fan for _, fan in sorted(self.fans.items())]

    def read(self) -> list[fannet.FanState]:
        return [
            fannet.FanState(
                fan=fan,
                mtu=fan.mtu or self.mtu - 50,
                device="eth0",
                plugged=("veth1",),
                drops={**dict.fromkeys(fannet.DROPS, 0), **self.drops},
                problems=(),
            )
            for fan in self.list_fans()
        ]

    def ping(
        self, target: IPv4Address, source: IPv4Address, *, count: int, deadline: int
    ) -> probes.Ping:
        assert count == 1
        assert source in {fan.gateway.ip for fan in self.fans.values()}
        return probes.Ping(0, None) if str(target) in self.silent else probes.Ping(1, 0.2)

    def check_host(self, _: fannet.FanState) -> tuple[check.Finding, ...]:
        return ()

    def check_peer(self, state: fannet.FanState, way: check.Way) -> check.PeerReport:
        if str(way.target) in self.silent:
            fault = check.Finding("problem", f"{way.host} refuses UDP port 8472", "allow it")
            return check.PeerReport(*way, False, None, None, (fault,))
        return check.PeerReport(*way, True, 0.21, state.mtu, ())

    def ensure_dhcp(
        self, fan: fannet.Fan, mtu: int, host_reserve: int, *, again: bool
    ) -> list[str]:
        assert mtu == (fan.mtu or self.mtu - 50)
        self.dhcp[fan.bridge] = host_reserve
        return []

    def remove_dhcp(self, bridge: str) -> list[str]:
        self.dhcp.pop(bridge, None)
        return []

    # systemd.

    def call_systemd(self, *words: str) -> str:
        wanted = self.units / "multi-user.target.wants" / words[-1]
        if self.broken_service and words == ("start", self.broken_service):
            raise OSError(f"systemctl start {self.broken_service}: Job failed")
        if words[0] == "enable":
            wanted.touch()
        if words[0] == "disable":
            wanted.unlink()
        if words[0] in ("start", "stop") and not words[-1].endswith("-orphan.path"):
            self.did.append(" ".join(words))
        if words[0] == "start":
            self.active.add(words[-1])
        if words[0] == "stop" or "--now" in words:
            self.active.discard(words[-1])
        if words[0] != "show":
            return ""
        active = "active" if words[-1] in self.active else "inactive"
        enabled = "enabled" if wanted.exists() else "disabled"
        return f"NeedDaemonReload=no\nActiveState={active}\nUnitFileState={enabled}\n"

    # Docker.

    def ensure_engine(self, report: Callable[[str], None]) -> bool:
        if self.installed:
            return False
        report("installing docker.io")
        self.did.append("install docker.io")
        self.installed = True
        return True

    def list_missing(self, _: Mapping[str, str]) -> list[str]:
        return self.missing

    def ensure_sources(
        self, unit: str, sources: tuple[PackageSource, ...], report: Callable[[str], None]
    ) -> None:
        if self.sources.get(unit, ()) != sources:
            report("reading the sources of packages")
            self.did.append(f"sources {', '.join(source.uri for source in sources)}")
            self.sources[unit] = sources

    def remove_sources(self, unit: str) -> None:
        self.sources.pop(unit, None)

    def ensure_packages(self, *packages: str) -> None:
        self.did.append(f"install {' '.join(packages)}")

    def open_docker(self) -> Host:
        if not self.installed:
            raise dockerhost.EngineUnavailableError("the Docker Engine does not answer")
        return self

    def ensure(self, spec: NetworkSpec) -> Change:
        there = self.inspect(spec.name)
        if there and there.spec_digest == spec.digest:
            return Change.UNCHANGED
        self.remove(spec.name)
        self.did.append(f"network {spec.name} {spec.ip_range}")
        self.specs[spec.name] = spec
        labels = {**spec.labels, SPEC_LABEL: spec.digest}
        self.networks[spec.name] = Network(spec.name, spec.name, spec.bridge, labels)
        return Change.CREATED

    def remove(self, name: str, *, detach: bool = False) -> bool:
        there = self.inspect(name)
        if there is None:
            return False
        if there.spec_digest is None:
            raise NetworkError(f"a Docker network named {name} exists and was not made here")
        if (containers := self.list_containers(there)) and not detach:
            raise NetworkError(f"containers are attached to it: {', '.join(containers)}")
        self.did.append(f"remove network {name}")
        del self.networks[name]
        return True

    def inspect(self, name: str) -> Network | None:
        if name == "bridge":
            bridges = [each["bridge"] for each in self.daemon.values()]
            bridge = "docker0" if self.live_restore or not bridges else bridges[0]
            bridge = self.own_bridge or bridge
            return Network("bridge", "0", bridge, {})
        return self.networks.get(name)

    def list_containers(self, network: Network) -> tuple[str, ...]:
        return self.attached.get(network.name, ())

    def has_live_restore(self) -> bool:
        return self.live_restore

    def list(self, label: str) -> tuple[Network, ...]:
        key, _, value = label.partition("=")
        found = (self.inspect(name) for name in sorted(self.networks))
        return tuple(each for each in found if each and each.labels.get(key) == value)

    def ensure_daemon_settings(
        self, settings: Mapping[str, Any], *, owner: str, report: Callable[[str], None]
    ) -> bool:
        if self.daemon.get(owner) == settings:
            return False
        report("restarting the Docker Engine, for its settings")
        self.did.append("restart the engine")
        self.daemon[owner] = dict(settings)
        return True

    def give_back_daemon_settings(
        self, *, owner: str, report: Callable[[str], None] | None = None
    ) -> bool:
        if self.daemon.pop(owner, None) is None:
            return False
        self.did.append("restart the engine")
        return True

    # LXD, on its socket.

    def has_lxd(self) -> bool:
        return self.lxd_networks is not None

    def open_lxd(self) -> FakeLxd:
        if self.lxd_networks is None:
            raise lxd.LxdError("LXD is not on this machine")
        return FakeLxd(self, self.lxd_networks)


@dataclass
class FakeLxd:
    """Stands in for fan.lxd.Lxd."""

    host: Host
    there: dict[str, dict[str, str]]

    def check(self, name: str) -> None:
        if name not in self.there:
            raise lxd.LxdError(f"LXD has no network {name}")

    def ensure(self, name: str, overlay: str, wanted: Mapping[str, str]) -> bool:
        self.check(name)
        marked = {**wanted, "overlay": overlay}
        if self.there[name].items() >= marked.items():
            return False
        self.host.did.append(f"lxd {name} {wanted['ipv4.address']}")
        self.there[name].setdefault("before", self.there[name].get("ipv4.address", ""))
        self.there[name].update(marked)
        return True

    def give_back(self, name: str) -> bool:
        self.host.did.append(f"lxd {name} as before")
        self.there[name] = {"ipv4.address": self.there[name]["before"]}
        return True

    def list_fans(self, overlay: str) -> list[lxd.Network]:
        return [
            lxd.Network(name, config, overlay, self.host.instances)
            for name, config in self.there.items()
            if config.get("overlay") == overlay
        ]
