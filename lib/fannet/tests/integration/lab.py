"""Hosts and containers as network namespaces, joined by one switch, which is the underlay."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address, IPv4Interface
from itertools import count
from pathlib import Path
from typing import Any

from pyroute2 import netns
from scapy.packet import Packet

import fannet
from fannet import Change, Fan, FanState, parse_mapping
from fannet.links import disable_ipv6

OVERLAY, UNDERLAY = "250.0.0.0/8", "172.30.0.0/16"
_numbers = count(1)  # two labs at a time have hosts of the same address
_IP = "/usr/sbin/ip"
_ETH_P_ALL = 3
_OUTGOING = 4  # PACKET_OUTGOING of <linux/if_packet.h>


class Namespace:
    """A network namespace.

    An emulated processor takes a quarter of a second to start a program, and as much again for
    `ip netns exec`: few are started, and most of them without that.

    Attributes:
        device: what it is joined to others by.
    """

    device = "eth0"

    def __init__(self, name: str):
        self.name = f"fannet-{os.getpid()}-{next(_numbers)}-{name}"
        netns.create(self.name)
        with self.entered():
            for devices in ("all", "default"):
                disable_ipv6(devices)  # its own chatter would be among what is looked for
                # Debian's default; Ubuntu's drops some of what is forged before the fan sees it.
                Path("/proc/sys/net/ipv4/conf", devices, "rp_filter").write_text("0")

    def configure(self, *commands: str) -> None:
        """Run commands of ip, all in one process."""
        text = "".join(f"{command}\n" for command in commands)
        with self.entered():
            subprocess.run([_IP, "-batch", "-"], check=True, input=text, text=True)

    def bring_up(self, address: IPv4Interface) -> None:
        """Give its device an address, and turn on all that it has."""
        self.configure("link set lo up", "link set eth0 up", f"address add {address} dev eth0")

    def run(self, *command: str, check: bool = True) -> str:
        """Return what a program says in this network; it sees this process's /sys and mounts."""
        with self.entered():
            done = subprocess.run(command, check=False, capture_output=True, text=True)
        assert done.returncode == 0 or not check, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def run_apart(self, *command: str) -> str:
        """The same with this network's /sys, and with mounts of its own, as ip-netns(8) says."""
        return self.run(_IP, "netns", "exec", self.name, *command)

    def start(self, *command: str) -> subprocess.Popen[str]:
        with self.entered():
            return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    @contextmanager
    def entered(self) -> Iterator[None]:
        netns.pushns(self.name)
        try:
            yield
        finally:
            netns.popns()

    def raw_socket(self, device: str = "") -> socket.socket:
        """Return a socket that sends frames as they are, and sees all that pass the device."""
        with self.entered():
            raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ALL))
            raw.bind((device or self.device, 0))
        raw.setblocking(False)
        return raw

    def mac(self, device: str = "") -> str:
        shown = self.run("ip", "-j", "link", "show", device or self.device)
        return json.loads(shown)[0]["address"]

    def remove(self) -> None:
        netns.remove(self.name)


class Container(Namespace):
    """A container: plugged into a bridge of its host by a veth."""

    def __init__(self, host: Host, address: str, *, bridge: str = "fan-250"):
        self.address = IPv4Interface(address)
        self.host = host
        self._bridge = bridge
        self._devices = 0
        super().__init__(f"container-{self.address.ip}-{bridge}")
        self.plug()

    @property
    def outside(self) -> str:
        return f"v{int(self.address.ip):08x}-{self._devices}"

    def plug(self, mac: str = "") -> None:
        """Make its device, of a new name on the host, as an engine does at every start."""
        self._devices += 1
        shown = json.loads(self.host.run("ip", "-j", "link", "show", self._bridge))
        mtu = f"mtu {shown[0]['mtu']}"
        inside = f"eth0 netns {self.name} {mtu} {f'address {mac}' if mac else ''}"
        self.host.configure(
            f"link add {self.outside} {mtu} type veth peer name {inside}",
            f"link set {self.outside} master {self._bridge} up",
        )
        self.bring_up(self.address)
        # The kernel tells the bridge a while later that both ends are up.
        wait_for(self._is_forwarding, f"the bridge forwards to {self.outside}")

    def _is_forwarding(self) -> bool:
        shown = json.loads(self.host.run("ip", "-j", "-d", "link", "show", self.outside))
        return shown[0]["linkinfo"]["info_slave_data"]["state"] == "forwarding"

    def unplug(self) -> None:
        self.host.run("ip", "link", "delete", self.outside)

    def route_via(self, gateway: str) -> None:
        self.configure(f"route add default via {gateway}")


