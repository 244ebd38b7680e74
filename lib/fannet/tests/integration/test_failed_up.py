"""An `up` that fails or is killed leaves nothing of a new fan, the old one, and no hole."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from fannet import ConflictError, FannetError, KernelError, UnderlayError, rules
from fannet.machine import Machine as HostLinks
from fannet.netlink import NetlinkError
from lib.fannet.tests.integration.lab import Host, Lab, ping

# What a container that may change the network, and nothing else, has not. By the numbers of
# CAP_PERFMON and CAP_BPF (<linux/capability.h>): setpriv of Ubuntu 22.04 does not know the names.
WITHOUT_BPF = ("setpriv", "--bounding-set", "-cap_39,-cap_38,-sys_admin")
UP = (sys.executable, "-m", "fannet", "up", "250.0.0.0/8", "172.30.0.28/16")
# Runs `fanctl up` until before or after its Nth step, where it is killed.
KILLED = """
import os, signal, sys
from fannet import steps
from fannet.cli import main
do, left = steps.Steps.do, int(sys.argv[1])
def count(self, step, action):
    global left
    if self.pretend:
        return do(self, step, action)
    for part in (lambda: None, action):
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        part()
steps.Steps.do = count
sys.exit(main(sys.argv[2:]))
"""


@pytest.fixture
def host(lab: Lab) -> Host:
    host = lab.host("172.30.0.28/16")
    # Or its IPv6 address becomes valid at some moment, by which snapshots would differ.
    host.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
    return host


def is_up(host: Host, device: str) -> bool:
    return "UP" in json.loads(host.run("ip", "-j", "link", "show", device))[0]["flags"]


@contextmanager
def refused_rule() -> Iterator[None]:
    """A packet filter that can be read, and takes no rules."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        nft = Path(folder, "nft")
        nft.write_text(f'#!/bin/sh\n[ "$1" != -f ] && exec {rules.NFT} "$@"\nexit 1\n')
        nft.chmod(0o755)
        patch.setattr(rules, "NFT", str(nft))
        yield


@contextmanager
def no_module() -> Iterator[None]:
    """A kernel without ipip devices, which is what the kernel of some testers is."""

    def refuse(*_: object) -> None:
        raise NetlinkError(95, "Operation not supported")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HostLinks, "add_ipip", refuse)
        yield


def fail_without_bpf(host: Host) -> None:
    """Run `fanctl up` without the right to load a program."""
    told = host.run_apart(
        "sh", "-c", '"$@" 2>&1 || echo "exit status $?"', "sh", *WITHOUT_BPF, *UP
    )
    assert re.fullmatch(r"fanctl: .*BPF.*\nexit status 1\n", told), told


def take_port(host: Host, port: int = 8472) -> None:
    flannel = f"ip link add flannel.1 up type vxlan id 1 dstport {port} dev eth0"
    host.run(*flannel.split())


def test_without_bpf_nothing_of_a_new_fan_stays(host: Host) -> None:
    before = host.snapshot()
    fail_without_bpf(host)
    assert host.snapshot() == before


def test_a_tunnel_that_lost_its_programs_is_down_after_a_failed_up(host: Host) -> None:
    host.up()
    host.run("tc", "qdisc", "del", "dev", "fan-vx8472", "clsact")
    assert any("fan-vx8472 down" in problem for problem in host.read()[0].problems)
    fail_without_bpf(host)
    assert not is_up(host, "fan-vx8472")
    host.up()
    assert is_up(host, "fan-vx8472")
    assert host.read()[0].problems == ()


def test_a_hole_is_closed_also_where_the_fan_cannot_be_made(host: Host) -> None:
    host.up()
    host.run("tc", "qdisc", "del", "dev", "fan-vx8472", "clsact")
    host.run("ip", "address", "flush", "dev", "eth0")
    with pytest.raises(UnderlayError):
        host.up()
    assert not is_up(host, "fan-vx8472")


