"""Containers on two machines, joined in every way that is compared, and what they measure."""

from __future__ import annotations

import json
import os
import subprocess
import tarfile
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any

import jubilant

import fannet
from benchmarks.figures import MeasureError, Report
from tools.instance import sudo

# What a way is called here, and in tables and plots.
BARE, ROUTED, FAN, VXLAN, SWARM = "bare", "routed", "fan", "vxlan", "swarm"
WAYS = {
    BARE: "no containers",
    ROUTED: "plain routing",
    FAN: "fan",
    VXLAN: "static vxlan",
    SWARM: "Docker overlay",
}
# Measured again in each round, so that the benchmark knows its own noise.
AGAIN = "fan-again"

MESSAGE = 64  # bytes of payload, of datagrams and of requests

PACKAGES = "curl iperf3 nftables"
FOLDER = "/opt/bench-fan"

PING_PONG = Path(__file__).parent / "probes" / "ping_pong.c"
# Without libraries, so that it runs in the image.
COMPILE = ("/usr/bin/clang", "-O2", "-Wall", "-Werror", "-static", f"-DMESSAGE={MESSAGE}")

# Docker's image: two programs, and the libraries that iperf3 was linked with.
IMAGE = f"""
set -e
mkdir -p {FOLDER}/image/tmp {FOLDER}/image/bin
install {FOLDER}/ping-pong /usr/bin/iperf3 {FOLDER}/image/bin/
ldd /usr/bin/iperf3 | grep -o '/[^ ]*' | sort -u | while read -r library; do
    cp --parents -L "$library" {FOLDER}/image/
done
cp --parents -L /lib*/*/libgcc_s.so.1 {FOLDER}/image/
tar -c -C {FOLDER}/image . | docker import - measured >/dev/null
"""

# What an engine makes of a subnet: a bridge whose packets keep their addresses.
NETWORK = "docker network create --opt com.docker.network.bridge.enable_ip_masquerade=false"

# The engine forwards nothing to containers that publish no port, unless it is told to.
ACCEPT = "iptables -I DOCKER-USER -s {0} -d {0} -j ACCEPT"

ROUTES = """
set -e
{network} --subnet 10.201.{here}.0/24 routed
ip route add 10.201.{there}.0/24 via {peer}
"""

# As flannel's vxlan backend has it: one device, and a route, an ARP entry and an FDB entry for
# each peer. On a port of its own, since 8472 is taken by the fan.
STATIC_VXLAN = """
set -e
ip link add flannel.1 address 02:00:00:00:00:0{here} mtu 1450 \\
    type vxlan id 1 local {own} dev host0 dstport 8473 nolearning
ip address add 10.244.{here}.0/32 dev flannel.1
ip link set flannel.1 up
ip neigh add 10.244.{there}.0 lladdr 02:00:00:00:00:0{there} dev flannel.1 nud permanent
bridge fdb append 02:00:00:00:00:0{there} dev flannel.1 dst {peer}
ip route add 10.244.{there}.0/24 via 10.244.{there}.0 dev flannel.1 onlink
{network} --subnet 10.244.{here}.0/24 --opt com.docker.network.driver.mtu=1450 vxlan
"""

FAN_UP = "PYTHONPATH={folder} /usr/bin/python3 -m fannet up 250.0.0.0/8 {underlay}"

# With the options that the fan charm gives.
FAN_NETWORK = """
{network} --subnet 250.0.0.0/8 --ip-range {slice} --gateway {gateway} \\
    --aux-address reserved={first} --opt com.docker.network.bridge.name=fan-250 \\
    --opt com.docker.network.driver.mtu=1450 fan
"""

JOIN = "/usr/bin/curl --fail --silent --show-error --unix-socket /run/docker.sock"


def read_iperf3(said: str, part: str) -> dict[str, Any]:
    """Return a part of what iperf3 reports at its end.

    Raises:
        MeasureError: it reports none.
    """
    try:
        return json.loads(said)["end"][part]
    except (KeyError, ValueError) as e:
        raise MeasureError(f"iperf3: {said}") from e


def read_streams(said: str) -> float:
    """Return the Gbit/s of TCP streams that iperf3's server got."""
    return read_iperf3(said, "sum_received")["bits_per_second"] / 1e9


