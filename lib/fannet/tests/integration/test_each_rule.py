"""That no rule of the packet filter is without a use.

Each is taken out of the live rule set alone. What it is for then no longer holds: an attack that
it stops arrives, or what it lets pass does not.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from itertools import count

import pytest
from scapy.layers.inet import IP, UDP, fragment
from scapy.layers.l2 import Ether

from fannet import Fan, parse_mapping
from fannet.rules import Rule, make_rules
from lib.fannet.tests.integration.around import (
    EVIL,
    FORGERIES,
    HERE,
    THERE,
    Forgery,
    Ground,
    Kind,
    bare,
    count_drops,
    listening,
    make_ground,
    there,
    tunnelled,
)
from lib.fannet.tests.integration.lab import Host, reaches, send, wait_for

Check = Callable[[Ground], bool]
_markers = count()
HOSTS = {"here": IPv4Address(HERE), "there": IPv4Address(THERE)}


def stops(forgery: str | Forgery) -> Check:
    """Return what tells whether a forgery is dropped and counted; or it arrives."""
    attack = FORGERIES[forgery] if isinstance(forgery, str) else forgery

    def is_stopped(ground: Ground) -> bool:
        marker = f"forged {next(_markers)}".encode()
        host, reason = attack.counted(ground), attack.reason
        before = count_drops(host, reason)
        arrived = [False]

        def is_decided() -> bool:
            arrived[0] = has(marker)
            return arrived[0] or count_drops(host, reason) > before

        with listening(attack.target(ground)) as has:
            attack.send(ground, marker)
            wait_for(is_decided, "it arrives or is counted")
        return not arrived[0]

    return is_stopped


def passes(place: str, target: str) -> Check:
    """Return what tells whether a ping is answered."""
    return lambda ground: reaches(getattr(ground, place), target)


def untracked(place: str, packets: str, target: str = "250.0.27.5") -> Check:
    """Return what tells whether packets of a ping are not tracked."""

    def is_untracked(ground: Ground) -> bool:
        with watching(getattr(ground, place), "prerouting", packets, "ct state untracked") as seen:
            assert reaches(ground.container, target)
            return seen()

    return is_untracked


def is_unmarked(ground: Ground) -> bool:
    """Tell whether a suspect that goes on has no mark when others' rules look at it."""
    with watching(ground.here, "forward", "ip daddr 172.17.0.9", "meta mark 0") as seen:
        bare("plain", "250.0.27.5", "172.17.0.9")(ground, b"it goes on")
        return seen()


@contextmanager
def watching(host: Host, hook: str, packets: str, trait: str) -> Iterator[Callable[[], bool]]:
    """Yield what tells whether the packets that pass a hook have a trait, all of them or none."""
    place = f"type filter hook {hook} priority mangle;"
    lines = ["add table ip watch", "add counter ip watch seen", "add counter ip watch such"]
    lines.append(f"add chain ip watch look {{ {place} }}")
    lines.append(f"add rule ip watch look {packets} counter name seen")
    lines.append(f"add rule ip watch look {packets} {trait} counter name such")

    def read() -> dict[str, int]:
        shown = json.loads(host.run("nft", "-j", "list", "counters", "table", "ip", "watch"))
        found = [item["counter"] for item in shown["nftables"] if "counter" in item]
        return {counter["name"]: counter["packets"] for counter in found}

    def is_so() -> bool:
        wait_for(lambda: read()["seen"] > 0, "a packet is seen")
        found = read()
        assert found["such"] in (0, found["seen"])
        return found["such"] > 0

    host.run("nft", "; ".join(lines))
    try:
        yield is_so
    finally:
        host.run("nft", "delete", "table", "ip", "watch")


def pieces_are_counted(ground: Ground) -> bool:
    """Tell whether pieces are dropped as such; the kernel would lose those of VXLAN silently."""
    marker, before = f"forged {next(_markers)}".encode(), count_drops(ground.there, "rx_fragment")
    payload = tunnelled(marker, "250.0.66.5", "250.0.27.5", ground.victim.mac())
    ether = Ether(src=ground.evil.mac(), dst=ground.there.mac())
    whole = ether / IP(src=EVIL, dst=THERE) / UDP(sport=40000, dport=8472) / payload
    with listening(ground.victim) as has:
        send(ground.evil, *fragment(whole, fragsize=48)[:1], whole)
        wait_for(lambda: has(marker), "the whole arrives")
    return count_drops(ground.there, "rx_fragment") > before


