"""What a fan looks like to Prometheus: read from the machine when it asks, and not before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

import fannet
from fan import machine
from fan.claims import read_known_peers
from fan.peers import Peer, find_conflicts, ping_all
from fan.system import System

# A scrape asks no more: each takes a second if it does not answer.
MOST_PEERS = 64
_DEVICES = Path("/sys/class/net")
_TRAFFIC = {
    "received_bytes": ("rx_bytes", "Bytes from other machines."),
    "received_packets": ("rx_packets", "Packets from other machines."),
    "sent_bytes": ("tx_bytes", "Bytes to other machines."),
    "sent_packets": ("tx_packets", "Packets to other machines."),
}


class FanCollector(Collector):
    """The metrics of the fan that a unit has, for a registry of prometheus_client.

    Args:
        unit: the unit's name, such as fan/0.
    """

    def __init__(self, system: System, unit: str):
        self._system = system
        self.unit = unit

    def collect(self) -> Iterator[Metric]:
        """Read the machine, and yield each metric. What can't be known is left out."""
        try:
            state = machine.find_claimed(self._system, self.unit)
        except fannet.FannetError:
            state = None
        up = "Whether the fan is there, and as it should be."
        yield _gauge("up", up, bool(state and not state.problems))
        if state:
            yield from _describe_fan(state)
            yield from _describe_traffic(state.fan)
            known = read_known_peers(self.unit)
            peers = [peer for peer in known if not find_conflicts(state.fan, [peer])]
            yield _gauge("peers", "Other machines of the fan that are known.", len(known))
            yield from _describe_peers(self._system, state.fan, peers[:MOST_PEERS])


def _describe_fan(state: fannet.FanState) -> Iterator[Metric]:
    fan = state.fan
    info = GaugeMetricFamily(
        "fan_info", "The fan of this machine.", labels=["bridge", "overlay", "slice", "underlay"]
    )
    underlay = f"{fan.host}/{fan.mapping.underlay.prefixlen}"
    info.add_metric([fan.bridge, str(fan.overlay), str(fan.slice), underlay], 1)
    yield info
    yield _gauge("mtu_bytes", "The largest packet inside the fan.", state.mtu)
    yield _gauge("plugged_devices", "Devices in the fan's bridge.", len(state.plugged))
    drops = CounterMetricFamily("fan_drops", "Packets dropped.", labels=["reason"])
    for reason, count in state.drops.items():
        drops.add_metric([reason], count)
    yield drops


def _describe_traffic(fan: fannet.Fan) -> Iterator[Metric]:
    """Yield what the tunnel has carried; several fans can share one."""
    statistics = _DEVICES / fannet.name_tunnel(fan) / "statistics"
    for name, (file, text) in _TRAFFIC.items():
        try:
            count = int((statistics / file).read_text())
        except OSError:
            continue  # it has just been deleted; `up` tells
        yield CounterMetricFamily(f"fan_{name}", text, value=count)


def _describe_peers(system: System, fan: fannet.Fan, peers: list[Peer]) -> Iterator[Metric]:
    answers = ping_all(system, fan, peers)
    up = GaugeMetricFamily("fan_peer_up", "Whether a peer answers.", labels=["peer"])
    rtt = GaugeMetricFamily(
        "fan_peer_round_trip_seconds", "A packet's way to a peer and back.", labels=["peer"]
    )
    for peer, answer in zip(peers, answers, strict=True):
        up.add_metric([peer.unit], answer.received > 0)
        if answer.rtt is not None:
            rtt.add_metric([peer.unit], answer.rtt / 1000)
    yield up
    yield rtt


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"fan_{name}", text, value=value)
