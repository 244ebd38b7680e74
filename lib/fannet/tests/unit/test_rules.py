from __future__ import annotations

import re
from ipaddress import IPv4Address
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fannet import Fan, parse_mapping
from fannet.rules import Rule, make_rules

HOST = IPv4Address("172.30.0.28")


def make_fan(overlay: str = "250.0.0.0/8", host: IPv4Address = HOST, **settings: Any) -> Fan:
    return Fan(parse_mapping(overlay, "172.30.0.0/16"), host, **settings)


def write(*fans: Fan) -> list[Rule]:
    """Return the rules of fans, without the digests."""
    rules = make_rules(fans, dict.fromkeys(fans, "eth0"))
    return [(chain, rule.rpartition(" comment")[0]) for chain, rule in rules]


def test_without_a_fan_there_are_no_rules() -> None:
    assert write() == []


def test_rules_of_one_port_are_written_once() -> None:
    one, other = make_fan(masquerade=False), make_fan("99.0.0.0/8", masquerade=False)
    both = write(one, other)
    assert len(set(both)) == len(both)
    tunnel = [rule for rule in both if "8472" in rule[1]]
    assert tunnel == [rule for rule in write(one) if "8472" in rule[1]]


def test_a_vxlan_fans_tunnels_and_what_leaves_for_other_slices_are_not_tracked() -> None:
    rules = [rule.removesuffix(" accept") for _, rule in write(make_fan())]
    assert [rule for rule in rules if rule.endswith("notrack")] == [
        f"udp dport 8472 ip saddr 172.30.0.0/16 ip daddr {HOST} notrack",
        "meta mark 0xfa000000 udp dport 8472 ip daddr 172.30.0.0/16 meta mark set 0 notrack",
        'iifname "fan-250" ip saddr 250.0.28.0/24 '
        "ip daddr 250.0.0.0/8 ip daddr != 250.0.28.0/24 notrack",
    ]
    assert not any("notrack" in rule for _, rule in write(make_fan(encapsulation="ipip")))


def test_packets_of_ipip_are_told_by_its_number() -> None:
    # /etc/protocols calls another protocol ipip.
    first = write(make_fan(encapsulation="ipip"))[0]
    assert first == (
        "arriving",
        "ip frag-off & 0x3fff != 0 ip protocol 4 counter name rx_fragment drop",
    )


def test_other_users_of_ipip_on_the_host_may_send() -> None:
    assert not [
        rule for chain, rule in write(make_fan(encapsulation="ipip")) if chain == "sending"
    ]


def test_each_address_that_is_this_hosts_in_a_fan_of_the_tunnel_receives() -> None:
    second = IPv4Address("172.30.0.29")
    rules = write(make_fan(), make_fan("99.0.0.0/8", second))
    assert [rule for chain, rule in rules if chain == "receiving" and "daddr" in rule] == [
        f"udp dport 8472 ip saddr 172.30.0.0/16 ip daddr != {{ {HOST}, {second} }} "
        "counter name rx_forged drop"
    ]


def test_where_the_underlays_device_is_gone_no_rule_names_it() -> None:
    fan = make_fan()
    names = re.findall('"([^"]*)"', "".join(f"{rule}\n" for _, rule in write(fan)))
    assert set(names) == {"fan-250", "fan-vx8472", "eth0"}
    bare = [rule.rpartition(" comment")[0] for _, rule in make_rules([fan], {})]
    assert set(re.findall('"([^"]*)"', "".join(bare))) == {"fan-250", "fan-vx8472"}


@given(st.permutations(["250.0.0.0/8", "99.0.0.0/8", "100.64.0.0/10"]))
def test_the_order_that_fans_are_given_in_makes_no_difference(overlays: list[str]) -> None:
    fans = [make_fan(overlay) for overlay in overlays]
    assert write(*fans) == write(*sorted(fans, key=lambda fan: fan.overlay))


def test_suspects_are_sorted_out_before_marks_are_taken_off() -> None:
    rules = [
        rule for chain, rule in write(make_fan(), make_fan("99.0.0.0/8")) if chain == "forwarding"
    ]
    assert rules[0] == "meta mark != 0xfa000001 accept"
    assert rules[-1] == "meta mark set 0"
    assert all(rule.endswith("drop") for rule in rules[1:-1])


def test_rules_with_other_contents_have_other_digests() -> None:
    one, other = (dict(make_rules([make_fan(bridge=name)], {}))["leaving"] for name in ("x", "y"))
    assert one.rpartition("comment")[2] != other.rpartition("comment")[2]
