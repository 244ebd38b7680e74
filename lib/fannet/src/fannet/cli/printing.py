"""How `fanctl` prints fans: as in 2015, in more detail, or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from fannet.dhcp import read_dhcp
from fannet.drops import DROPS
from fannet.fan import FanState
from fannet.fanfile import Entry, format_flags

if TYPE_CHECKING:
    from fannet.check import Finding, PeerReport, Report


def print_json(value: Any) -> None:
    print(json.dumps(value, indent=2))


def print_table(states: Sequence[FanState], *, verbose: bool) -> None:
    """Print fans with the columns of 2015."""
    _print_row("Bridge", "Overlay", "Underlay", "Flags")
    for state in states:
        fan = state.fan
        underlay = f"{fan.host}/{fan.mapping.underlay.prefixlen}"
        _print_row(
            fan.bridge, str(fan.overlay), underlay, format_flags(fan, read_dhcp(fan.bridge))
        )
        if verbose:
            for name, text in _details(state):
                print(f"  {name:<8} {text}")


def _print_row(bridge: str, overlay: str, underlay: str, flags: str) -> None:
    print(f"{bridge:<16} {overlay:<20} {underlay:<20} {flags}".rstrip())


def _details(state: FanState) -> list[tuple[str, str]]:
    fan = state.fan
    tunnel = fan.encapsulation
    if tunnel == "vxlan":
        tunnel += f", VNI {fan.vni}, UDP port {fan.port}"
    rows = [
        ("slice", f"{fan.slice}, {fan.gateway.ip} on {fan.bridge}"),
        ("device", f"{state.device or 'none has the address any more'}"),
        ("tunnel", tunnel),
        ("mtu", f"{state.mtu} bytes"),
        ("plugged", ", ".join(state.plugged) or "nothing"),
    ]
    rows += [
        ("dropped", f"{count} {reason}: {DROPS.get(reason, 'for another reason')}")
        for reason, count in state.drops.items()
        if count
    ]
    return rows + [("problem", text) for text in state.problems]


def as_json(state: FanState) -> dict[str, Any]:
    fan = state.fan
    return {
        "bridge": fan.bridge,
        "overlay": str(fan.overlay),
        "underlay": str(fan.mapping.underlay),
        "host": str(fan.host),
        "slice": str(fan.slice),
        "gateway": str(fan.gateway),
        "own_bridge": fan.own_bridge,
        "encapsulation": fan.encapsulation,
        "vni": fan.vni if fan.encapsulation == "vxlan" else None,
        "port": fan.port if fan.encapsulation == "vxlan" else None,
        "mtu": state.mtu,
        "fixed_mtu": bool(fan.mtu),
        "masquerade": fan.masquerade,
        "shortcuts": fan.shortcuts,
        "dhcp_host_reserve": read_dhcp(fan.bridge),
        "device": state.device,
        "plugged": list(state.plugged),
        "drops": dict(state.drops),
        "problems": list(state.problems),
    }


def entry_as_json(entry: Entry, slice_: str | None) -> dict[str, Any]:
    return {
        "line": entry.line,
        "overlay": entry.overlay,
        "underlay": entry.underlay,
        "slice": slice_,
        "enabled": entry.enabled,
        "dhcp_host_reserve": entry.host_reserve if entry.dhcp else None,
        "bridge": entry.bridge or entry.into or None,
        "own_bridge": not entry.into,
        "encapsulation": entry.encapsulation,
        "vni": entry.vni or None,
        "port": entry.port,
        "mtu": entry.mtu or None,
        "masquerade": entry.masquerade,
        "shortcuts": entry.shortcuts,
    }


def print_entries(entries: Sequence[Entry], slices: Mapping[Entry, str]) -> None:
    print(f"{'Line':<5} {'Overlay':<20} {'Underlay':<20} {'Slice':<20} State")
    for entry in entries:
        state = ("ok" if entry in slices else "wrong") if entry.enabled else "off"
        row = f"{entry.line:<5} {entry.overlay:<20} {entry.underlay:<20} "
        print(f"{row}{slices.get(entry, ''):<20} {state}")


def print_report(report: Report) -> None:
    for fan in report.fans:
        state = fan.state
        over = state.device or "no device"
        print(f"{state.fan.bridge} {state.fan.slice} of {state.fan.overlay} over {over}")
        _print_findings(fan.findings, "this machine is as it should be")
        for peer in fan.peers:
            _print_peer(peer, state)
    _print_findings(report.findings, "")


def _print_peer(peer: PeerReport, state: FanState) -> None:
    told = f"{peer.host} answers from {peer.target}" if peer.answered else ""
    if peer.rtt is not None:
        told += f" in {peer.rtt:.3g} ms"
    if peer.mtu is not None:
        told += f", with packets of up to {peer.mtu} bytes"
    if told:
        print(f"  {'ok':<8} {told}")
    _print_findings(peer.findings, "")


def _print_findings(findings: Sequence[Finding], otherwise: str) -> None:
    if not findings and otherwise:
        print(f"  {'ok':<8} {otherwise}")
    for finding in findings:
        print(f"  {finding.level:<8} {finding.text}")
        print(f"  {'':<8} next: {finding.next}")


def report_as_json(report: Report) -> dict[str, Any]:
    return {
        "ok": not report.has_problems,
        "findings": [finding._asdict() for finding in report.findings],
        "fans": [
            {
                "bridge": fan.state.fan.bridge,
                "overlay": str(fan.state.fan.overlay),
                "slice": str(fan.state.fan.slice),
                "findings": [finding._asdict() for finding in fan.findings],
                "peers": [_peer_as_json(peer) for peer in fan.peers],
            }
            for fan in report.fans
        ],
    }


def _peer_as_json(peer: PeerReport) -> dict[str, Any]:
    return {
        "peer": peer.peer,
        "host": str(peer.host),
        "target": str(peer.target),
        "answered": peer.answered,
        "rtt_ms": peer.rtt,
        "mtu": peer.mtu,
        "findings": [finding._asdict() for finding in peer.findings],
    }
