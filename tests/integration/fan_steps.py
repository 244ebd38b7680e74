"""What the tests of the fan share: machines that say how they are, and containers that talk."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path

import jubilant

from tools.instance import sudo

# Docker's image and LXD's: a static busybox, and what it is called as.
TOOLS = "cat dd head ip nc ping sh sha256sum sleep udhcpc wc"

# What a machine's network is like, without what changes by itself: counters, numbers, MAC
# addresses that the kernel draws at random, IPv6 addresses that nobody else turns out to have, and
# the order that rules of different tables come in.
NETWORK = r"""
ip -o link show | sed -E 's/^[0-9]+: //; s/@if[0-9]+//; s/ (state|link\/ether) .*//; s/<[^>]*>//'
ip -o address show | sed -E 's/^[0-9]+: //; s/( tentative)?[ \\]* valid_lft.*//'
ip route show table all | grep -v 'fe80\|ff00\|local'
ip rule show
tc qdisc show | grep -v noqueue
iptables-save | grep -v '^#' | sed -E 's/\[[0-9:]+\]//'
docker network ls --format '{{.Name}} {{.Driver}}' | sort
sysctl -a 2>/dev/null | grep -E '^net\.(ipv4\.ip_forward|bridge)'
find /etc/docker /etc/systemd/system -type f -not -name key.json -exec sha256sum {} + | sort
! test -e /usr/sbin/nft || nft list tables | grep fannet
true
"""


def run_on(juju: jubilant.Juju, machine: int, *command: str) -> str:
    """Run a program on a machine, and return what it says."""
    return sudo(juju, *command, machine=machine).stdout


def deploy_fan(juju: jubilant.Juju, charms: dict[str, Path], **config: str | int | bool) -> None:
    """Deploy two apache2, let each have the fan beside it, and wait until both have."""
    juju.deploy(charms["apache2"], num_units=2)
    juju.deploy(charms["fan"], config={name.replace("_", "-"): v for name, v in config.items()})
    juju.wait(lambda status: jubilant.all_active(status, "apache2"), successes=1)
    attach_fan(juju)


def attach_fan(juju: jubilant.Juju) -> None:
    """Relate the fan to apache2, and wait until every machine has it."""
    juju.integrate("apache2:juju-info", "fan:juju-info")
    wait_for_fans(juju, 2)


def wait_for_fans(juju: jubilant.Juju, number: int) -> None:
    """Wait until so many units of the fan are there, active and idle."""
    juju.wait(lambda status: len(status.get_units("fan")) == number, successes=1)
    juju.wait(
        lambda status: jubilant.all_active(status) and jubilant.all_agents_idle(status),
        successes=1,
    )


def read_status(juju: jubilant.Juju, unit: str) -> tuple[str, str]:
    """Return the status of a unit of the fan, and its message."""
    status = juju.status().get_units("fan")[unit].workload_status
    return status.current, status.message


def list_units(juju: jubilant.Juju) -> dict[int, str]:
    """Return the fan's units by their machines."""
    status = juju.status()
    return {
        int(unit.machine): name
        for unit in status.apps["apache2"].units.values()
        for name in unit.subordinates
        if name.startswith("fan/")
    }


def read_network(juju: jubilant.Juju, machine: int) -> str:
    """Return what a machine's network, engine and services are like."""
    return run_on(juju, machine, "sh", "-c", NETWORK)


def build_image(juju: jubilant.Juju, machine: int) -> None:
    """Make a Docker image, `box`, out of nothing but Debian's busybox."""
    make = (
        "apt-get install -q -y --no-install-recommends busybox-static && "
        "mkdir -p /tmp/box/bin /tmp/box/tmp && cp /bin/busybox /tmp/box/bin && "
        f"for tool in {TOOLS}; do ln -sf busybox /tmp/box/bin/$tool; done && "
        "tar -c -C /tmp/box . | docker import - box"
    )
    run_on(juju, machine, "sh", "-c", make)


def start_container(juju: jubilant.Juju, machine: int, name: str, *options: str) -> str:
    """Start a container that waits to be used; return its address."""
    run = ("docker", "run", "--detach", "--init", "--name", name)
    run_on(juju, machine, *run, *options, "box", "/bin/sleep", "1000000")
    return read_address(juju, machine, name)


def read_address(juju: jubilant.Juju, machine: int, name: str) -> str:
    template = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
    return run_on(juju, machine, "docker", "inspect", "--format", template, name).strip()


def run_inside(name: str, *command: str) -> tuple[str, ...]:
    """Return the command that runs another in a container."""
    return ("docker", "exec", name, *command)


def reaches(juju: jubilant.Juju, machine: int, enter: tuple[str, ...], address: str) -> bool:
    """Whether an address answers; `enter` is what runs a command where the question comes from."""
    ping = (*enter, "ping", "-c", "1", "-W", "2", address)
    try:
        return "1 packets received" in run_on(juju, machine, *ping)
    except jubilant.TaskError:
        return False


def wait_until_reached(
    juju: jubilant.Juju, machine: int, enter: tuple[str, ...], address: str
) -> None:
    juju.wait(lambda _: reaches(juju, machine, enter, address), successes=1)


def send(
    juju: jubilant.Juju,
    sender: tuple[int, tuple[str, ...]],
    receiver: tuple[int, tuple[str, ...]],
    address: str,
) -> None:
    """Send 16 MB over TCP, and wait until they have arrived unharmed.

    Args:
        sender: its machine, and what runs a command in the container there.
        receiver: the same of the other one.
        address: the receiver's.
    """
    (there, into), (here, enter) = receiver, sender
    # Busybox's nc hears no more once there is nothing more to say.
    listen = f"{' '.join(into)} sh -c 'sleep 120 | nc -l -p 5000 >/tmp/got'"
    run_on(juju, there, "sh", "-c", f"{listen} >/dev/null 2>&1 &")
    make = "head -c 16000000 /dev/urandom >/tmp/data; sha256sum </tmp/data"
    wanted = run_on(juju, here, *enter, "sh", "-c", make)

    def is_there(_: jubilant.Status) -> bool:
        # It is refused for as long as nobody listens; once it has been heard, nobody does.
        with_data = f"nc -w 5 {address} 5000 </tmp/data"
        with contextlib.suppress(jubilant.TaskError):
            run_on(juju, here, *enter, "sh", "-c", with_data)
        return run_on(juju, there, *into, "sh", "-c", "sha256sum </tmp/got") == wanted

    juju.wait(is_there, successes=1)


def list_lost(report: str) -> list[int]:
    """Return the numbers of the packets that a ping got no answer for; not the last, perhaps still
    on the way when it ended."""
    answered = {int(number) for number in re.findall(r" seq=(\d+) ", report)}
    return sorted(set(range(max(answered))) - answered)
