"""LXD's containers on the fan, beside Docker's: through LXD's own bridge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jubilant
import pytest

from localmodel.machines.template import read_host_release
from tests.integration.fan_steps import (
    build_image,
    deploy_fan,
    list_units,
    reaches,
    read_address,
    read_status,
    run_inside,
    run_on,
    send,
    start_container,
    wait_for_fans,
    wait_until_reached,
)
from tests.integration.steps import reboot_machine, run_hook

# Machines are of this host's release, and Ubuntu has LXD in the snap store alone.
pytestmark = pytest.mark.skipif(
    read_host_release()[0] == "ubuntu", reason="this release has no package of LXD"
)

# LXD's own search for a free network does not come to an end in a machine without a way out.
SET_UP = """
set -e
apt-get install -q -y --no-install-recommends lxd dnsmasq-base
lxc network create lxdbr0 ipv4.address=10.77.0.1/24 ipv4.nat=true ipv6.address=none
lxc storage create default dir
lxc profile device add default root disk path=/ pool=default
lxc profile device add default eth0 nic network=lxdbr0 name=eth0
"""
# An image out of Debian's busybox, which asks for an address by DHCP and does nothing else.
MAKE_IMAGE = r"""
set -e
root=/tmp/lxd/rootfs
mkdir -p $root/sbin $root/etc $root/proc $root/sys $root/dev
cp -a /tmp/box/bin /tmp/box/tmp $root/
ln -s ../bin/busybox $root/sbin/init
cat >$root/etc/inittab <<'END'
::sysinit:/bin/ip link set eth0 up
::respawn:/bin/udhcpc -f -i eth0 -s /etc/udhcpc
END
cat >$root/etc/udhcpc <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip address flush dev eth0
ip address add $ip/$mask dev eth0
ip route replace default via $router
END
chmod 755 $root/etc/udhcpc
echo '{"architecture": "x86_64", "creation_date": 1}' >/tmp/lxd/metadata.yaml
tar -c -C /tmp/lxd . | gzip -1 >/tmp/lxd.tar.gz
lxc image import /tmp/lxd.tar.gz --alias box
"""


def read_bridge(juju: jubilant.Juju, machine: int) -> dict[str, str]:
    """Return the configuration of LXD's bridge."""
    answer = run_on(juju, machine, "lxc", "query", "/1.0/networks/lxdbr0")
    return json.loads(answer)["config"]


def launch(juju: jubilant.Juju, machine: int, name: str) -> str:
    """Start an LXD container, and return its address when it has one."""
    run_on(juju, machine, "sh", "-c", f"lxc launch box {name} >/dev/null </dev/null")
    return wait_for_address(juju, machine, name)


def wait_for_address(juju: jubilant.Juju, machine: int, name: str) -> str:
    address = ""

    def has_one(_: jubilant.Status) -> bool:
        nonlocal address
        told: Any = json.loads(run_on(juju, machine, "lxc", "list", name, "--format", "json"))
        devices = (told[0]["state"]["network"] or {}).get("eth0", {}).get("addresses", ())
        found = [each["address"] for each in devices if each["family"] == "inet"]
        address = found[0] if found else ""
        return bool(found)

    juju.wait(has_one, successes=1)
    return address


def within(name: str, *command: str) -> tuple[str, ...]:
    """Return the command that runs another in an LXD container."""
    return ("lxc", "exec", name, "--", *command)


@pytest.fixture(scope="module")
def fan(shared_juju: jubilant.Juju, charms: dict[str, Path]) -> jubilant.Juju:
    """A model with the fan on two machines, each with an LXD whose bridge is not the fan yet."""
    deploy_fan(shared_juju, charms)
    for machine in (0, 1):
        build_image(shared_juju, machine)
        run_on(shared_juju, machine, "sh", "-c", SET_UP)
        run_on(shared_juju, machine, "sh", "-c", MAKE_IMAGE)
    return shared_juju


