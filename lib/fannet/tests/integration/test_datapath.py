from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest

from fannet import ConflictError, Fan, FanError, UnderlayError, list_fans, parse_mapping
from lib.fannet.tests.integration.lab import Container, Lab, ping, reaches, transfer, wait_for


def test_containers_on_two_hosts_reach_each_other_both_ways(lab: Lab) -> None:
    one, other = lab.pair()
    ping(one, "250.0.27.5")
    ping(other, "250.0.28.5")
    for container in (one, other):
        for gateway in ("250.0.27.1", "250.0.28.1"):
            ping(container, gateway)


def test_packets_at_full_size_pass_unfragmented(lab: Lab) -> None:
    one, _ = lab.pair()
    ping(one, "250.0.27.5", "-M", "do", "-s", str(1450 - 28))
    ping(one.host, "250.0.27.5", "-M", "do", "-s", str(1450 - 28))


@pytest.mark.parametrize("step", [1, -1], ids=["there", "back"])
def test_tcp_moves_data_at_full_size(lab: Lab, step: int) -> None:
    source, target = lab.pair()[::step]
    done = transfer(source, target)
    assert done["start"]["tcp_mss_default"] == 1450 - 52  # IPv4, TCP, timestamps
    assert done["end"]["sum_sent"]["bytes"] >= 64 << 20


