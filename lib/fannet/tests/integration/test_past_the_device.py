from __future__ import annotations

import json

from lib.fannet.tests.integration.kit import Container, Lab, ping, transfer


def count_sent(container: Container) -> int:
    """Return how many packets its device on the host has sent into the container."""
    shown = container.host.run("ip", "-j", "-s", "link", "show", container.outside)
    return json.loads(shown)[0]["stats64"]["tx"]["packets"]


def test_packets_go_past_the_device_of_a_container_that_up_has_seen(lab: Lab) -> None:
    one, other = lab.pair()
    ping(one, "250.0.27.5")
    before = count_sent(other)
    one.run("ping", "-c", "10", "-i", "0.01", "250.0.27.5")
    assert count_sent(other) >= before + 10
    assert not other.host.up().steps  # all works without, so it is nothing to mend
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
