"""What is wrong with a fan as far as this machine can tell alone."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path

from fannet import probes
from fannet.check.findings import ADVICE, Finding, explain, problem
from fannet.dhcp import find_dhcp_problems, read_dhcp
from fannet.fan import OVERHEAD, Fan, FanState, name_tunnel
from fannet.fanfile import format_command
from fannet.links import Link
from fannet.machine import Address, Machine, open_machine
from fannet.underlay import read_addresses

_FORWARDING = Path("/proc/sys/net/ipv4/ip_forward")
_BRIDGED = Path("/proc/sys/net/bridge/bridge-nf-call-iptables")  # there with br_netfilter
_IPTABLES = Path("/usr/sbin/iptables")


def check_machine(state: FanState) -> tuple[Finding, ...]:
    """Return what is wrong with a fan as far as this machine can tell alone; takes a second."""
    fan = state.fan
    repair = f"{format_command(fan, read_dhcp(fan.bridge))} repairs it"
    found = [problem(text, repair) for text in (*state.problems, *find_dhcp_problems(fan.bridge))]
    if _FORWARDING.read_text().strip() == "0" and (fan.masquerade or fan.encapsulation == "ipip"):
        found.append(
            problem(
                "this machine forwards no packets (net.ipv4.ip_forward is 0), so containers do "
                "not reach what is outside of their bridge",
                "sysctl -w net.ipv4.ip_forward=1, and look for what in /etc/sysctl.d turns it off",
            )
        )
    found += _check_filter(fan.bridge)
    if state.device is None:
        found.append(
            problem(
                f"no device of this machine has the address {fan.host} any more",
                "fanctl up with the address that it has now; the slice moves with it",
            )
        )
    else:
        found += _check_device(state, state.device)
    with open_machine() as machine:
        links = machine.links()
        found += _check_plugged(state, links)
        found += _check_overlaps(fan, machine)
    found += [
        Finding("warning", f"packets were dropped: {explain(reason, count)}", then)
        for reason, (_, then) in ADVICE.items()
        if (count := state.drops.get(reason, 0))
    ]
    return tuple(found)


def _check_filter(bridge: str) -> list[Finding]:
    """Docker lets iptables drop what it does not know, and bridged packets pass through them."""
    if not (_BRIDGED.exists() and _BRIDGED.read_text().strip() == "1" and _IPTABLES.exists()):
        return []
    done = subprocess.run([str(_IPTABLES), "-S"], check=False, capture_output=True, text=True)
    allowed = f"-i {bridge} -o {bridge} -j ACCEPT"
    # From version 28 on, Docker accepts what comes from a bridge of its own, wherever it goes.
    rules = (allowed, f"-i {bridge} -j ACCEPT")
    if "-P FORWARD DROP" not in done.stdout or any(rule in done.stdout for rule in rules):
        return []
    text = f"iptables drops packets that no rule allows, bridged ones too: in {bridge}, only "
    text += "Docker's containers reach other hosts"
    chain = "DOCKER-USER" if "-N DOCKER-USER" in done.stdout else "FORWARD"
    then = f"iptables -I {chain} {allowed}, or create a Docker network over {bridge}"
    return [Finding("warning", text, then)]


def _check_device(state: FanState, device: str) -> list[Finding]:
    fan = state.fan
    found: list[Finding] = []
    needed = state.mtu + OVERHEAD[fan.encapsulation]
    with open_machine() as machine:  # and not /sys, which may be of another network namespace
        link = machine.find(device)
    mtu = link.mtu if link else needed
    if needed > mtu:
        found.append(
            problem(
                f"packets of {state.mtu} bytes need {needed} on {device}, which takes {mtu}",
                f"fanctl up with mtu {mtu - OVERHEAD[fan.encapsulation]} or less, on all hosts",
            )
        )
    own = next((a for a in read_addresses() if a.address == fan.host), None)
    if own and own.prefixlen < fan.mapping.underlay.prefixlen:
        found.append(_explain_prefix(own, fan))
    found += [
        problem(
            f"another host on {device} has the address {fan.host} too, with the MAC address "
            f"{mac}: both own the slice {fan.slice}",
            "give one of the two another address, and run fanctl up on it",
        )
        for mac in probes.ask_arp(device, IPv4Address(0), fan.host)
    ]
    return found


def _check_plugged(state: FanState, links: Mapping[str, Link]) -> list[Finding]:
    """A bridge drops, without a word, what is larger than the device that it should leave by."""
    found: list[Finding] = []
    for link in (links[name] for name in state.plugged if name in links):
        then = f"ip link set {link.name} mtu {state.mtu}, and the same inside of what is behind it"
        if link.mtu > state.mtu:
            found.append(
                problem(
                    f"{link.name} in {state.fan.bridge} sends packets of up to {link.mtu} bytes, "
                    f"and the fan takes {state.mtu}: larger ones are silently lost",
                    then,
                )
            )
        elif link.mtu < state.mtu:
            text = f"{link.name} in {state.fan.bridge} takes packets of up to {link.mtu} bytes, "
            text += f"and the fan {state.mtu}: larger ones for it are silently lost"
            found.append(Finding("warning", text, then))
    return found


def _check_overlaps(fan: Fan, machine: Machine) -> list[Finding]:
    """A route or an address of this machine's own takes its part of the overlay away."""
    return [
        Finding(
            "warning",
            f"this machine reaches {overlap}, which is in the overlay {fan.overlay}, so it does "
            "not reach containers with these addresses",
            "take an overlay that is used for nothing else, on all hosts",
        )
        for overlap in machine.find_overlaps(fan.overlay, {fan.bridge, name_tunnel(fan)})
    ]


def _explain_prefix(own: Address, fan: Fan) -> Finding:
    return Finding(
        "warning",
        f"{own.device} is on a /{own.prefixlen}, and the underlay {fan.mapping.underlay} is only "
        "a part of that: hosts of the rest are in no slice",
        f"to include them: fanctl up {fan.overlay} {own.device}/{own.prefixlen}, "
        "the same prefix on all hosts",
    )
