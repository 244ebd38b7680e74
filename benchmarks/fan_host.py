"""What a fan costs its host: time, kernel objects and memory, in network namespaces as hosts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Address, IPv4Network
from itertools import count
from pathlib import Path

from pyroute2 import netns

import fannet
from benchmarks.figures import Figure, MeasureError, Panel, Report, end_round
from fannet import programs

IP, BRIDGE, NFT = "/usr/sbin/ip", "/usr/sbin/bridge", "/usr/sbin/nft"
OVERLAY, HOST = "250.0.0.0/8", IPv4Address("172.30.0.1")
# So many hosts have a network each; the last is all that fit into an underlay of /16.
NETWORKS = (2, 16, 128, 1024, 8192, 65534)
FEW, MANY = NETWORKS[0], NETWORKS[-1]
# The kernel compares each new route with all that go through the same device, so a vxlan's time
# grows with the square of the hosts: at the largest it would be minutes.
VXLAN_NETWORKS = NETWORKS[:-1]
# Enough fans at once that the memory of one stands out from what other processes do meanwhile.
FANS = 24
# /proc/meminfo: slabs and large allocations, mapped ones, and what each processor has of its own.
KINDS = ("Slab", "VmallocUsed", "Percpu")

# Seconds and objects of each join, by way and number of hosts.
Joined = dict[str, dict[int, list[tuple[float, int]]]]

# As flannel's vxlan backend has it; see fan_ways.STATIC_VXLAN.
VXLAN = (
    "link add flannel.1 mtu 1450 type vxlan id 1 dev eth0 dstport 8473 nolearning",
    "address add 10.0.1.0/32 dev flannel.1",
    "link set flannel.1 up",
)


@contextmanager
def own_host(number: int, prefix: int) -> Iterator[str]:
    """A host in a network of its own, by the name of its namespace; HOST is its address."""
    name = f"bench-fan-{os.getpid()}-{number}"
    run(IP, "netns", "add", name)
    try:
        # It would add addresses and routes of its own, some at once and some later.
        off = (f"net.ipv6.conf.{devices}.disable_ipv6=1" for devices in ("all", "default"))
        run(IP, "netns", "exec", name, "/usr/sbin/sysctl", "-e", "-q", "-w", *off)
        run(IP, "-n", name, "link", "add", "eth0", "type", "veth", "peer", "name", "peer0")
        run(IP, "-n", name, "address", "add", f"{HOST}/{prefix}", "dev", "eth0")
        for device in ("lo", "eth0", "peer0"):
            run(IP, "-n", name, "link", "set", device, "up")
        yield name
    finally:
        run(IP, "netns", "delete", name)


@contextmanager
def entered(name: str) -> Iterator[None]:
    """Put this thread into a namespace while the block runs."""
    netns.pushns(name)
    try:
        yield
    finally:
        netns.popns()


def run(*command: str, stdin: str = "") -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, input=stdin).stdout


def choose_prefix(hosts: int) -> int:
    """Return the prefix of the smallest underlay that has so many hosts."""
    # Its network and broadcast addresses are not hosts.
    return 32 - (hosts + 1).bit_length()


def make_fan(hosts: int) -> fannet.Fan:
    underlay = IPv4Network((HOST, choose_prefix(hosts)), strict=False)
    return fannet.Fan(fannet.parse_mapping(OVERLAY, str(underlay)), HOST)


def list_peers(hosts: int) -> tuple[str, str]:
    """Return what the static vxlan has of each peer, for `ip -batch` and for `bridge -batch`."""
    neighbours, entries = [], []
    for number in range(2, hosts + 1):  # the first is HOST
        first, second = number >> 8, number & 255
        mac = f"02:00:00:00:{first:02x}:{second:02x}"
        gateway = f"10.{first}.{second}.0"
        neighbours.append(f"neigh add {gateway} lladdr {mac} dev flannel.1 nud permanent\n")
        neighbours.append(f"route add {gateway}/24 via {gateway} dev flannel.1 onlink\n")
        entries.append(f"fdb append {mac} dev flannel.1 dst 172.30.{first}.{second}\n")
    return "".join(neighbours), "".join(entries)


def count_objects() -> int:
    """Return how many things the kernel has that somebody could list, in this namespace."""
    links = json.loads(run(IP, "-j", "link"))
    lists = (
        run(IP, "-o", "address"),
        run(IP, "route", "show", "table", "all"),
        run(IP, "neigh", "show", "nud", "permanent"),
        run(BRIDGE, "fdb", "show"),
    )
    found = len(links) + sum(len(text.splitlines()) for text in lists)
    found += run(NFT, "-a", "list", "ruleset").count("# handle ")
    maps: set[int] = set()
    for link in links:
        for direction in ("ingress", "egress"):
            with programs.find(link["ifindex"], direction) as program:
                if program:
                    found += 2  # the program, and the filter that holds it
                    maps.update(program.map_ids)
    return found + len(maps)


def join_fan(name: str, hosts: int) -> tuple[float, int]:
    """Make a host part of a fan; return the seconds that took, and the objects it has since."""
    fan = make_fan(hosts)
    with entered(name):
        before = count_objects()
        began = time.monotonic()
        fannet.up(fan)
        took = time.monotonic() - began
        return took, count_objects() - before


def join_vxlan(name: str, hosts: int) -> tuple[float, int]:
    """The same with a static vxlan, its entries sent by iproute2 in batches."""
    neighbours, entries = list_peers(hosts)
    device = "".join(f"{line}\n" for line in VXLAN)
    with entered(name):
        before = count_objects()
        began = time.monotonic()
        run(IP, "-batch", "-", stdin=device + neighbours)
        run(BRIDGE, "-batch", "-", stdin=entries)
        took = time.monotonic() - began
        return took, count_objects() - before


def measure_scale(rounds: int, report: Report) -> Joined:
    """Return the seconds and objects of each join, by way and number of hosts."""
    found: Joined = {
        "fan": {hosts: [] for hosts in NETWORKS},
        "vxlan": {hosts: [] for hosts in VXLAN_NETWORKS},
    }
    numbers = count()
    # All stay until the end: to clear one away keeps the kernel from what the next asks for.
    with ExitStack() as stack:
        for number in range(rounds):
            for way, join in (("fan", join_fan), ("vxlan", join_vxlan)):
                for hosts in found[way]:
                    report(f"joining a network: round {number + 1} of {rounds}, {hosts:,} hosts")
                    host = own_host(next(numbers), choose_prefix(hosts))
                    found[way][hosts].append(join(stack.enter_context(host), hosts))
            end_round(report, "joining a network", number, rounds)
    return found


def time_fanctl(runs: int, report: Report) -> list[float]:
    """Return the seconds that `fanctl up` takes from its start to its end, run after run."""
    found = []
    with own_host(0, 16) as name, entered(name), tempfile.TemporaryDirectory() as compiled:
        # As on a host that has it installed, also where the caller wants no byte code.
        python = (
            "/usr/bin/env",
            "-u",
            "PYTHONDONTWRITEBYTECODE",
            f"PYTHONPYCACHEPREFIX={compiled}",
        )
        fanctl = (*python, sys.executable, "-m", "fannet")
        for _ in range(1 + runs):
            began = time.monotonic()
            run(*fanctl, "up", OVERLAY, "eth0/16")
            found.append(time.monotonic() - began)
            run(*fanctl, "down", OVERLAY)
    report(f"fanctl up: {runs} runs are done", 1)
    return found[1:]  # the first compiles


def measure_memory(rounds: int, report: Report) -> list[float]:
    """Return the bytes that one fan takes of the kernel's memory, round after round."""
    fan = make_fan(MANY)
    found = []
    with ExitStack() as stack:
        names = [stack.enter_context(own_host(number, 16)) for number in range(FANS)]
        for number in range(rounds):
            before = read_memory(Path("/proc/meminfo").read_text())
            for name in names:
                with entered(name):
                    fannet.up(fan)
            after = read_memory(Path("/proc/meminfo").read_text())
            found.append((after - before) / FANS)
            for name in names:
                with entered(name):
                    fannet.down(fan.overlay)
            end_round(report, "memory", number, rounds)
    return found