def read_datagrams(said: str) -> float:
    """Return how many thousand datagrams iperf3's server got in a second."""
    found = read_iperf3(said, "sum")
    return (found["packets"] - found["lost_packets"]) / found["seconds"] / 1e3


def read_round_trip(said: str) -> float:
    """Return the median round trip that ping-pong prints, in microseconds.

    Raises:
        MeasureError: it prints none.
    """
    try:
        return float(said)
    except ValueError as e:
        raise MeasureError(f"ping-pong: {said}") from e


@dataclass(frozen=True)
class Metric:
    """One thing that is measured of each way.

    Attributes:
        program: what a client runs, but for the server's address at its end.
        read: returns what the program found, in `unit`.
        turns: how often each way is measured in a round.
    """

    name: str
    unit: str
    program: str
    read: Callable[[str], float]
    turns: int


# A machine may be slower than else for seconds at a time, so each measurement is short, and there
# are many. Turns are multiples of six: each of the five ways, and the fan again, is as often the
# first. A round trip is mostly to wake the other side, which takes now longer and now shorter, and
# is measured in less time, so it has more.
METRICS = {
    "one": Metric(
        "one TCP stream", "Gbit/s", "iperf3 --json --bytes 1G --client", read_streams, 12
    ),
    "eight": Metric(
        "eight TCP streams",
        "Gbit/s",
        "iperf3 --json --parallel 8 --bytes 1G --client",
        read_streams,
        12,
    ),
    "datagrams": Metric(
        f"{MESSAGE}-byte datagrams",
        "1000/s",
        f"iperf3 --json --udp --length {MESSAGE} --bitrate 0 --bytes 4M --client",
        read_datagrams,
        12,
    ),
    "round-trip": Metric(
        "request and answer",
        "µs",
        "ping-pong",
        read_round_trip,
        60,
    ),
}

# A line between what one client printed and what the next did.
NEXT = "=== next ==="


@dataclass(frozen=True)
class Ways:
    """Machine 0 with clients, machine 1 with servers, and a container of each way on both."""

    juju: jubilant.Juju
    servers: dict[str, IPv4Address]

    def measure(self, ways: Sequence[str], metric: Metric) -> list[float]:
        """Measure one thing of several ways, each right after the other."""
        commands = [f"docker exec {way} {metric.program} {self.servers[way]}" for way in ways]
        script = "\n".join(["set -e", f"\necho '{NEXT}'\n".join(commands)])
        return [metric.read(said) for said in run_on(self.juju, 0, script).split(NEXT)]


def run_on(juju: jubilant.Juju, machine: int, *command: str) -> str:
    """Run a program, or one string as a script, on a machine; return what it printed."""
    return sudo(juju, *command, machine=machine).stdout


@contextmanager
def own_ways(report: Report) -> Iterator[Ways]:
    """Two machines with all ways between them, for as long as the block runs."""
    with jubilant.temp_model() as juju:
        juju.wait_timeout = 600
        report("making two machines")
        juju.cli("add-machine", "-n", "2")
        juju.wait(lambda status: len(status.machines) == 2, successes=1)
        addresses = find_addresses(juju)
        report("installing what measures")
        for machine in (0, 1):
            install_tools(juju, machine)
        report("making the networks")
        for here, there in ((0, 1), (1, 0)):
            join(juju, here, addresses[here], there, addresses[there])
        join_swarm(juju, addresses)
        report("starting the containers")
        servers = start_containers(juju, addresses)
        for machine, own in enumerate(addresses):
            # As every hook of the charm does: the programs hear of the containers.
            run_on(juju, machine, FAN_UP.format(folder=FOLDER, underlay=name_underlay(own)))
        yield Ways(juju, servers)


def find_addresses(juju: jubilant.Juju) -> list[IPv4Interface]:
    """Return the machines' addresses on the underlay."""
    shown = (run_on(juju, m, "ip -j -4 address show dev host0") for m in (0, 1))
    found = (json.loads(text)[0]["addr_info"][0] for text in shown)
    return [IPv4Interface((each["local"], each["prefixlen"])) for each in found]


