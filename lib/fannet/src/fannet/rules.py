"""Packet filter rules, in a table of our own: `nft list table ip fannet`.

The programs check what passes the tunnel. The rules ensure that nothing goes around them:

- a packet to the fan's port of another host leaves only if the programs sent it: they mark it, and
  to set a mark takes CAP_NET_ADMIN or CAP_NET_RAW in this network namespace. A local process's is
  dropped, and so is a forwarded one that has taken this host's address by NAT;
- a source address of the overlay, or of the underlay in a tunnel's packet, is suspect where it
  comes by another device than a packet to it would leave by. What becomes of a suspect depends on
  where it goes, which is known once it is routed, or seen to cross somebody else's bridge;
- what has another slice's address and comes out of the fan's bridge came through `fan_rx`, which
  marks it, too.

nftables, since what one of its tables holds is nobody else's: neither Docker nor a firewall
rewrites it, and it goes without a trace. Every change is one transaction.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from fannet.errors import KernelError
from fannet.fan import Fan, name_tunnel

NFT = "/usr/sbin/nft"
_TABLE = "ip fannet"
# A mark is taken off before others' rules see it. The tunnel's is there when its packet is routed:
# no rule for that (`ip rule`) of what is widely used looks at the highest bits alone.
CHECKED = 0xFA000000  # as in bpf/mapping.h
_SUSPECT = 0xFA000001
_COUNTERS = ("rx_fragment", "rx_forged", "tx_forged")  # their names are those in DROPS
# At -450, before the kernel puts fragments together, which it does at -400
# (NF_IP_PRI_CONNTRACK_DEFRAG), and before others' rules can change a mark.
_CHAINS = {
    "arriving": "type filter hook prerouting priority -450;",
    "passing": "type filter hook prerouting priority raw;",
    "receiving": "type filter hook input priority -450;",
    "forwarding": "type filter hook forward priority -450;",
    "sending": "type filter hook output priority -450;",
    "leaving": "type nat hook postrouting priority srcnat;",
    "translated": "type filter hook postrouting priority srcnat + 10;",
}

Rule = tuple[str, str]


def make_rules(fans: Sequence[Fan], devices: Mapping[Fan, str]) -> list[Rule]:
    """Return the rules that fans need, as pairs of chain and rule; their order matters.

    Each ends in a comment with a digest of itself, by which it is recognized.

    Args:
        devices: the names of the fans' underlay devices, as far as they are there.
    """
    rules: list[Rule] = []
    for fan in sorted(fans, key=lambda fan: fan.overlay):
        device = devices.get(fan, "")
        rules += _guard_tunnel(fan, device, _list_hosts(fan, fans))
        rules += _guard_overlay(fan)
        rules += _stop_suspects(fan, device)
        rules += _masquerade(fan)
    if rules:
        rules.append(("forwarding", "meta mark set 0"))
    unique = dict.fromkeys(rules)  # two fans on one port need one rule against fragments
    return [(chain, f'{rule} comment "{_digest(rule)}"') for chain, rule in unique]


def _guard_tunnel(fan: Fan, device: str, hosts: str) -> Iterator[Rule]:
    """Yield what holds for a tunnel's own packets, and for what pretends to be some."""
    underlay, host, tunnel = fan.mapping.underlay, fan.host, _match_tunnel(fan)
    # More fragments, or an offset (RFC 791). The ports are in the first fragment; without it,
    # the others are never put together.
    yield "arriving", f"ip frag-off & 0x3fff != 0 {tunnel} {_drop('rx_fragment')}"
    # Those that come in by the underlay's device cost no look at the routes.
    elsewhere = f'iifname != "{device}" ' if device else ""
    yield "arriving", f"{tunnel} ip saddr {underlay} {elsewhere}{_match_suspects()}"
    # The tunnel's socket takes what comes to any address of this machine.
    yield "receiving", f"{tunnel} ip saddr {underlay} ip daddr != {hosts} {_drop('rx_forged')}"
    yield "translated", f"ct status snat ip daddr {underlay} {tunnel} {_drop('tx_forged')}"
    if fan.encapsulation != "vxlan":
        return  # to send IPIP takes CAP_NET_RAW, and may be the business of others, such as IPVS
    # Each direction of a tunnel has a source port of its own, so tracking would look up
    # each packet, and see one direction alone.
    yield "arriving", f"{tunnel} ip saddr {underlay} ip daddr {host} notrack accept"
    sent = f"{tunnel} ip daddr {underlay}"
    yield "sending", f"meta mark {CHECKED:#x} {sent} meta mark set 0 notrack accept"
    yield "sending", f"{sent} {_drop('tx_forged')}"