def test_lxds_and_dockers_containers_on_two_machines_reach_each_other(fan: jubilant.Juju) -> None:
    fan.config("fan", {"lxd": True})
    fan.wait(jubilant.all_active, successes=1)
    for machine, unit in list_units(fan).items():
        slice_ = fan.run(unit, "show").results["slice"]
        assert read_status(fan, unit)[1] == f"lxdbr0 {slice_}, 1 peer"
        start_container(fan, machine, f"docker{machine}", "--network", "fan", "--restart=always")
        launch(fan, machine, f"lxd{machine}")
    here = [run_inside("docker0"), within("lxd0")]
    there = [read_address(fan, 1, "docker1"), wait_for_address(fan, 1, "lxd1")]
    for enter in here:
        for address in there:
            assert reaches(fan, 0, enter, address)
    send(fan, (0, within("lxd0")), (1, within("lxd1")), there[1])
    send(fan, (0, run_inside("docker0")), (1, within("lxd1")), there[1])
    # On one machine too, each with a part of the slice.
    assert reaches(fan, 0, within("lxd0"), read_address(fan, 0, "docker0"))
    assert int(read_address(fan, 0, "docker0").split(".")[3]) < 128
    assert int(wait_for_address(fan, 0, "lxd0").split(".")[3]) >= 128


def test_lxd_restarted_keeps_its_containers_on_the_fan(fan: jubilant.Juju) -> None:
    run_on(fan, 0, "systemctl", "restart", "lxd")
    assert reaches(fan, 0, within("lxd0"), wait_for_address(fan, 1, "lxd1"))
    unit = list_units(fan)[0]
    assert fan.run(unit, "show").results["problems"] == "none"


def test_after_a_reboot_lxds_and_dockers_containers_are_on_the_fan_again(
    fan: jubilant.Juju,
) -> None:
    reboot_machine(fan)
    wait_until_reached(fan, 0, within("lxd0"), read_address(fan, 1, "docker1"))
    wait_until_reached(fan, 0, run_inside("docker0"), wait_for_address(fan, 1, "lxd1"))


def test_lxd_s_bridge_is_not_taken_from_dockers_containers(fan: jubilant.Juju) -> None:
    unit = list_units(fan)[0]
    fan.config("fan", {"lxd": False})
    fan.wait(lambda _: read_status(fan, unit)[0] == "blocked", successes=1)
    assert "containers are on it: docker0;" in read_status(fan, unit)[1]
    assert reaches(fan, 0, run_inside("docker0"), wait_for_address(fan, 1, "lxd1"))


def test_lxds_bridge_comes_back_as_it_was(fan: jubilant.Juju) -> None:
    before = {"ipv4.address": "10.77.0.1/24", "ipv4.nat": "true", "ipv6.address": "none"}
    for machine, unit in list_units(fan).items():
        run_on(fan, machine, "docker", "rm", "--force", f"docker{machine}")
        run_hook(fan, "update-status", unit=unit)
        assert read_bridge(fan, machine) == before
    # And once more, as the charm goes.
    fan.config("fan", {"lxd": True})
    fan.wait(jubilant.all_active, successes=1)
    assert read_bridge(fan, 0)["ipv4.address"].startswith("250.")
    fan.remove_relation("apache2", "fan")
    fan.wait(lambda status: not status.get_units("fan"), successes=1)
    assert read_bridge(fan, 0) == before
    run_on(fan, 0, "lxc", "restart", "--force", "lxd0")
    assert wait_for_address(fan, 0, "lxd0").startswith("10.77.0.")


def test_a_cluster_blocks_and_its_containers_can_be_on_the_fans_own_bridge(
    fan: jubilant.Juju,
) -> None:
    before = read_bridge(fan, 0)
    run_on(fan, 0, "lxc", "config", "set", "core.https_address", "127.0.0.1:8443")
    run_on(fan, 0, "lxc", "cluster", "enable", "alone")
    fan.integrate("apache2:juju-info", "fan:juju-info")
    fan.wait(lambda status: len(status.get_units("fan")) == 2, successes=1)
    unit = list_units(fan)[0]
    fan.wait(lambda _: read_status(fan, unit)[0] == "blocked", successes=1)
    assert read_status(fan, unit)[1].startswith("LXD is in a cluster,")
    assert read_bridge(fan, 0) == before
    fan.config("fan", {"lxd": False, "dhcp": True})
    wait_for_fans(fan, 2)
    device = ("nictype=bridged", "parent=fan-250", "name=eth0")
    run_on(fan, 0, "lxc", "config", "device", "add", "lxd0", "eth0", "nic", *device)
    run_on(fan, 0, "lxc", "restart", "--force", "lxd0")
    assert wait_for_address(fan, 0, "lxd0").startswith("250.")