def send_past_no_programs(ground: Ground, marker: bytes) -> None:
    # Without the qdisc, there are no programs.
    command = ("tc", "qdisc", "delete", "dev", "fan-vx8472", "clsact")
    ground.there.run(*command, check=False)
    payload = tunnelled(marker, "10.9.9.9", "250.0.27.1", ground.there.mac("fan-vx8472"))
    ether = Ether(src=ground.evil.mac(), dst=ground.there.mac())
    outer = ether / IP(src=EVIL, dst=THERE) / UDP(sport=40000, dport=8472)
    send(ground.evil, outer / payload)


ELSEWHERE = "a container of another network"
NO_PROGRAMS = Forgery(send_past_no_programs, there, there, "rx_forged")


@dataclass
class Use:
    """A rule, by its chain and an expression for its text, whose it is, and what holds with it."""

    chain: str
    rule: str
    host: str
    holds: Check


USES = [
    Use("arriving", "ip frag-off", "there", pieces_are_counted),
    Use("arriving", "udp .* iifname != .* fib", "here", stops(f"{ELSEWHERE} as another host")),
    Use("arriving", "udp .* notrack accept", "there", untracked("there", "udp dport 8472")),
    Use("arriving", "iifname .* ip saddr .* accept", "here", passes("container", "250.0.28.1")),
    Use("arriving", "iifname .* meta mark .* accept", "here", passes("victim", "250.0.28.1")),
    Use(
        "arriving",
        "iifname .* ip saddr .* drop",
        "here",
        stops("a container as another slice's, to its own host"),
    ),
    Use("arriving", "ip saddr .* fib", "there", stops("a host as a container")),
    Use("arriving", 'iifname "fan-vx8472" counter', "there", stops(NO_PROGRAMS)),
    Use("passing", "iifname .* notrack", "here", untracked("here", "ip daddr 250.0.27.5")),
    Use(
        "receiving",
        "udp .* ip daddr != ",
        "there",
        stops("an ordinary user, to another address of the host"),
    ),
    Use("receiving", "meta mark", "there", stops("a host as a container, to the host itself")),
    Use("forwarding", "meta mark .* accept", "here", passes("container", THERE)),
    Use("forwarding", 'oifname "fan-250"', "here", stops(f"{ELSEWHERE} as another slice's")),
    Use(
        "forwarding",
        'iifname "fan-250"',
        "here",
        stops("a container as another host, to another network"),
    ),
    Use("forwarding", 'oifname "eth0"', "here", stops(f"{ELSEWHERE} as another host")),
    Use(
        "forwarding",
        'iifname "eth0"',
        "here",
        stops("a host as a container, to another network"),
    ),
    Use("forwarding", "meta mark set 0", "here", is_unmarked),
    Use("sending", "meta mark .* accept", "here", passes("container", "250.0.27.5")),
    Use("sending", "udp .* drop", "here", stops("an ordinary user")),
    Use("leaving", "ip saddr .* masquerade", "here", passes("container", THERE)),
    Use("translated", "ct status snat", "here", stops("a container, with its host's address")),
]


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    """A ground with br_netfilter: all rules have a use there."""
    with ExitStack() as stack:
        ground = make_ground(stack, Kind(br_netfilter=True))
        ground.here.run("nft", "delete", "table", "ip", "other")  # it masquerades, too
        yield ground


def select(use: Use) -> list[Rule]:
    """Return the rules of a fan, as this one has it, that a use is about."""
    fan = Fan(parse_mapping("250.0.0.0/8", "172.30.0.0/16"), HOSTS[use.host])
    rules = make_rules([fan], {fan: "eth0"})
    return [rule for rule in rules if rule[0] == use.chain and re.match(use.rule, rule[1])]


def take_out(host: Host, rule: Rule) -> None:
    chain, text = rule
    shown = json.loads(host.run("nft", "-j", "-a", "list", "chain", "ip", "fannet", chain))
    rules = [item["rule"] for item in shown["nftables"] if "rule" in item]
    (handle,) = [each["handle"] for each in rules if f'"{each["comment"]}"' in text]
    host.run("nft", "delete", "rule", "ip", "fannet", chain, "handle", str(handle))


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.chain}: {use.rule}")
def test_without_one_rule_what_it_is_for_no_longer_holds(ground: Ground, use: Use) -> None:
    host = getattr(ground, use.host)
    (rule,) = select(use)
    assert use.holds(ground)
    take_out(host, rule)
    try:
        assert not use.holds(ground)
        (state,) = host.read()
        assert state.problems
    finally:
        host.repair()
    assert use.holds(ground)
    ground.there.repair()  # where programs were taken away


def test_there_is_a_use_for_every_rule() -> None:
    found = [rule for use in USES for rule in select(use)]
    for host in HOSTS.values():
        fan = Fan(parse_mapping("250.0.0.0/8", "172.30.0.0/16"), host)
        chains = [chain for chain, _ in make_rules([fan], {fan: "eth0"})]
        assert sorted(chains) == sorted(chain for chain, _ in found)