def _guard_overlay(fan: Fan) -> Iterator[Rule]:
    """Yield what holds for packets with addresses of the overlay."""
    inside = f'iifname "{fan.bridge}"'
    yield "arriving", f"{inside} ip saddr {fan.slice} accept"
    if fan.encapsulation == "vxlan":
        yield "arriving", f"{inside} meta mark {CHECKED:#x} meta mark set 0 accept"
    yield "arriving", f"{inside} ip saddr {fan.overlay} {_drop('rx_forged')}"
    yield "arriving", f"ip saddr {fan.overlay} {_match_suspects()}"
    if fan.encapsulation == "vxlan":
        # Programs take all that it receives, unless they are gone.
        yield "arriving", f'iifname "{name_tunnel(fan)}" {_drop("rx_forged")}'
        # Of a connection to another host's slice, this machine sees what leaves and not what
        # arrives past the bridge, so it can't track it; and to try costs throughput.
        away = f"ip daddr {fan.overlay} ip daddr != {fan.slice}"
        yield "passing", f"{inside} ip saddr {fan.slice} {away} notrack"


def _stop_suspects(fan: Fan, device: str) -> Iterator[Rule]:
    """Yield what becomes of suspects: only those go on that cross another bridge.

    Where a bridge's packets pass these rules, too (`br_netfilter`), they come and go by the
    bridge; what is routed does not.
    """
    yield "receiving", f"meta mark {_SUSPECT:#x} {_drop('rx_forged')}"
    yield "forwarding", f"meta mark != {_SUSPECT:#x} accept"
    names = [fan.bridge, device] if device else [fan.bridge]
    for name in names:
        to = "rx_forged" if name == fan.bridge else "tx_forged"
        out = "tx_forged" if name == fan.bridge else "rx_forged"
        yield "forwarding", f'oifname "{name}" iifname != "{name}" {_drop(to)}'
        yield "forwarding", f'iifname "{name}" oifname != "{name}" {_drop(out)}'


def _masquerade(fan: Fan) -> Iterator[Rule]:
    if fan.masquerade:
        away = f'ip saddr {fan.slice} ip daddr != {fan.overlay} oifname != "{fan.bridge}"'
        yield "leaving", f"{away} masquerade"


def _match_tunnel(fan: Fan) -> str:
    if fan.encapsulation == "vxlan":
        return f"udp dport {fan.port}"
    return "ip protocol 4"  # its name is ipencap in /etc/protocols, where ipip is another's


def _list_hosts(fan: Fan, fans: Sequence[Fan]) -> str:
    """Return the addresses that serve as this host's in fans of the same tunnel and underlay."""
    same = {
        other.host
        for other in fans
        if (other.mapping.underlay, _match_tunnel(other))
        == (fan.mapping.underlay, _match_tunnel(fan))
    }
    return f"{{ {', '.join(map(str, sorted(same)))} }}"


def _match_suspects() -> str:
    """Return what marks packets whose source is not routed to where they come from."""
    return f"fib saddr . iif oif missing meta mark set {_SUSPECT:#x}"


def _drop(reason: str) -> str:
    return f"counter name {reason} drop"


def is_in_force(fans: Sequence[Fan], devices: Mapping[Fan, str]) -> bool:
    """Return whether the table holds the rules of these fans in their order, and no others."""
    rules = make_rules(fans, devices)
    wanted = [(chain, rule.rpartition('comment "')[2][:-1]) for chain, rule in rules]
    table = _list()
    if table is None:
        return not wanted
    found = [(rule["chain"], rule.get("comment")) for rule in _select(table, "rule")]
    return sorted(found, key=_get_chain) == sorted(wanted, key=_get_chain)


def ensure_rules(fans: Sequence[Fan], devices: Mapping[Fan, str]) -> None:
    """Put the rules of these fans in force; without fans, remove the table."""
    # "add" first, since deleting what is not there fails. Chains of other versions go with it.
    lines = [f"add table {_TABLE}", f"delete table {_TABLE}"]
    if fans:
        lines.append(f"add table {_TABLE}")
        for name, count in count_drops().items():
            lines.append(f"add counter {_TABLE} {name} {{ packets {count} bytes 0 }}")
        for chain, place in _CHAINS.items():
            lines.append(f"add chain {_TABLE} {chain} {{ {place} }}")
        rules = make_rules(fans, devices)
        lines += [f"add rule {_TABLE} {chain} {rule}" for chain, rule in rules]
    _nft("-f", "-", text="\n".join([*lines, ""]))


def count_drops() -> dict[str, int]:
    """Return how many packets the rules dropped, over all fans, by reason as in DROPS."""
    counters = _select(_list() or [], "counter")
    found = {counter["name"]: counter["packets"] for counter in counters}
    return {name: found.get(name, 0) for name in _COUNTERS}


def _get_chain(rule: tuple[str, str | None]) -> str:
    return rule[0]


def _digest(rule: str) -> str:
    return hashlib.sha256(rule.encode()).hexdigest()[:16]


def _select(table: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [item[kind] for item in table if kind in item]


def _list() -> list[dict[str, Any]] | None:
    done = _run("-j", "list", "table", *_TABLE.split())
    if done.returncode:
        return None
    return json.loads(done.stdout)["nftables"]


def _nft(*arguments: str, text: str) -> None:
    done = _run(*arguments, text=text)
    if done.returncode:
        reason = " ".join(done.stderr.split())
        raise KernelError(f"nft refused the fan's rules: {reason[:300]}")


def _run(*arguments: str, text: str = "") -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            [NFT, *arguments], check=False, input=text, capture_output=True, text=True
        )
    except FileNotFoundError:
        raise KernelError(f"{NFT} is missing; install the package nftables") from None
