"""What the charm says about a fan: the unit's status, and what the actions return."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import fannet
from fan.peers import Peer, Verification
from fan.throughput import Throughput
from fannet.check import Finding, PeerReport

_TOLD = 3  # names in a status; what is longer helps nobody


def describe_fan(
    fan: fannet.Fan, peers: Sequence[Peer], verification: Verification | None = None
) -> str:
    """Return a fan in one line, such as `fan-250 250.0.28.0/24, 3 peers verified`."""
    name = f"{fan.bridge} {fan.slice}"
    if not peers:
        return f"{name}, no peers yet"
    count = _count(len(peers), "peer")
    if verification is None:
        return f"{name}, {count}"
    well = len(verification.asked) - len(verification.silent)
    if well < len(peers):
        count = f"{well} of {count}"
    text = f"{name}, {count} verified"
    if verification.silent:
        text += f", no answer from {_shorten(verification.silent)}"
    return text


def describe_move(old: object, new: object, stale: Sequence[str]) -> str:
    """Return what is to be done since a machine's address has changed, in one line."""
    text = f"the slice moved from {old} to {new}"
    if not stale:
        return text
    return f"{text}; restart what has addresses of the old one: {', '.join(stale)}"


def list_fan(state: fannet.FanState) -> dict[str, Any]:
    """Return the results of the action `show`."""
    fan = state.fan
    return {
        "bridge": fan.bridge,
        "overlay": str(fan.overlay),
        "underlay": f"{fan.host}/{fan.mapping.underlay.prefixlen}",
        "slice": str(fan.slice),
        "gateway": str(fan.gateway.ip),
        "encapsulation": (
            f"vxlan, VNI {fan.vni}, UDP port {fan.port}"
            if fan.encapsulation == "vxlan"
            else fan.encapsulation
        ),
        "mtu": state.mtu,
        "masquerade": str(fan.masquerade).lower(),
        "shortcuts": str(fan.shortcuts).lower(),
        "device": state.device or "none",
        "plugged": ", ".join(state.plugged) or "none",
        "problems": "; ".join(state.problems) or "none",
    }


def list_reports(reports: Sequence[PeerReport], findings: Sequence[Finding]) -> dict[str, Any]:
    """Return the results of the action `verify`: as text, which Juju takes, and as JSON."""
    rows = [("UNIT", "HOST", "GATEWAY", "ROUND TRIP", "LARGEST PACKET")]
    for report in reports:
        rtt = "no answer" if report.rtt is None else f"{report.rtt:.3f} ms"
        mtu = "" if report.mtu is None else f"{report.mtu} bytes"
        rows.append((report.peer, str(report.host), str(report.target), rtt, mtu))
    told = [*findings, *(each for report in reports for each in report.findings)]
    return {
        "peers": "\n".join(_tabulate(rows)) if reports else "no peers yet",
        "findings": "\n".join(f"{each.level}: {each.text}; {each.next}" for each in told)
        or "none",
        "json": json.dumps(
            {
                "peers": [
                    {
                        "unit": report.peer,
                        "host": str(report.host),
                        "gateway": str(report.target),
                        "answered": report.answered,
                        "rtt-ms": report.rtt,
                        "mtu": report.mtu,
                        "findings": [each._asdict() for each in report.findings],
                    }
                    for report in reports
                ],
                "findings": [each._asdict() for each in findings],
            },
            separators=(",", ":"),
        ),
    }


def summarize_failures(reports: Sequence[PeerReport], findings: Sequence[Finding]) -> str:
    """Return what a verification failed for, in one line; empty if it did not."""
    silent = [report.peer for report in reports if not report.answered]
    if silent:
        return f"no answer from {_shorten(silent)}; the findings say why"
    told = [*findings, *(each for report in reports for each in report.findings)]
    return next((each.text for each in told if each.level == "problem"), "")


def list_throughput(throughput: Throughput, unit: str) -> dict[str, Any]:
    """Return the results of the action `measure`."""
    results = {
        "mbits-per-second": round(throughput.mbits, 1),
        "seconds": round(throughput.seconds, 1),
        "method": throughput.method,
    }
    if throughput.method == "ping":
        results["lost"] = throughput.lost
        results["note"] = (
            "ping's full-size packets, there and back, are what the way carries at least; "
            f"to measure TCP, which is faster, first run the action listen of {unit}"
        )
    return results


def list_drops(state: fannet.FanState) -> dict[str, Any]:
    """Return the results of the action `drops`: a count and an explanation for each reason."""
    counted = {reason: count for reason, count in state.drops.items() if count}
    return {
        "total": sum(counted.values()),
        **{
            reason.replace("_", "-"): f"{count}: the packet {fannet.DROPS[reason]}"
            for reason, count in counted.items()
        },
    }


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _shorten(names: Sequence[str]) -> str:
    rest = len(names) - _TOLD
    return ", ".join(names[:_TOLD]) + (f" and {rest} more" if rest > 0 else "")


def _tabulate(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]
