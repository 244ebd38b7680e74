"""`fanctl` on real machines: the session of 2015, DHCP, and the boot."""

from __future__ import annotations

import tarfile
from pathlib import Path

import jubilant
import pytest

import fannet
from tests.integration.reader import Reader
from tests.integration.steps import reboot_machine
from tests.pages import take
from tools.instance import sudo

PACKAGES = "nftables dnsmasq-base udhcpc"
COMMAND = """\
#!/bin/sh
PYTHONPATH=/opt/fanctl exec /usr/bin/python3 -m fannet "$@"
"""
# Gives a device an address while the unit already waits for it, and tells that it did.
LATE = """\
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'until systemctl show fanctl -P ActiveState | grep -qx activating; \
do sleep 0.1; done; ip link add late0 type veth peer name late1; ip link set late0 up; \
ip link set late1 up; ip address add 10.77.0.5/16 dev late0; touch /run/late'

[Install]
WantedBy=multi-user.target
"""


@pytest.fixture(scope="module")
def juju(shared_juju: jubilant.Juju, tmp_path_factory: pytest.TempPathFactory) -> jubilant.Juju:
    """Two machines with `fanctl`."""
    archive = tmp_path_factory.mktemp("fanctl") / "fanctl.tar"
    with tarfile.open(archive, "w") as tar:
        tar.add(Path(fannet.__file__).parent, "fannet")
    command = archive.with_name("fanctl")
    command.write_text(COMMAND)
    shared_juju.cli("add-machine", "-n", "2")
    shared_juju.wait(lambda status: len(status.machines) == 2, successes=1)
    for machine in (0, 1):
        sudo(shared_juju, "apt-get update -q", machine=machine)
        install = "apt-get install -q -y --no-install-recommends"
        sudo(shared_juju, f"DEBIAN_FRONTEND=noninteractive {install} {PACKAGES}", machine=machine)
        sudo(shared_juju, "mkdir /opt/fanctl", machine=machine)
        for file in (archive, command):
            shared_juju.scp(file, f"{machine}:/tmp/{file.name}")
        sudo(shared_juju, "tar -C /opt/fanctl -xf /tmp/fanctl.tar", machine=machine)
        sudo(shared_juju, "install /tmp/fanctl /usr/local/sbin/fanctl", machine=machine)
    return shared_juju


def run(juju: jubilant.Juju, machine: int, *lines: str) -> str:
    return sudo(juju, "; ".join(["set -e", *lines]), machine=machine).stdout


def state(juju: jubilant.Juju, machine: int) -> str:
    """All that a fan and its DHCP could leave behind on a machine."""
    return run(
        juju,
        machine,
        "ip -o link | cut -d' ' -f2",
        "ip -4 route show table all",
        "nft list ruleset | grep -v counter",
        "sysctl net.ipv4.ip_forward",
        "systemctl list-units --all --no-legend 'fanctl*'",
        "ls /run/fanctl /var/lib/misc /etc/systemd/system/fanctl* 2>&1 || true",
    )


def plug_container(juju: jubilant.Juju, machine: int) -> str:
    """Plug a container into the fan, and let it ask for its address by DHCP."""
    run(
        juju,
        machine,
        # ip-netns(8): what the client writes to /etc/resolv.conf goes here, not to the machine's.
        "mkdir -p /etc/netns/web",
        "touch /etc/netns/web/resolv.conf",
        "ip netns add web",
        "ip link add web type veth peer name eth0 netns web",
        "ip link set web mtu 1450 master fan-250 up",
        "ip -n web link set eth0 mtu 1450 up",
        "ip netns exec web udhcpc -n -q -f -i eth0 2>&1",
    )
    shown = run(juju, machine, "ip -n web -4 -o address show dev eth0")
    return shown.split()[3]