@pytest.mark.parametrize("damage", ["", "tc qdisc del dev fan-vx8472 clsact"])
def test_a_tunnel_comes_up_after_its_programs_and_its_rules(
    host: Host, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    if damage:
        host.up()
        host.run(*damage.split())
        host.run("nft", "flush", "ruleset")
    set_link, seen = HostLinks.set_link, []

    def look(self: HostLinks, link: Any, **values: Any) -> None:
        if values.get("up") and link.name == "fan-vx8472":
            attached = host.run("tc", "filter", "show", "dev", link.name, "ingress")
            seen.append(("fan_rx" in attached, "notrack" in host.run("nft", "list", "ruleset")))
        set_link(self, link, **values)

    monkeypatch.setattr(HostLinks, "set_link", look)
    host.up()
    assert seen == [(True, True)]
    assert is_up(host, "fan-vx8472")


def test_a_port_of_another_vxlan_device_leaves_nothing(host: Host) -> None:
    take_port(host)
    before = host.snapshot()
    with pytest.raises(ConflictError, match="UDP port 8472 is in use"):
        host.up()
    assert host.snapshot() == before


def test_a_kernel_without_ipip_leaves_nothing(host: Host) -> None:
    before = host.snapshot()
    with no_module(), pytest.raises(FannetError, match="no ipip devices"):
        host.up(host.fan(encapsulation="ipip"))
    assert host.snapshot() == before


def test_a_rule_that_is_refused_leaves_nothing(host: Host) -> None:
    before = host.snapshot()
    with refused_rule(), pytest.raises(KernelError, match="nft refused the fan's rules"):
        host.up()
    assert host.snapshot() == before


def test_the_sixteenth_fan_on_a_port_leaves_nothing_and_the_others_work(host: Host) -> None:
    for number in range(1, 16):
        host.up(host.fan(f"250.{number}.0.0/17", "172.30.0.0/24"))
    before = host.snapshot()
    with pytest.raises(ConflictError, match="fan-vx8472 serves 15 fans already"):
        host.up(host.fan("250.99.0.0/17", "172.30.0.0/24"))
    assert host.snapshot() == before


def test_a_second_fan_that_fails_leaves_the_first_on_their_tunnel(lab: Lab) -> None:
    one, _ = lab.pair()
    host = one.host
    fan = host.fan("99.0.0.0/8")
    with refused_rule(), pytest.raises(KernelError):
        host.up(fan)
    (state,) = host.read()
    assert (str(state.fan.overlay), state.problems) == ("250.0.0.0/8", ())
    ping(one, "250.0.27.5")
    host.up(fan)


CHANGES: dict[str, tuple[dict[str, Any], Callable[[], Any]]] = {
    "port": ({"port": 4789}, refused_rule),
    "settings": ({"vni": 5, "mtu": 1280, "masquerade": False}, refused_rule),
    "bridge": ({"bridge": "cloud"}, refused_rule),
    "encapsulation": ({"encapsulation": "ipip"}, no_module),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_that_fails_leaves_the_fan_as_it_was(lab: Lab, what: str) -> None:
    settings, fault = CHANGES[what]
    one, _ = lab.pair()
    host = one.host
    (before,) = host.read()
    with fault(), pytest.raises(FannetError):
        host.up(host.fan(**settings))
    (after,) = host.read()
    assert after == before
    ping(one, "250.0.27.5")


def test_a_change_to_a_port_that_is_taken_changes_nothing(lab: Lab) -> None:
    one, _ = lab.pair()
    take_port(one.host, 4789)
    before = one.host.snapshot()
    with pytest.raises(ConflictError, match="UDP port 4789 is in use"):
        one.host.up(one.host.fan(port=4789))
    assert one.host.snapshot() == before
    ping(one, "250.0.27.5")


def run_killed(host: Host, step: int, *words: str) -> bool:
    """Run `fanctl` and kill it at a step; return whether it came so far."""
    command = (
        "/usr/sbin/ip",
        "netns",
        "exec",
        host.name,
        sys.executable,
        "-c",
        KILLED,
        str(step),
        *words,
    )
    return subprocess.run(command, check=False, capture_output=True).returncode == -9


@pytest.mark.parametrize("repair", ["up", "down"])
def test_an_up_that_is_killed_anywhere_is_repaired_by_the_next(host: Host, repair: str) -> None:
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    before, step = host.snapshot(), 0
    while run_killed(host, step, "up", "250.0.0.0/8", "eth0/16"):
        if "fan-vx8472" in host.run("ip", "-o", "link") and is_up(host, "fan-vx8472"):
            assert "fan_rx" in host.run("tc", "filter", "show", "dev", "fan-vx8472", "ingress")
        if repair == "up":
            host.up()
            assert host.read()[0].problems == ()
        host.down()
        assert host.snapshot() == before, f"killed at step {step}"
        step += 1
    assert step > 10


def test_a_down_that_is_killed_anywhere_is_repaired_by_the_next(host: Host) -> None:
    host.run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    before, step = host.snapshot(), 0
    host.up()
    while run_killed(host, step, "down", "250.0.0.0/8"):
        host.down()
        assert host.snapshot() == before, f"killed at step {step}"
        host.up()
        step += 1
    assert step > 4


def test_another_name_of_its_bridge_keeps_what_is_plugged_in(lab: Lab) -> None:
    one, _ = lab.pair()
    change = one.host.up(one.host.fan(bridge="cloud"))
    assert change.steps[0] == "rename bridge fan-250 to cloud"
    assert (change.renamed, change.plugged) == ("fan-250", (one.outside,))
    ping(one, "250.0.27.5")
    assert one.host.read()[0].problems == ()
    one.host.down()
    assert one.host.read() == []


def test_a_kernel_that_renames_no_device_that_is_up_renames_the_bridge_all_the_same(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_link = HostLinks.set_link

    def refuse(self: HostLinks, link: Any, **values: Any) -> None:
        if "name" in values and (found := self.find(link.name)) and found.is_up:
            raise NetlinkError(16, "Device or resource busy")
        set_link(self, link, **values)

    one, _ = lab.pair()
    monkeypatch.setattr(HostLinks, "set_link", refuse)
    one.host.up(one.host.fan(bridge="cloud"))
    assert one.host.read()[0].problems == ()
    ping(one, "250.0.27.5")


def test_a_bridge_that_would_cut_off_what_is_plugged_in_is_refused_by_name(lab: Lab) -> None:
    one, _ = lab.pair()
    host = one.host
    host.run("ip", "link", "add", "lxdbr0", "type", "bridge")
    before = host.snapshot()
    done = subprocess.run(
        ["/usr/sbin/ip", "netns", "exec", host.name, *UP, "into", "lxdbr0"],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert f"leave behind what is plugged in there: {one.outside}; " in done.stderr
    assert "--force" in done.stderr
    assert host.snapshot() == before
    ping(one, "250.0.27.5")
    host.run_apart(*UP, "into", "lxdbr0", "--force")
    assert host.read()[0].fan.bridge == "lxdbr0"
