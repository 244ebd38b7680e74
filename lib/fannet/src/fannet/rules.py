"""Packet filter rules, in a table of our own: `nft list table ip fannet`.

nftables, since what one of its tables holds is nobody else's: neither Docker nor a firewall
rewrites it, and it goes without a trace. Every change is one transaction.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from collections.abc import Sequence

from fannet.errors import KernelError
from fannet.fan import Fan

NFT = "/usr/sbin/nft"
_TABLE = "ip fannet"
_COUNTER = "fragments"
# Before the kernel puts fragments together, which it does at -400 (NF_IP_PRI_CONNTRACK_DEFRAG).
_CHAINS = {
    "fragments": "type filter hook prerouting priority -450;",
    "passing": "type filter hook prerouting priority raw;",
    "sending": "type filter hook output priority raw;",
    "leaving": "type nat hook postrouting priority srcnat;",
}


def write_rules(fans: Sequence[Fan]) -> list[tuple[str, str]]:
    """Return the rules that fans need, as pairs of chain and rule.

    Each ends in a comment with a digest of itself, by which it is recognized.
    """
    rules = []
    for fan in sorted(fans, key=lambda fan: fan.overlay):
        tunnel = "ip protocol 4"  # its name is ipencap in /etc/protocols, where ipip is another's
        if fan.encapsulation == "vxlan":
            tunnel = f"udp dport {fan.port}"
        # More fragments, or an offset (RFC 791). The ports are in the first fragment; without it,
        # the others are never put together.
        drop = f"ip frag-off & 0x3fff != 0 {tunnel} counter name {_COUNTER} drop"
        rules.append(("fragments", drop))
        if fan.encapsulation == "vxlan":
            # Each direction of a tunnel has a source port of its own, so tracking would look up
            # each packet, and see one direction alone.
            underlay, host = fan.mapping.underlay, fan.host
            rules += [
                ("passing", f"ip saddr {underlay} ip daddr {host} {tunnel} notrack"),
                ("sending", f"ip saddr {host} ip daddr {underlay} {tunnel} notrack"),
            ]
            # Of a connection to another host's slice, this host sees what leaves and not what
            # arrives past the bridge, so it can't track it; and to try costs throughput.
            away = f"ip daddr {fan.overlay} ip daddr != {fan.slice}"
            rules.append(
                ("passing", f'iifname "{fan.bridge}" ip saddr {fan.slice} {away} notrack')
            )
        if fan.masquerade:
            leaving = f'ip saddr {fan.slice} ip daddr != {fan.overlay} oifname != "{fan.bridge}"'
            rules.append(("leaving", f"{leaving} masquerade"))
    unique = dict.fromkeys(rules)  # two fans on one port need one rule against fragments
    return [(chain, f'{rule} comment "{_digest(rule)}"') for chain, rule in unique]


def is_in_force(fans: Sequence[Fan]) -> bool:
    """Return whether the table holds the rules of these fans, and no others."""
    wanted = [(chain, rule.rpartition('comment "')[2][:-1]) for chain, rule in write_rules(fans)]
    table = _list()
    if table is None:
        return not wanted
    found = [(rule["chain"], rule.get("comment")) for rule in _select(table, "rule")]
    return sorted(found, key=str) == sorted(wanted, key=str)


def apply_rules(fans: Sequence[Fan]) -> None:
    """Put the rules of these fans in force; without fans, remove the table."""
    if not fans:
        # "add" first, since deleting what is not there fails.
        _nft("-f", "-", text=f"add table {_TABLE}\ndelete table {_TABLE}\n")
        return
    lines = [f"add table {_TABLE}", f"add counter {_TABLE} {_COUNTER}"]
    for chain, place in _CHAINS.items():
        lines += [f"add chain {_TABLE} {chain} {{ {place} }}", f"flush chain {_TABLE} {chain}"]
    lines += [f"add rule {_TABLE} {chain} {rule}" for chain, rule in write_rules(fans)]
    _nft("-f", "-", text="\n".join([*lines, ""]))


def count_fragments() -> int:
    """Return how many fragments of tunnels' packets were dropped, over all fans."""
    counters = _select(_list() or [], "counter")
    return sum(counter["packets"] for counter in counters if counter["name"] == _COUNTER)


def _digest(rule: str) -> str:
    return hashlib.sha256(rule.encode()).hexdigest()[:16]


def _select(table: list[dict], kind: str) -> list[dict]:
    return [item[kind] for item in table if kind in item]


def _list() -> list[dict] | None:
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