def read_memory(meminfo: str) -> int:
    """Return the bytes of the kernel's own memory in a /proc/meminfo.

    Raises:
        MeasureError: a kind of memory is missing there.
    """
    sizes = dict(line.split(":", 1) for line in meminfo.splitlines() if ":" in line)
    try:
        return sum(int(sizes[kind].removesuffix(" kB")) * 1024 for kind in KINDS)
    except KeyError as error:
        raise MeasureError(f"/proc/meminfo has no {error}; use Linux 5.15 or later") from error


def judge_scale(joined: Joined) -> tuple[Figure, ...]:
    """Return what it takes to join networks of all sizes."""
    figures = []
    for way, label in (("fan", "fan"), ("vxlan", "static vxlan")):
        for hosts, taken in joined[way].items():
            name = f"{label}, {hosts:,} hosts"
            figures.append(Figure(f"{name}: to join", "ms", tuple(s * 1000 for s, _ in taken)))
            figures.append(Figure(f"{name}: kernel has", "objects", tuple(n for _, n in taken)))
    pairs = list(zip(joined["fan"][MANY], joined["fan"][FEW], strict=True))
    slower = tuple(many / few for (many, _), (few, _) in pairs)
    more = tuple(many - few for (_, many), (_, few) in pairs)
    return (
        *figures,
        Figure(f"fan, {MANY:,} hosts: time to join", f"x {FEW} hosts", slower, at_most=1.2),
        Figure(f"fan, {MANY:,} hosts: more than for {FEW}", "objects", more, at_most=0),
    )


def judge_fanctl(seconds: list[float]) -> tuple[Figure, ...]:
    return (Figure("fanctl up", "ms", tuple(s * 1000 for s in seconds), at_most=150),)


def judge_memory(sizes: list[float]) -> tuple[Figure, ...]:
    return (Figure("memory of a fan", "kB", tuple(size / 1e3 for size in sizes), at_most=1000),)


def make_scale_panel(joined: Joined) -> Panel:
    """Return the plot of the time to join: the largest fan, and vxlans."""
    shown = [("fan", MANY), *(("vxlan", hosts) for hosts in VXLAN_NETWORKS[2:])]
    return Panel(
        "ms to join a network of so many hosts",
        {f"{w}\n{n:,}": tuple(seconds * 1000 for seconds, _ in joined[w][n]) for w, n in shown},
    )