class Host(Namespace):
    """A host on the underlay."""

    def __init__(
        self, switch: Namespace, address: str, *, mtu: int = 1500, bridge: str = "switch"
    ):
        self.address = IPv4Interface(address)
        super().__init__(f"host-{self.address.ip}")
        port = f"port{int(self.address.ip) % 65536}"
        switch.configure(
            f"link add {port} mtu {mtu} type veth peer name eth0 netns {self.name} mtu {mtu}",
            f"link set {port} master {bridge} up",
        )
        self.bring_up(self.address)

    def filter_bridged(self) -> None:
        """Let iptables see bridged packets, as Docker does."""
        self.run("sh", "-c", "modprobe --quiet br_netfilter", check=False)  # or built in
        self.run("sysctl", "-w", "net.bridge.bridge-nf-call-iptables=1")

    def fan(self, overlay: str = OVERLAY, underlay: str = UNDERLAY, **settings: Any) -> Fan:
        return Fan(parse_mapping(overlay, underlay), self.address.ip, **settings)

    def up(self, fan: Fan | None = None) -> Change:
        with self.entered():
            return fannet.up(fan or self.fan())

    def repair(self) -> list[Change]:
        """Bring all of its fans up as they are."""
        return [self.up(state.fan) for state in self.read()]

    def down(self, fan: Fan | None = None) -> Change:
        with self.entered():
            return fannet.down((fan or self.fan()).overlay)

    def read(self) -> list[FanState]:
        with self.entered():
            return fannet.read()

    def drops(self) -> dict[str, int]:
        """Return the counters of its first fan, or its only one, that are not zero."""
        states = self.read()
        (state,) = [s for s in states if s.fan.bridge == "fan-250"] or states
        return {reason: count for reason, count in state.drops.items() if count}

    def snapshot(self) -> dict[str, str]:
        """Return all that a fan could change on a host."""
        commands = {
            "links": "ip -d link",
            "addresses": "ip address",
            "routes": "ip route show table all",
            "rules": "nft list ruleset",
            "iptables": "iptables-save",
            "sysctls": "sysctl -e net.ipv4.ip_forward net.ipv4.conf.all.rp_filter",
        }
        found = {name: self.run(*command.split()) for name, command in commands.items()}
        found["links"] = re.sub(r"[a-z_]+_timer +[0-9.]+", "", found["links"])
        links = json.loads(self.run("ip", "-j", "link"))
        for name in (link["ifname"] for link in links):
            for direction in ("ingress", "egress"):
                # Without a qdisc there is nothing to show, and tc says so by failing.
                found[f"{name} {direction}"] = self.run(
                    "tc", "filter", "show", "dev", name, direction, check=False
                )
        return found


class Lab:
    """Makes hosts and containers, and removes them at the end."""

    def __init__(self, stack: ExitStack):
        self._stack = stack
        self.switch = self._keep(Namespace("switch"))
        self.switch.configure("link add switch type bridge", "link set switch up")

    def host(self, address: str, *, behind: Host | None = None, **settings: Any) -> Host:
        """Return a host on the switch, or on a bridge of another host."""
        return self._keep(Host(behind or self.switch, address, **settings))

    def container(self, host: Host, address: str, **settings: Any) -> Container:
        return self._keep(Container(host, address, **settings))

    def pair(self, **settings: Any) -> tuple[Container, Container]:
        """Return a container on each of two hosts that share a fan."""
        containers = []
        for number in (28, 27):
            host = self.host(f"172.30.0.{number}/16")
            fan = host.fan(**settings)
            gateway = fan.gateway
            if not fan.own_bridge:  # as LXD or Docker makes it
                host.configure(
                    f"link add {fan.bridge} type bridge",
                    f"link set {fan.bridge} mtu 1450 up",
                    f"address add {gateway} dev {fan.bridge}",
                )
            host.up(fan)
            container = self.container(host, f"{fan.slice[5]}/{gateway.network.prefixlen}")
            container.route_via(str(gateway.ip))
            containers.append(container)
        return containers[0], containers[1]

    def _keep(self, namespace: Any) -> Any:
        self._stack.callback(namespace.remove)
        return namespace


def ping(source: Namespace, target: str | IPv4Address, *options: str) -> None:
    source.run("ping", "-c", "1", "-W", "5", *options, str(target))


def reaches(source: Namespace, target: str | IPv4Address) -> bool:
    return ", 0% packet loss" in source.run("ping", "-c", "1", "-W", "1", str(target), check=False)


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 10) -> None:
    """Ask until a condition holds; the kernel gives no notice of what is waited for here."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"


def send(sender: Namespace, *packets: Packet) -> None:
    with sender.raw_socket() as raw:
        for packet in packets:
            raw.send(bytes(packet))


class Sniffer:
    """Sees what arrives at a device, but for what its host's bridge itself has to say."""

    def __init__(self, place: Namespace, bridge: str = ""):
        self._raw = place.raw_socket()
        self._bridge = bytes.fromhex(bridge.replace(":", ""))
        self.frames: list[bytes] = []

    def __enter__(self) -> Sniffer:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()

    def has(self, marker: bytes) -> bool:
        while True:
            try:
                frame, address = self._raw.recvfrom(65535)
            except BlockingIOError:
                return any(marker in frame for frame in self.frames)
            if address[2] != _OUTGOING and frame[6:12] != self._bridge:
                self.frames.append(frame)

    def wait_for(self, marker: bytes) -> None:
        wait_for(lambda: self.has(marker), f"{marker!r} at the device")


def transfer(source: Namespace, target: Container, *options: str) -> dict[str, Any]:
    """Move 64 MiB over one TCP stream; return what iperf3 says about it."""
    server = target.start("iperf3", "--server", "--one-off", "--forceflush")
    assert server.stdout
    while "listening" not in server.stdout.readline():
        assert server.poll() is None, "iperf3 ended"
    try:
        command = ("iperf3", "--json", "--bytes", "64M", "--client", str(target.address.ip))
        return json.loads(source.run(*command, *options))
    finally:
        server.kill()  # 3.16, of Ubuntu 24.04, may wait for ever when it is told to end
        server.communicate()