def test_the_session_of_2015(juju: jubilant.Juju, tmp_path: Path) -> None:
    for machine, number in ((0, 28), (1, 27)):
        run(
            juju,
            machine,
            "ip link set host0 down",
            "ip link set host0 name eth0",
            "ip address flush dev eth0",
            f"ip address add 172.30.0.{number}/16 dev eth0",
            "ip link set eth0 up",
        )
    before = state(juju, 0)
    run(juju, 1, "fanctl up 250.0.0.0/8 eth0/16 dhcp")
    Reader(juju, tmp_path, {}).read(take("docs/reference/fanctl.md", __file__, "fanctl"))
    containers = {}
    for machine, number in ((0, 28), (1, 27)):
        run(juju, machine, "fanctl up 250.0.0.0/8 eth0/16 dhcp")
        assert run(juju, machine, "fanctl show") == (
            "Bridge           Overlay              Underlay             Flags\n"
            f"fan-250          250.0.0.0/8          172.30.0.{number}/16       "
            "dhcp host-reserve 1\n"
        )
        address, slash, prefix = plug_container(juju, machine).partition("/")
        assert (address.rpartition(".")[0], slash, prefix) == (f"250.0.{number}", "/", "8")
        assert 2 <= int(address.rpartition(".")[2]) <= 254
        routes = run(juju, machine, "ip -n web route")
        assert f"default via 250.0.{number}.1 dev eth0" in routes
        containers[machine] = address
        # Docker's iptables drop what is bridged between others' devices, and check says so.
        told = run(juju, machine, "fanctl check")
        allow = "iptables -I DOCKER-USER -i fan-250 -o fan-250 -j ACCEPT"
        assert allow in told
        run(juju, machine, allow)
    for here, there in ((0, 1), (1, 0)):
        told = run(juju, here, f"ip netns exec web ping -c 3 -i 0.2 {containers[there]}")
        assert "3 packets transmitted, 3 received, 0% packet loss" in told
        listen = "systemd-run -q --unit=nc -p StandardOutput=file:/run/bits"
        run(juju, there, f"{listen} ip netns exec web nc -N -l 9876")
        send = f"echo here come the bits | ip netns exec web nc -N {containers[there]} 9876"
        run(juju, here, f"until {send}; do sleep 0.1; done")
        run(juju, there, "while systemctl is-active -q nc; do sleep 0.1; done")
        assert run(juju, there, "cat /run/bits") == "here come the bits\n"
    assert "packets of up to 1450 bytes" in run(juju, 0, "fanctl check 172.30.0.27")
    run(
        juju,
        0,
        "ip netns del web",
        "fanctl down 250.0.0.0/8 eth0/16",
        "iptables -D DOCKER-USER -i fan-250 -o fan-250 -j ACCEPT",
    )
    assert state(juju, 0) == before


def test_every_spelling_of_up_and_down_is_taken(juju: jubilant.Juju, tmp_path: Path) -> None:
    run(juju, 0, "mkdir -p /etc/network", "echo '251.0.0.0/8 eth0/16' >/etc/network/fan")
    Reader(juju, tmp_path, {}).read(take("docs/reference/fanctl.md", __file__, "up, down"))
    assert run(juju, 0, "rm /etc/network/fan", "fanctl show").count("\n") == 1


def test_dhcp_starts_anew_when_its_bridge_was_made_anew(juju: jubilant.Juju) -> None:
    device = run(juju, 1, "ip -o -4 address show | grep -o '[a-z0-9]* *inet 172.30.[0-9.]*'")
    run(juju, 1, f"fanctl up 250.0.0.0/8 {device.split()[0]}/16 dhcp", "ip link del fan-250")
    assert "DHCP on fan-250" in run(
        juju, 1, f"fanctl up 250.0.0.0/8 {device.split()[0]}/16 dhcp host-reserve 9"
    )
    run(juju, 1, "ip netns del web || true")
    address = plug_container(juju, 1)
    assert 10 <= int(address.partition("/")[0].rpartition(".")[2]) <= 254
    # Nothing answers where DHCP does not belong.
    assert "0.0.0.0%fan-250:67" in run(juju, 1, "ss -Huln sport = :67")
    run(juju, 1, "ip netns del web", "fanctl down -e")
    assert run(juju, 1, "ls /run/fanctl 2>&1 || true").startswith("ls: cannot access")