def name_underlay(own: IPv4Interface) -> str:
    """Return what `fanctl` is given for the underlay."""
    return f"host0/{own.network.prefixlen}"


def install_tools(juju: jubilant.Juju, machine: int) -> None:
    """Install the packages, fannet, ping-pong and the image."""
    install = (
        f"DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends {PACKAGES}"
    )
    run_on(juju, machine, f"{install} || (apt-get update -q && {install})")
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(folder) / "fannet.tar"
        with tarfile.open(archive, "w") as tar:
            tar.add(Path(fannet.__file__).parent, "fannet")
        copy(juju, archive, machine)
        copy(juju, compile_ping_pong(Path(folder)), machine)
    run_on(juju, machine, f"tar -x -C {FOLDER} -f {FOLDER}/fannet.tar")
    run_on(juju, machine, IMAGE)


def compile_ping_pong(folder: Path) -> Path:
    """Make the program that measures round trips, in a folder."""
    program = folder / "ping-pong"
    command = [*COMPILE, "-o", str(program), str(PING_PONG)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return program


def copy(juju: jubilant.Juju, file: Path, machine: int) -> None:
    """Copy a file into FOLDER, where only root may read."""
    run_on(juju, machine, f"mkdir -p -m 700 {FOLDER} && install -m 666 /dev/null /tmp/{file.name}")
    juju.scp(file, f"{machine}:/tmp/{file.name}")
    run_on(juju, machine, f"install -m 600 /tmp/{file.name} {FOLDER}/ && rm /tmp/{file.name}")


def join(
    juju: jubilant.Juju, here: int, own: IPv4Interface, there: int, peer: IPv4Interface
) -> None:
    """Join a machine to the other in every way but Docker's overlay."""
    mapping = fannet.parse_mapping("250.0.0.0/8", str(own.network))
    part = mapping.slice_of(own.ip)
    values = {
        "network": NETWORK,
        "folder": FOLDER,
        "here": here,
        "there": there,
        "own": own.ip,
        "peer": peer.ip,
        "underlay": name_underlay(own),
        "slice": part,
        "first": part[0],
        "gateway": part[1],
    }
    for script in (ROUTES, STATIC_VXLAN, FAN_UP, FAN_NETWORK):
        run_on(juju, here, script.format(**values))
    for network in ("10.201.0.0/16", "10.244.0.0/16"):
        run_on(juju, here, ACCEPT.format(network))


def join_swarm(juju: jubilant.Juju, addresses: list[IPv4Interface]) -> None:
    """Make a swarm of both engines, and an overlay that containers may join."""
    first = addresses[0].ip
    run_on(juju, 0, f"docker swarm init --advertise-addr {first}")
    token = run_on(juju, 0, "docker swarm join-token --quiet worker").strip()
    request = {
        "ListenAddr": "0.0.0.0:2377",
        "AdvertiseAddr": str(addresses[1].ip),
        "RemoteAddrs": [f"{first}:2377"],
        "JoinToken": token,
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "join.json"  # a secret: not for the command line
        file.write_text(json.dumps(request))
        copy(juju, file, 1)
    header = "'Content-Type: application/json'"
    run_on(juju, 1, f"{JOIN} -H {header} --data @{FOLDER}/join.json http://localhost/swarm/join")
    run_on(juju, 0, "docker network create --driver overlay --attachable swarm")


def start_containers(
    juju: jubilant.Juju, addresses: list[IPv4Interface]
) -> dict[str, IPv4Address]:
    """Start a container of each way on both machines; return the servers' addresses.

    Client and server have a core each, or the scheduler would decide what is measured.
    """
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        raise MeasureError("client and server need a core each: use a machine with two or more")
    servers = {}
    for way in WAYS:
        network = "host" if way == BARE else way
        for machine in (0, 1):
            options = f"--cpuset-cpus {cores[machine]} --network {network}"
            run_on(
                juju,
                machine,
                f"docker run --detach --name {way} {options} measured /bin/iperf3 -s",
            )
        run_on(juju, 1, f"docker exec --detach {way} ping-pong serve")
        template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        told = run_on(juju, 1, "docker", "inspect", "--format", template, way).strip()
        servers[way] = IPv4Address(told) if told else addresses[1].ip
    return servers
