"""Asks other hosts: ping, ARP, a UDP port; and listens to what they send on the underlay."""

from __future__ import annotations

import ctypes
import re
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Literal, NamedTuple

from fannet.errors import FannetError
from fannet.rules import CHECKED

PING = Path("/usr/bin/ping")
HEADERS = 28  # bytes that ping's size lacks to the packet's: IPv4 20, ICMP 8
_PATIENCE = 1.0  # seconds to wait for an answer
_ETH_P_ALL, _ETH_P_IP, _ETH_P_ARP = 0x0003, 0x0800, 0x0806  # linux/if_ether.h
_ETHERTYPE = 0xFFFFF000  # SKF_AD_OFF + SKF_AD_PROTOCOL, linux/filter.h
_SO_ATTACH_FILTER = 26  # asm-generic/socket.h
_REQUEST, _REPLY = 1, 2  # RFC 826

Port = Literal["silent", "refused", "unreachable", "blocked"]


class Ping(NamedTuple):
    """What came of a ping. `rtt` is the average round trip, in ms; None without an answer."""

    received: int
    rtt: float | None


def ping(
    target: IPv4Address,
    source: IPv4Address,
    *,
    packet: int = 84,
    count: int = 3,
    deadline: int | None = None,
) -> Ping:
    """Send packets of a size that nobody may fragment.

    Args:
        packet: bytes, with the IPv4 header.
        count: how many are sent; with a deadline, how many are to be answered.
        deadline: seconds after which no answer is waited for any more.

    Raises:
        FannetError: there is no ping(8).
    """
    if not PING.exists():
        raise FannetError(f"{PING} is missing; install the package iputils-ping")
    words = ["-n", "-q", "-c", count, "-i", 0.2, "-W", 1, "-M", "do", "-s", packet - HEADERS]
    if deadline:
        words += ["-w", deadline]
    done = subprocess.run(
        [str(PING), *map(str, words), "-I", str(source), str(target)],
        check=False,
        capture_output=True,
        text=True,
        env={"LC_ALL": "C"},
    )
    received = re.search(r", (\d+) received", done.stdout)
    rtt = re.search(r"^rtt [a-z/]+ = [\d.]+/([\d.]+)/", done.stdout, re.MULTILINE)
    return Ping(int(received[1]) if received else 0, float(rtt[1]) if rtt else None)


def find_mtu(target: IPv4Address, source: IPv4Address, least: int, most: int) -> int:
    """Return the size of the largest packet that is answered, in bytes.

    Args:
        least: a size that is answered for sure.
    """

    def passes(size: int) -> bool:
        return ping(target, source, packet=size, count=2).received > 0

    if passes(most):
        return most
    while most - least > 1:
        middle = (least + most) // 2
        if passes(middle):
            least = middle
        else:
            most = middle
    return least


def find_source(host: IPv4Address) -> IPv4Address | None:
    """Return the address that this machine's packets to another have; None without a route."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        try:
            sender.connect((str(host), 9))
        except OSError:
            return None
        return IPv4Address(sender.getsockname()[0])


def knock(host: IPv4Address, port: int, source: IPv4Address) -> Port:
    """Return how a UDP port reacts to a packet; a fan does not answer, as firewalls don't."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.settimeout(_PATIENCE)
        try:
            mark = CHECKED.to_bytes(4, sys.byteorder)  # as the tunnel's own packets have
            sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
            sender.bind((str(source), 0))
            sender.connect((str(host), port))
            sender.send(b"")
        except PermissionError:
            return "blocked"
        except OSError:
            return "unreachable"
        try:
            sender.recv(1)
        except ConnectionRefusedError:
            return "refused"
        except TimeoutError:
            return "silent"
        except OSError:
            return "unreachable"
        return "silent"


def ask_arp(device: str, sender: IPv4Address, target: IPv4Address) -> list[str]:
    """Return the link-layer addresses of those who answer for an address on a device's network.

    Args:
        sender: 0.0.0.0 makes it a probe, which nobody remembers (RFC 5227).
    """
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ETH_P_ARP)) as link:
        link.bind((device, _ETH_P_ARP))
        mac = link.getsockname()[4]
        if len(mac) != 6:
            return []  # a device without Ethernet addresses, such as a tunnel
        header = struct.pack("!6s6sH", b"\xff" * 6, mac, _ETH_P_ARP)
        arp = struct.pack("!HHBBH", 1, _ETH_P_IP, 6, 4, _REQUEST)
        link.send(header + arp + mac + sender.packed + bytes(6) + target.packed)
        found: set[str] = set()
        end = time.monotonic() + _PATIENCE
        while (left := end - time.monotonic()) > 0 and select.select([link], [], [], left)[0]:
            frame = link.recv(128)
            operation, answered_by, address = struct.unpack_from("!H6s4s", frame, 20)
            if operation == _REPLY and address == target.packed and answered_by != mac:
                found.add(answered_by.hex(":"))
                if sender.packed != bytes(4):
                    break  # one answer tells that the way is open
        return sorted(found)


def listen(device: str, host: IPv4Address, protocol: int) -> AbstractContextManager[Listener]:
    """Count the packets that come from a host on a device, before any firewall sees them.

    Args:
        protocol: the number in the IPv4 header.
    """
    program = [
        (0x30, 0, 0, 9),  # ldb [9]: the protocol
        (0x15, 0, 3, protocol),  # jeq
        (0x20, 0, 0, 12),  # ld [12]: the source
        (0x15, 0, 1, int(host)),  # jeq
        (0x06, 0, 0, 0x40000),  # ret: take it
        (0x06, 0, 0, 0),  # ret: leave it
    ]
    return _listen(device, _ETH_P_IP, program)


def listen_inside(tunnel: str, sources: IPv4Network) -> AbstractContextManager[Listener]:
    """Count what a tunnel receives from addresses of a network: IPv4 packets, and ARP's."""
    program = [
        (0x28, 0, 0, _ETHERTYPE),  # ldh
        (0x15, 2, 0, _ETH_P_ARP),  # jeq
        (0x20, 0, 0, 12),  # ld [12]: the source
        (0x05, 0, 0, 1),  # ja
        (0x20, 0, 0, 14),  # ld [14]: ARP's sender
        (0x54, 0, 0, int(sources.netmask)),  # and
        (0x15, 0, 1, int(sources.network_address)),  # jeq
        (0x06, 0, 0, 0x40000),
        (0x06, 0, 0, 0),
    ]
    return _listen(tunnel, _ETH_P_ALL, program)


@contextmanager
def _listen(
    device: str, ethertype: int, program: list[tuple[int, int, int, int]]
) -> Generator[Listener]:
    """Count the packets on a device that a classic BPF program takes."""
    code = b"".join(struct.pack("HBBI", *step) for step in program)
    buffer = ctypes.create_string_buffer(code)
    fprog = struct.pack("HL", len(program), ctypes.addressof(buffer))
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, 0) as link:
        link.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, fprog)
        link.bind((device, ethertype))
        yield Listener(link)


class Listener:
    """What has come since listening began."""

    def __init__(self, link: socket.socket):
        self._link = link

    def count(self, port: int = 0) -> int:
        """Return how many packets came; of UDP, to a port. Port 0 counts all."""
        found = 0
        while select.select([self._link], [], [], 0)[0]:
            packet = self._link.recv(64)
            header = (packet[0] & 0xF) * 4
            to = int.from_bytes(packet[header + 2 : header + 4], "big")
            found += port in (0, to)
        return found