def test_the_mtu_follows_the_underlay_device(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16", mtu=9000)
    host.up()
    (state,) = host.read()
    assert (state.mtu, state.device) == (8950, "eth0")
    host.run("ip", "link", "set", "eth0", "mtu", "1400")
    (state,) = host.read()
    assert state.problems
    assert host.up().steps
    (state,) = host.read()
    assert (state.mtu, state.problems) == (1350, ())


def test_an_mtu_that_does_not_fit_is_refused(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16")
    with pytest.raises(
        FanError, match="mtu 1500 does not fit into eth0's 1500: vxlan leaves 1450"
    ):
        host.up(host.fan(mtu=1500))
    assert host.read() == []


def test_fans_are_listed_as_they_were_asked_for_whatever_is_wrong_with_them(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16")
    fans = [host.fan(mtu=1400), host.fan("99.0.0.0/8")]
    for fan in fans:
        host.up(fan)
    host.run("ip", "link", "delete", "fan-vx8472")
    with host.entered():
        assert list_fans() == fans[::-1]


def test_up_again_changes_nothing(lab: Lab) -> None:
    host = lab.pair()[0].host
    host.up()  # it has not seen the container yet
    before = host.snapshot()
    assert host.up().steps == ()
    assert host.snapshot() == before


def test_what_was_asked_for_is_read_back_from_the_kernel(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16")
    fan = host.fan(bridge="cloud", vni=77, port=4789, mtu=1400, masquerade=False)
    host.up(fan)
    (state,) = host.read()
    assert (state.fan, state.mtu, state.problems) == (fan, 1400, ())


DAMAGE = {
    "port": "ip link delete fan-fa000000-p",
    "tunnel": "ip link delete fan-vx8472",
    "tunnel is down": "ip link set fan-vx8472 down",
    "end is down": "ip link set fan-fa000000-e down",
    "unplugged": "ip link set fan-fa000000-p nomaster",
    "mtu": "ip link set fan-250 mtu 1300",
    "address": "ip address flush dev fan-250",
    "mac": "ip link set fan-250 address 02:00:00:00:00:99",
    "sender": "tc filter delete dev fan-fa000000-p egress",
    "receiver": "tc filter delete dev fan-vx8472 ingress",
    "qdisc": "tc qdisc delete dev fan-vx8472 clsact",
    "rules": "nft flush ruleset",
    "a rule": "nft flush chain ip fannet leaving",
    "forwarding": "sysctl -w net.ipv4.ip_forward=0",
}


@pytest.fixture(scope="module")
def repaired() -> Iterator[Container]:
    """A container that reaches another host, as the test before has repaired it."""
    with ExitStack() as stack:
        yield Lab(stack).pair()[0]


@pytest.mark.parametrize("command", DAMAGE.values(), ids=DAMAGE)
def test_up_repairs_what_was_damaged(repaired: Container, command: str) -> None:
    one = repaired
    ping(one, "250.0.27.5")
    one.host.run(*command.split())
    assert one.host.read()[0].problems
    assert one.host.up().steps
    assert one.host.read()[0].problems == ()
    assert one.host.up().steps == ()
    ping(one, "250.0.27.5")
    ping(one, "172.30.0.27")


def test_a_deleted_bridge_is_made_again(lab: Lab) -> None:
    host = lab.pair()[0].host
    host.run("ip", "link", "delete", "fan-250")
    assert host.read()[0].problems
    host.up()
    assert host.read()[0].problems == ()
    ping(host, "250.0.27.5")


def test_the_fans_own_devices_join_no_multicast_group(lab: Lab) -> None:
    """The kernel would report it through the fan, where each report counts as a drop."""
    host = lab.pair()[0].host
    groups = [line.split() for line in host.run("ip", "-4", "maddress").splitlines()]
    assert {words[1] for words in groups if words[0] == "inet"} == {"224.0.0.1"}  # never reported


def test_the_fans_own_devices_have_no_ipv6(lab: Lab) -> None:
    """Or the kernel would look for neighbours and routers through the fan, each time a drop."""
    host = lab.host("172.30.0.28/16")
    switches = "net.ipv6.conf.{}.disable_ipv6"
    host.run("sysctl", "-qw", *(f"{switches.format(name)}=0" for name in ("all", "default")))
    host.up()
    for device in ("fan-250", "fan-fa000000-p", "fan-fa000000-e", "fan-vx8472"):
        assert host.run("sysctl", "-n", switches.format(device)).strip() == "1", device


def test_a_program_of_another_kind_in_our_place_is_replaced(lab: Lab) -> None:
    one, _ = lab.pair()
    tc = (
        "tc",
        "filter",
        "replace",
        "dev",
        "fan-vx8472",
        "ingress",
        "protocol",
        "all",
        "pref",
        "1",
    )
    one.host.run("tc", "filter", "delete", "dev", "fan-vx8472", "ingress")
    one.host.run(*tc, "handle", "1", "bpf", "da", "bytecode", "1,6 0 0 2")  # drops all
    assert not reaches(one, "250.0.27.5")
    one.host.up()
    # What waits for the neighbour that was just not found is lost when the kernel gives that up.
    wait_for(lambda: reaches(one, "250.0.27.5"), "what drops all is gone", seconds=30)


@pytest.mark.parametrize("forwarding", ["0", "1"])
def test_down_leaves_the_host_as_it_was(lab: Lab, forwarding: str) -> None:
    host = lab.host("172.30.0.28/16")
    host.run("sysctl", "-w", f"net.ipv4.ip_forward={forwarding}")
    before = host.snapshot()
    host.up()
    assert host.snapshot() != before
    assert host.down().steps
    assert host.snapshot() == before
    assert host.down().steps == ()


def test_forwarding_stays_on_where_another_bridge_may_need_it(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16")
    host.run("sysctl", "-w", "net.ipv4.ip_forward=0")
    host.up()
    host.run("ip", "link", "add", "docker0", "type", "bridge")
    host.down()
    assert host.run("sysctl", "-n", "net.ipv4.ip_forward") == "1\n"


@pytest.mark.parametrize("port", [8472, 4789], ids=["on one port", "on two ports"])
def test_two_fans_live_side_by_side(lab: Lab, port: int) -> None:
    one, other = lab.pair()
    second = []
    for first in (one, other):
        host = first.host
        fan = host.fan("99.0.0.0/8", port=port)
        assert fan.bridge == "fan-99"
        host.up(fan)
        container = lab.container(host, f"{fan.slice[5]}/8", bridge="fan-99")
        second.append(container)
        assert [state.problems for state in host.read()] == [(), ()]
        assert host.up().steps == host.up(fan).steps == ()
    ping(one, "250.0.27.5")
    ping(second[0], "99.0.27.5")
    ping(second[1], "99.0.28.5")
    one.host.down()
    assert [state.fan.bridge for state in one.host.read()] == ["fan-99"]
    assert one.host.read()[0].problems == ()
    ping(second[0], "99.0.27.5")


def test_a_changed_underlay_address_moves_the_slice(lab: Lab) -> None:
    one, other = lab.pair()
    host = one.host
    host.run("ip", "address", "flush", "dev", "eth0")
    host.run("ip", "address", "add", "172.30.1.9/16", "dev", "eth0")
    (state,) = host.read()
    assert state.device is None
    assert "172.30.0.28" in state.problems[0]
    fan = Fan(parse_mapping("250.0.0.0/8", "172.30.0.0/16"), IPv4Address("172.30.1.9"))
    change = host.up(fan)
    assert change.moved == (IPv4Network("250.0.28.0/24"), IPv4Network("250.1.9.0/24"))
    assert change.plugged == (one.outside,)
    one.run("ip", "address", "flush", "dev", "eth0")
    one.run("ip", "address", "add", "250.1.9.5/8", "dev", "eth0")
    ping(one, "250.0.27.5")
    ping(other, "250.1.9.1")
    assert host.read()[0].problems == ()
    assert host.up(fan) == type(change)(plugged=(one.outside,))


@pytest.mark.parametrize(
    "settings",
    [
        {"port": 4789},
        {"vni": 5},
        {"bridge": "cloud"},
        {"mtu": 1280},
        {"masquerade": False},
        {"shortcuts": False},
    ],
    ids=str,
)
def test_other_settings_change_the_fan_that_is_there(lab: Lab, settings: dict[str, Any]) -> None:
    one, other = lab.pair()
    for host in (one.host, other.host):
        fan = host.fan(**settings)
        assert host.up(fan).steps
        (state,) = host.read()
        assert (state.fan, state.problems) == (fan, ())
    ping(one.host, "250.0.27.1")


def test_a_bridge_of_someone_else_is_left_alone(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16")
    host.run("ip", "link", "add", "fan-250", "type", "bridge")
    before = host.snapshot()
    with pytest.raises(
        ConflictError, match="there is a device fan-250 already, which fannet did not make"
    ):
        host.up()
    assert host.snapshot() == before
    host.down()
    assert host.snapshot() == before


def test_someone_elses_bridge_can_be_the_fan(lab: Lab) -> None:
    host, other = lab.host("172.30.0.28/16"), lab.host("172.30.0.27/16")
    other.up()
    fan = host.fan(bridge="lxdbr0", own_bridge=False)
    with pytest.raises(ConflictError, match="there is no bridge lxdbr0"):
        host.up(fan)
    bridge = "ip link add lxdbr0 mtu 1450 address 02:00:00:00:00:01 type bridge"  # as LXD does
    host.run(*bridge.split())
    host.run("ip", "address", "add", str(fan.gateway), "dev", "lxdbr0")
    host.run("ip", "link", "set", "lxdbr0", "up")
    host.up(fan)
    container = lab.container(host, "250.0.28.5/8", bridge="lxdbr0")
    ping(container, "250.0.27.1")
    (state,) = host.read()
    assert (state.fan, state.problems, state.plugged) == (fan, (), (container.outside,))
    host.down()
    assert host.read() == []
    ping(container, "250.0.28.1")


def test_a_port_in_use_is_refused_and_nothing_stays(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16")
    flannel = "ip link add flannel.1 up type vxlan id 1 dstport 8472 dev eth0"
    host.run(*flannel.split())
    with pytest.raises(ConflictError, match="UDP port 8472 is in use"):
        host.up()
    host.run("ip", "link", "delete", "flannel.1")
    host.up()
    assert host.read()[0].problems == ()


def test_fans_that_collide_are_refused(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16")
    host.up()
    before = host.snapshot()
    with pytest.raises(ConflictError, match=r"overlaps the fan 250\.0\.0\.0/8"):
        host.up(host.fan("240.0.0.0/4"))
    with pytest.raises(ConflictError, match=r"bridge fan-250 belongs to the fan 250\.0\.0\.0/8"):
        host.up(host.fan("99.0.0.0/8", bridge="fan-250"))
    with pytest.raises(ConflictError, match="vni 16384000 on port 8472 belongs to"):
        host.up(host.fan("99.0.0.0/8", vni=0xFA0000))
    assert host.snapshot() == before


def test_an_underlay_address_that_is_not_here_is_refused(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16")
    fan = Fan(parse_mapping("250.0.0.0/8", "172.30.0.0/16"), IPv4Address("172.30.0.99"))
    with pytest.raises(UnderlayError, match=r"no device of this machine has the address 172\.30"):
        host.up(fan)


def test_an_address_on_the_loopback_device_stands_for_the_device_that_leads_on(lab: Lab) -> None:
    host = lab.host("192.0.2.1/24", mtu=1400)
    host.run("ip", "address", "add", "172.30.0.28/32", "dev", "lo")
    host.run("ip", "route", "add", "172.30.0.0/16", "dev", "eth0")
    host.up(Fan(parse_mapping("250.0.0.0/8", "172.30.0.0/16"), IPv4Address("172.30.0.28")))
    (state,) = host.read()
    assert (state.device, state.mtu) == ("eth0", 1350)


@pytest.mark.parametrize("masquerade", [True, False])
def test_masquerading_can_be_turned_off(lab: Lab, masquerade: bool) -> None:
    host, outside = lab.host("172.30.0.28/16"), lab.host("172.30.0.99/16")
    host.up(host.fan(masquerade=masquerade))
    container = lab.container(host, "250.0.28.5/8")
    container.route_via("250.0.28.1")
    assert reaches(container, "172.30.0.99") == masquerade
    outside.run("ip", "route", "add", "250.0.28.0/24", "via", "172.30.0.28")
    ping(container, "172.30.0.99")


def test_a_container_that_comes_back_on_another_device_is_reached_at_once(lab: Lab) -> None:
    one, other = lab.pair()
    mac = one.mac()
    transfer(other, one)  # packets have gone straight to its device
    one.unplug()
    one.plug(mac)
    ping(other, "250.0.28.5")


def test_what_a_host_routes_into_the_fan_finds_its_way_back(lab: Lab) -> None:
    one, other = lab.pair()
    one.host.run("ip", "link", "add", "docker0", "type", "bridge")
    one.host.run("ip", "address", "add", "172.17.0.1/16", "dev", "docker0")
    one.host.run("ip", "link", "set", "docker0", "up")
    one.host.run("nft", "add table ip nat")
    one.host.run("nft", "add chain ip nat out { type nat hook postrouting priority srcnat; }")
    one.host.run("nft", "add rule ip nat out ip saddr 172.17.0.0/16 oifname fan-250 masquerade")
    container = lab.container(one.host, "172.17.0.2/16", bridge="docker0")
    container.route_via("172.17.0.1")
    for _ in range(2):  # the second time, answers would go straight to where packets came from
        ping(container, "250.0.27.5")
        ping(one, "250.0.27.5")
        ping(other, "250.0.28.1")


def test_a_stock_learning_vxlan_peer_shares_the_fan(lab: Lab) -> None:
    ours, old = lab.host("172.30.0.28/16"), lab.host("172.30.0.30/16")
    ours.up()
    # As Ubuntu's fanctl made it; what its patched kernel computed, one flood entry does here.
    for command in (
        "ip link add fan-250 mtu 1450 type bridge",
        "ip address add 250.0.30.1/8 dev fan-250",
        "ip link add vxlan-250 type vxlan id 16384000 dstport 8472 local 172.30.0.30 learning",
        "ip link set vxlan-250 mtu 1450 master fan-250 up",
        "bridge fdb append 00:00:00:00:00:00 dev vxlan-250 dst 172.30.0.28",
        "ip link set fan-250 up",
    ):
        old.run(*command.split())
    here = lab.container(ours, "250.0.28.5/8")
    there = lab.container(old, "250.0.30.5/8")
    ping(here, "250.0.30.5", "-M", "do", "-s", str(1450 - 28))
    ping(there, "250.0.28.5", "-M", "do", "-s", str(1450 - 28))
    ping(there, "250.0.28.1")
    transfer(here, there)
    transfer(there, here)
    # The peer has learned our container's own address, which travelled unchanged.
    learned = old.run("bridge", "fdb", "show", "dev", "vxlan-250")
    assert f"{here.mac()} dst 172.30.0.28" in learned
