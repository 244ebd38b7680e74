"""What is sent around the fan's programs, on whole machines: beside Docker's own rules.

The same as among the fan's own tests, with engines, containers and the charm's fan in place of
namespaces. Only who sends and who listens is entered from here.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import jubilant
import pytest

from lib.fannet.tests.integration.around import (
    FORGERIES,
    Ground,
    check_stopped,
    open_up,
)
from lib.fannet.tests.integration.lab import Container, Host
from tests.integration.fan_steps import (
    build_image,
    deploy_fan,
    run_inside,
    run_on,
    start_container,
    wait_until_reached,
)

IP = "/usr/sbin/ip"


class Machine(Host):
    """A machine's own network."""

    def __init__(self, name: str, device: str, address: str):
        self.name, self.device = name, device
        self.address = IPv4Interface(address)

    def drops(self) -> dict[str, int]:
        """Return the fan's counters; each also has what Docker's own rules have dropped.

        Docker 28 and later drops a packet to a container that comes by another device than the
        container's bridge, before the fan's rules know where it goes.
        """
        rules = self.run("iptables-save", "--counters", "--table", "raw").splitlines()
        dropped = [re.match(r"\[(\d+):\d+] .* -j DROP$", rule) for rule in rules]
        docker = sum(int(found[1]) for found in dropped if found)
        fan = super().drops()
        reasons = {forgery.reason for forgery in FORGERIES.values()}
        return {reason: fan.get(reason, 0) + docker for reason in reasons}


class Guest(Container):
    """The network of a container that an engine has made."""

    def __init__(self, name: str, host: Host, address: str):
        self.name, self.host = name, host
        self.address = IPv4Interface(address)


@contextmanager
def named(link: str, name: str) -> Iterator[str]:
    """Give the network namespace that a link of /proc names a name of its own for ip(8)."""
    processes = (p for p in Path("/proc").glob("[0-9]*") if is_in(p, link))
    attach = [IP, "netns", "attach", name, next(processes).name]
    subprocess.run(attach, check=True)
    try:
        yield name
    finally:
        subprocess.run([IP, "netns", "delete", name], check=True)


def is_in(process: Path, link: str) -> bool:
    try:
        return str((process / "ns" / "net").readlink()) == link
    except OSError:  # it has ended, or is the kernel's own
        return False


def read_link(juju: jubilant.Juju, machine: int, process: str = "self") -> str:
    return run_on(juju, machine, "readlink", f"/proc/{process}/ns/net").strip()


def enter_container(
    stack: ExitStack, juju: jubilant.Juju, number: int, name: str, host: Machine
) -> Guest:
    told: list[Any] = json.loads(run_on(juju, number, "docker", "inspect", name))
    (network,) = told[0]["NetworkSettings"]["Networks"].values()
    link = read_link(juju, number, str(told[0]["State"]["Pid"]))
    address = f"{network['IPAddress']}/{network['IPPrefixLen']}"
    return Guest(stack.enter_context(named(link, f"{juju.model}-{name}")), host, address)


@pytest.fixture(scope="module")
def machines(shared_juju: jubilant.Juju, charms: dict[str, Path]) -> Iterator[Ground]:
    """Two machines with the fan, Docker's containers on both, and one that is just beside them."""
    juju = shared_juju
    deploy_fan(juju, charms)
    juju.cli("add-machine")
    with ExitStack() as stack:
        hosts = []
        for number in range(3):
            (device,) = json.loads(
                run_on(juju, number, IP, "-j", "-4", "address", "show", "host0")
            )
            (found,) = device["addr_info"]
            name = stack.enter_context(named(read_link(juju, number), f"{juju.model}-{number}"))
            hosts.append(Machine(name, "host0", f"{found['local']}/{found['prefixlen']}"))
        here, there, evil = hosts
        numbers = [str(host.address.ip).rpartition(".")[2] for host in hosts]
        for number, name in ((0, "here"), (1, "there")):
            build_image(juju, number)
            address = f"250.0.{numbers[number]}.5"
            start_container(juju, number, name, "--network", "fan", "--ip", address)
        assert start_container(juju, 0, "plain") == "172.17.0.2"
        # An address beside the one that the fan has.
        there.configure("address add 192.168.9.27/24 dev host0")
        here.configure("route add 192.168.9.27 dev host0")
        container = enter_container(stack, juju, 0, "here", here)
        victim = enter_container(stack, juju, 1, "there", there)
        plain = enter_container(stack, juju, 0, "plain", here)
        wait_until_reached(juju, 0, run_inside("here"), str(victim.address.ip))
        known: dict[str, str] = dict(zip(("28", "27", "66"), numbers, strict=True))
        yield Ground(here, there, container, victim, plain, evil, numbers=known)


@pytest.fixture(scope="module", params=[False, True], ids=["bridged past it", "br_netfilter"])
def ground(request: pytest.FixtureRequest, machines: Ground) -> Ground:
    for host in (machines.here, machines.there):
        open_up(host, br_netfilter=request.param)
    return machines


@pytest.mark.parametrize("name", FORGERIES)
def test_what_is_forged_is_dropped_and_counted_beside_dockers_own_rules(
    ground: Ground, name: str
) -> None:
    check_stopped(ground, name)


def test_dockers_own_rules_are_there(ground: Ground) -> None:
    shown = ground.here.run("iptables-save")
    assert "DOCKER" in shown
    assert "MASQUERADE" in shown
