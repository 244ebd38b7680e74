"""The network that machines sit on: a bridge in a network namespace of its own.

The host's own firewall and Docker stay out of it, and it stays out of theirs: the way out is
slirp4netns, a TCP/IP stack in user space that needs no route, rule or forwarding on the host and
brings a name server that forwards to the host's.
"""

from __future__ import annotations

import ipaddress
import os
import subprocess
from pathlib import Path

from localmodel import paths
from localmodel.errors import LocalModelError
from localmodel.machines import processes
from localmodel.machines.processes import run, succeeds

NAMESPACE = paths.NAME
BRIDGE = "underlay"
TAP = "tap0"
DEFAULT = "172.30.0.0/16"
IP = "/usr/sbin/ip"
IPTABLES = "/usr/sbin/iptables"
NSENTER = "/usr/bin/nsenter"

# The user-space stack's own small network and the name server in it (slirp4netns(1)).
SLIRP_NETWORK = "10.0.2.0/24"
NAMESERVER = "10.0.2.3"

# What shows a bridge's packets to iptables and its like, where the kernel has br_netfilter.
BRIDGE_FILTERS = [f"net.bridge.bridge-nf-call-{name}tables" for name in ("ip", "ip6", "arp")]

NETNS = Path("/run/netns") / NAMESPACE


def parse_underlay(text: str) -> ipaddress.IPv4Network:
    """Read the machines' network.

    Raises: LocalModelError if it is not an IPv4 network with room for machines.
    """
    try:
        network = ipaddress.IPv4Network(text)
    except ValueError as error:
        raise LocalModelError(
            f"underlay {text!r}: {error}; give an IPv4 network such as {DEFAULT}"
        ) from error
    if network.prefixlen > 28 or network.overlaps(ipaddress.IPv4Network(SLIRP_NETWORK)):
        raise LocalModelError(
            f"underlay {text!r}: give a private IPv4 network of /28 or larger"
            f" that does not overlap {SLIRP_NETWORK}, such as {DEFAULT}"
        )
    return network


def find_free_address(network: ipaddress.IPv4Network, taken: set[str]) -> str:
    """Return the lowest address that no machine has; the first one is the gateway's.

    Raises: LocalModelError if the network is full.
    """
    hosts = network.hosts()
    next(hosts)
    for host in hosts:
        if str(host) not in taken:
            return str(host)
    raise LocalModelError(f"underlay {network} is full: remove machines, or choose a larger one")


def find_gateway(network: ipaddress.IPv4Network) -> str:
    return str(network[1])


def ensure_underlay(network: ipaddress.IPv4Network) -> None:
    """Bring the namespace, its bridge and the way out up; does only what is missing.

    Raises: LocalModelError.
    """
    if not NETNS.exists():
        run(IP, "netns", "add", NAMESPACE)
    run(IP, "-n", NAMESPACE, "link", "set", "lo", "up")
    if not succeeds(IP, "-n", NAMESPACE, "link", "show", "dev", BRIDGE):
        run(IP, "-n", NAMESPACE, "link", "add", BRIDGE, "type", "bridge")
    address = f"{find_gateway(network)}/{network.prefixlen}"
    run(IP, "-n", NAMESPACE, "address", "replace", address, "dev", BRIDGE)
    run(IP, "-n", NAMESPACE, "link", "set", BRIDGE, "up")
    run_inside("/usr/sbin/sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
    # The bridge stands for a switch, whose packets no iptables sees.
    run_inside("/usr/sbin/sysctl", "-q", "-e", "-w", *(f"{key}=0" for key in BRIDGE_FILTERS))
    # fmt: off
    nat = ["POSTROUTING", "-s", str(network), "-o", TAP, "-j", "MASQUERADE"]
    # fmt: on
    if not succeeds(*_enter(), IPTABLES, "-w", "-t", "nat", "-C", *nat):
        run_inside(IPTABLES, "-w", "-t", "nat", "-A", *nat)
    # The device lives exactly as long as the process behind it.
    if not succeeds(IP, "-n", NAMESPACE, "link", "show", "dev", TAP):
        _start_slirp()


def remove_underlay() -> None:
    """Remove the namespace and everything in it."""
    processes.kill(_find_slirp())
    if NETNS.exists():
        run(IP, "netns", "delete", NAMESPACE)


def run_inside(*argv: str) -> str:
    """Run a program in the underlay's namespace. Raises: LocalModelError."""
    return run(*_enter(), *argv)


def _enter() -> list[str]:
    # Not `ip netns exec`: it hides /sys/fs/cgroup.
    return [NSENTER, f"--net={NETNS}"]


def _start_slirp() -> None:
    ready, told = os.pipe()
    with os.fdopen(ready, "rb") as answer:
        subprocess.Popen(
            [
                "/usr/bin/slirp4netns",
                "--configure",
                "--mtu=65520",
                "--disable-host-loopback",
                f"--cidr={SLIRP_NETWORK}",
                f"--ready-fd={told}",
                "--netns-type=path",
                str(NETNS),
                TAP,
            ],
            pass_fds=[told],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
        )
        os.close(told)
        if answer.read(1) != b"1":
            raise LocalModelError(
                "slirp4netns did not start: the machines have no internet access"
            )


def _find_slirp() -> list[int]:
    return [
        pid
        for pid, argv in processes.read_command_lines()
        if Path(argv[0]).name == "slirp4netns" and str(NETNS) in argv
    ]
