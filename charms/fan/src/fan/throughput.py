"""What the way to a peer carries: over TCP to one that listens, otherwise as packets of ping.

Nothing listens unless an operator asks for it, and then for a while, on the fan's address alone,
and for other machines alone: fan_rx has checked that a packet comes from where it says.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import time
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from typing import Literal

import fannet
from fan.peers import Peer
from fannet import probes
from hostkit import programs, systemd

PORT = 8473  # TCP
_SYSTEMD_RUN = "/usr/bin/systemd-run"
_TIMEOUT = 30  # seconds
_CHUNK = 1 << 20  # bytes
_PENDING = 64  # packets of ping on the way
# A listener needs no right that root has.
_RIGHTS = (
    "CapabilityBoundingSet=",
    "NoNewPrivileges=yes",
    "ProtectSystem=strict",
    "ProtectHome=yes",
    "PrivateTmp=yes",
    "RestrictAddressFamilies=AF_UNIX AF_INET",
    "MemoryMax=128M",
    "TasksMax=4",
)


@dataclass(frozen=True)
class Throughput:
    """What was carried.

    Attributes:
        method: tcp: to the peer; ping: to the peer and back, each way as much.
        bits: all in all.
        seconds: for how long.
        lost: how many of ping's packets did not come back.
    """

    method: Literal["tcp", "ping"]
    bits: int
    seconds: float
    lost: int = 0

    @property
    def mbits(self) -> float:
        """Megabits per second."""
        return self.bits / self.seconds / 1e6 if self.seconds else 0.0


class MeasureError(Exception):
    """Nothing could be measured, or nobody can listen; the text says why."""


def measure(state: fannet.FanState, peer: Peer, seconds: int) -> Throughput:
    """Send to a peer for some seconds, as fast as it goes.

    Raises:
        MeasureError: the peer does not answer.
    """
    target = state.fan.mapping.slice_of(peer.host)[1]
    try:
        return send(state.fan.gateway.ip, target, seconds)
    except ConnectionRefusedError:
        return _flood(state, peer.unit, target, seconds)
    except (OSError, ValueError) as error:
        raise MeasureError(
            f"{peer.unit} does not answer at {target} ({error}); "
            "run the action verify to find out why"
        ) from error


def send(source: IPv4Address, target: IPv4Address, seconds: float, port: int = PORT) -> Throughput:
    """Send over TCP to one that listens.

    Raises:
        ConnectionRefusedError: nobody does.
        OSError: the way is interrupted.
        ValueError: who listens there is something else.
    """
    data = memoryview(bytes(_CHUNK))
    address = (str(target), port)
    with socket.create_connection(address, 5, source_address=(str(source), 0)) as connection:
        begun = time.monotonic()
        while time.monotonic() - begun < seconds:
            connection.sendall(data)
        connection.shutdown(socket.SHUT_WR)
        # It tells how much has arrived, once all has.
        received = int(connection.recv(64))
        return Throughput("tcp", received * 8, time.monotonic() - begun)


def _flood(state: fannet.FanState, unit: str, target: IPv4Address, seconds: int) -> Throughput:
    words = ["-f", "-n", "-q", "-l", _PENDING, "-w", seconds, "-M", "do"]
    words += ["-s", state.mtu - probes.HEADERS, "-I", state.fan.gateway.ip, target]
    done = _call(str(probes.PING), *map(str, words), timeout=seconds + _TIMEOUT)
    found = re.search(r"(\d+) packets transmitted, (\d+) received.* time (\d+)ms", done.stdout)
    if not found or not int(found[2]):
        raise MeasureError(
            f"{unit} does not answer at {target}; run the action verify to find out why"
        )
    sent, received, milliseconds = map(int, found.groups())
    return Throughput("ping", received * state.mtu * 8, milliseconds / 1000, sent - received)


def listen(fan: fannet.Fan, charm: Path, seconds: int) -> None:
    """Start a systemd service that accepts what other machines send, for some seconds.

    Raises:
        MeasureError: it does not start.
    """
    name = f"{fan.bridge}-listen.service"
    with contextlib.suppress(OSError):  # an earlier one, if there is any
        systemd.call("stop", name)
    done = _call(
        _SYSTEMD_RUN,
        "--quiet",
        "--collect",
        f"--unit={name}",
        "--service-type=notify",
        f"--property=RuntimeMaxSec={seconds}",
        *(f"--property={right}" for right in _RIGHTS),
        str(charm / "venv/bin/python"),
        "-E",
        "-s",
        str(charm / "src/listener.py"),
        str(fan.gateway.ip),
        str(fan.mapping.overlay),
        str(fan.mapping.underlay),
    )
    if done.returncode:
        said = " ".join(done.stderr.split())
        raise MeasureError(f"nothing listens on {fan.gateway.ip}, port {PORT}: {said}")


def _call(*command: str, timeout: float = _TIMEOUT) -> subprocess.CompletedProcess[str]:
    try:
        return programs.call(*command, timeout=timeout)
    except OSError as error:
        raise MeasureError(str(error)) from error
