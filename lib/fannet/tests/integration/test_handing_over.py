"""Packets that are taken in on the processor that their container answers on."""

from __future__ import annotations

import sys

from lib.fannet.tests.integration.lab import OVERLAY, Container, Host, Lab, transfer
from lib.fannet.tests.integration.test_past_the_device import count_bridged, count_sent

MASK = "/sys/class/net/fan-fa000000-p/queues/rx-0/rps_cpus"
# On these processors client and server run.
APART, TOGETHER = ("--affinity", "0,1"), ("--affinity", "0,0")


def up(host: Host) -> str:
    """Run fanctl up, which sees the namespace's own /sys; return what it did."""
    return host.run_apart(sys.executable, "-m", "fannet", "up", OVERLAY, "eth0/16")


def count_passing_port(source: Container, target: Container, *options: str) -> int:
    """Move data; return how many packets for other hosts, or from them, the target's port had."""
    before = count_bridged(target)
    assert transfer(source, target, *options)["end"]["sum_sent"]["bytes"] >= 64 << 20
    return count_bridged(target) - before


def test_what_moves_a_lot_is_handed_to_the_processor_of_its_container(lab: Lab) -> None:
    one, other = lab.pair()
    assert up(other.host) == "add the fan to the programs\n"
    assert up(other.host) == ""
    before = count_sent(other)
    assert count_passing_port(one, other, *APART) > 200
    assert count_sent(other) < before + 20  # past bridge and device all the same


def test_nothing_is_handed_to_the_processor_that_has_it_already(lab: Lab) -> None:
    one, other = lab.pair()
    up(other.host)
    assert count_passing_port(one, other, *TOGETHER) < 50


def test_without_leave_for_other_processors_each_keeps_what_it_gets(lab: Lab) -> None:
    one, other = lab.pair()  # by a process that does not see the namespace's own /sys
    other.host.up()
    assert count_passing_port(one, other, *APART) < 50


def test_packets_arrive_while_the_leave_is_taken_and_up_gives_it_again(lab: Lab) -> None:
    one, other = lab.pair()
    up(other.host)
    assert int(other.host.run_apart("cat", MASK).replace(",", ""), 16) & 3 == 3
    other.host.run_apart("sh", "-c", f"echo 0 >{MASK}")
    assert count_passing_port(one, other, *APART) > 200  # handed over, and taken in where it was
    shown = other.host.run_apart(sys.executable, "-m", "fannet", "show", "--verbose")
    assert "not done: add the fan to the programs" in shown
    up(other.host)
    assert int(other.host.run_apart("cat", MASK).replace(",", ""), 16) & 3 == 3
