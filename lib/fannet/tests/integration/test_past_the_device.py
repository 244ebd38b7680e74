from __future__ import annotations

import json

from lib.fannet.tests.integration.lab import Container, Lab, ping, transfer

# Each takes a UDP port. One tells whether an answer came within a second.
ECHO = """
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as server:
    server.bind(("", int(sys.argv[1])))
    print("ready", flush=True)
    while True:
        server.sendto(*server.recvfrom(99))
"""
ASK = """
import socket, sys
with socket.socket(type=socket.SOCK_DGRAM) as client:
    client.settimeout(1)
    client.sendto(b"?", (sys.argv[1], int(sys.argv[2])))
    try:
        client.recv(99)
        print("answered")
    except TimeoutError:
        print("silence")
"""


def count_sent(container: Container) -> int:
    """Return how many packets its device on the host has sent into the container."""
    shown = container.host.run("ip", "-j", "-s", "link", "show", container.outside)
    return json.loads(shown)[0]["stats64"]["tx"]["packets"]


def count_bridged(container: Container) -> int:
    """Return how many packets its host's bridge had for other hosts."""
    shown = container.host.run("tc", "-j", "-s", "qdisc", "show", "dev", "fan-fa000000-p")
    return next(x["packets"] for x in json.loads(shown) if x["kind"] == "clsact")


def filters(container: Container) -> str:
    """Return the filters of what its device on the host receives."""
    device = container.outside
    return container.host.run("tc", "filter", "show", "dev", device, "ingress", check=False)


def add_filter(container: Container) -> None:
    """Add one that lets everything pass to what its device on the host receives."""
    tc = ("tc", "filter", "add", "dev", container.outside, "ingress", "pref", "9")
    container.host.run(*tc, "bpf", "da", "bytecode", "1,6 0 0 0")


def test_packets_go_past_the_device_of_a_container_that_up_has_seen(lab: Lab) -> None:
    one, other = lab.pair()
    ping(one, "250.0.27.5")
    before = count_sent(other)
    one.run("ping", "-c", "10", "-i", "0.01", "250.0.27.5")
    assert count_sent(other) >= before + 10
    assert not other.host.up().steps  # all works without, so there is nothing to repair
    ping(one, "250.0.27.5")
    before = count_sent(other)
    assert transfer(one, other)["end"]["sum_sent"]["bytes"] >= 64 << 20
    assert count_sent(other) < before + 10


def test_a_container_behind_another_bridge_is_reached_by_its_device(lab: Lab) -> None:
    one, other = lab.pair()
    other.host.configure(
        "link add inner type bridge",
        "link set inner up",
        "link add to-inner type veth peer name to-fan",
        "link set to-inner master fan-250 up",
        "link set to-fan master inner up",
    )
    behind = lab.container(other.host, "250.0.27.6/8", bridge="inner")
    behind.route_via("250.0.27.1")
    other.host.up()
    for _ in range(3):
        ping(one, "250.0.27.6")
        ping(behind, "250.0.28.5")


def test_a_container_that_starts_again_is_reached_before_up_has_seen_it(lab: Lab) -> None:
    one, other = lab.pair()
    other.host.up()
    ping(one, "250.0.27.5")
    other.unplug()
    other.plug(mac="02:00:00:00:00:05")
    other.route_via("250.0.27.1")
    ping(other, "250.0.28.5")
    ping(one, "250.0.27.5")
    assert not other.host.up().steps
    ping(one, "250.0.27.5")


def test_flows_leave_past_the_bridge_once_it_has_let_them_through(lab: Lab) -> None:
    one, other = lab.pair()
    before = count_bridged(one)
    transfer(one, other)
    assert count_bridged(one) >= before + 1000  # the device is not known yet
    assert not one.host.up().steps
    before = count_bridged(one)
    assert transfer(one, other)["end"]["sum_sent"]["bytes"] >= 64 << 20
    # The first of each connection's, and what is sent before one of it is there.
    assert before < count_bridged(one) < before + 100


def test_a_rule_of_iptables_holds_for_new_flows_while_others_go_past_it(lab: Lab) -> None:
    one, other = lab.pair()
    one.host.up()
    one.host.filter_bridged()
    rule = ("FORWARD", "-d", "250.0.27.5", "-p", "udp", "--dport", "7", "-j", "DROP")
    one.host.run("iptables", "-A", *rule)
    transfer(one, other)
    for port, answer in (("7", "silence"), ("9", "answered")):
        ask = ("python3", "-c", ASK, "250.0.27.5", port)
        server = other.start("python3", "-c", ECHO, port)
        assert server.stdout
        assert server.stdout.readline() == "ready\n"
        assert one.run(*ask).strip() == answer
        server.kill()
        server.communicate()
    dropped = one.host.run("iptables", "-nvx", "-L", "FORWARD")
    assert " 1 " in dropped.splitlines()[2]


def test_a_device_that_somebody_else_filters_is_left_alone(lab: Lab) -> None:
    one, other = lab.pair()
    one.host.run("tc", "qdisc", "add", "dev", one.outside, "clsact")
    add_filter(one)
    before = filters(one)
    one.host.up()
    assert filters(one) == before
    transfer(one, other)
    one.host.down()
    assert filters(one) == before


def test_down_leaves_no_program_on_the_devices_of_containers(lab: Lab) -> None:
    one, _ = lab.pair()
    qdiscs = one.host.run("tc", "qdisc", "show", "dev", one.outside)
    one.host.up()
    assert "fan_direct" in filters(one)
    one.host.down()
    assert one.host.run("tc", "qdisc", "show", "dev", one.outside) == qdiscs


def test_a_filter_that_came_after_ours_stays_when_ours_goes(lab: Lab) -> None:
    one, _ = lab.pair()
    one.host.up()
    add_filter(one)
    one.host.down()
    assert "fan_direct" not in filters(one)
    assert "pref 9" in filters(one)


def test_a_device_on_another_bridge_keeps_no_program(lab: Lab) -> None:
    one, _ = lab.pair()
    one.host.up()
    one.host.configure("link add other type bridge", f"link set {one.outside} master other")
    one.host.up()
    assert not filters(one)


def test_each_of_two_fans_has_its_own_program_on_its_containers(lab: Lab) -> None:
    one, other = lab.pair()
    second = []
    for first in (one, other):
        fan = first.host.fan("99.0.0.0/8", port=4789)
        first.host.up(fan)
        second.append(lab.container(first.host, f"{fan.slice[5]}/8", bridge="fan-99"))
        first.host.up(fan)
        first.host.up()
    for source, target in ((one, other), (second[0], second[1])):
        transfer(source, target)
    one.host.down()
    assert "fan_direct" not in filters(one)
    assert "fan_direct" in filters(second[0])
    transfer(*second)


def test_devices_on_somebody_elses_bridge_have_no_program(lab: Lab) -> None:
    host, other = lab.host("172.30.0.28/16"), lab.host("172.30.0.27/16")
    fan = host.fan(bridge="lxdbr0", own_bridge=False)
    host.configure(
        "link add lxdbr0 mtu 1450 address 02:00:00:00:00:01 type bridge",  # as LXD does
        f"address add {fan.gateway} dev lxdbr0",
        "link set lxdbr0 up",
    )
    inside = lab.container(host, "250.0.28.5/8", bridge="lxdbr0")
    inside.route_via("250.0.28.1")
    other.up()
    host.up(fan)
    assert not host.up(fan).steps
    assert not filters(inside)
    transfer(inside, lab.container(other, "250.0.27.5/8"))