def test_fans_are_there_again_after_a_boot_before_docker_starts(juju: jubilant.Juju) -> None:
    run(
        juju,
        0,
        "mkdir -p /etc/network",
        "echo '250.0.0.0/8 host0/16 dhcp' >/etc/network/fan",
        "echo '251.0.0.0/8 late0/16  # its device comes late' >>/etc/network/fan",
        f"printf %s '{_quote(LATE)}' >/etc/systemd/system/late.service",
        "systemctl enable late.service",
        "fanctl boot enable",
    )
    assert run(juju, 0, "fanctl boot status") == "enabled\n"
    reboot_machine(juju)
    run(juju, 0, "systemctl start fanctl.service", "test -e /run/late")
    bridges = [line.split()[0] for line in run(juju, 0, "fanctl show").splitlines()[1:]]
    assert bridges == ["fan-250", "fan-251"]
    run(juju, 0, "systemctl is-active fanctl.service fanctl-dhcp@fan-250.service")
    started = run(
        juju,
        0,
        "systemctl show fanctl.service -P ActiveEnterTimestampMonotonic",
        "systemctl show docker.service -P ExecMainStartTimestampMonotonic",
    )
    fans, docker = map(int, started.split())
    assert 0 < fans < docker
    run(juju, 0, "fanctl boot disable", "fanctl down -a", "rm /etc/network/fan")
    assert run(juju, 0, "fanctl show").count("\n") == 1
    assert run(juju, 0, "systemctl list-units --all --no-legend 'fanctl*'") == ""


def test_a_line_that_is_wrong_is_told_and_not_tried_for_ever(juju: jubilant.Juju) -> None:
    """The unit ends by itself, and what is good in the file is up."""
    wrong = "251.0.0.0/8 172.30.0.0/16 vni nine"
    run(
        juju,
        1,
        "ip link set host0 name eth0 2>/dev/null || true",
        "ip address replace 172.30.0.27/16 dev eth0",
        "ip link set eth0 up",
        "mkdir -p /etc/network",
        f"printf '250.0.0.0/8 172.30.0.27/16\\n{wrong}\\n' >/etc/network/fan",
        "fanctl boot enable",
        "systemctl start fanctl.service || true",
    )
    shown = run(juju, 1, "systemctl show fanctl.service -p ActiveState,ExecMainStatus,NRestarts")
    assert set(shown.split()) == {"ActiveState=failed", "ExecMainStatus=3", "NRestarts=0"}
    told = run(juju, 1, "journalctl -u fanctl.service --no-pager")
    assert "/etc/network/fan:2: flag 'vni' takes a number, not 'nine'" in told
    assert "fan-250" in run(juju, 1, "fanctl show")
    run(juju, 1, "fanctl boot disable", "fanctl down -e", "rm /etc/network/fan")
    assert run(juju, 1, "fanctl up -a", "fanctl down -a", "fanctl show").count("\n") == 1


def test_no_other_user_can_stop_fanctl(juju: jubilant.Juju) -> None:
    """Who holds the lock stops everyone, so only root may take it."""
    run(juju, 1, "fanctl up 250.0.0.0/8 172.30.0.27/16")
    taken = "setpriv --reuid=65534 --regid=65534 --clear-groups flock -n /run/fannet true"
    assert run(juju, 1, f"{taken} 2>/dev/null && echo taken || echo refused") == "refused\n"
    run(juju, 1, "fanctl down -e")


def _quote(text: str) -> str:
    return text.replace("'", "'\\''")
