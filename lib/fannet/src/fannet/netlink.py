"""Route netlink, rtnetlink(7): what the kernel is asked, and what it answers.

It is the fan's own, of the little that a fan takes: to import a library that knows all of netlink
takes longer than all else that `fanctl up` does. Names are those of the kernel's headers.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import socket
import struct
import sys
from collections.abc import Mapping
from ctypes import c_int32, c_uint8, c_uint16, c_uint32
from typing import NamedTuple

# <linux/rtnetlink.h>: kinds of requests
RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK = 16, 17, 18
RTM_NEWADDR, RTM_DELADDR, RTM_GETADDR = 20, 21, 22
RTM_NEWROUTE, RTM_GETROUTE = 24, 26
RTM_GETTFILTER = 46

# <linux/netlink.h>: modifiers of requests; what else is in an answer's flags; kinds of answers
NLM_F_DUMP = 0x300  # all there is
NLM_F_REPLACE, NLM_F_EXCL, NLM_F_CREATE = 0x100, 0x200, 0x400
_NLM_F_REQUEST, _NLM_F_ACK = 0x1, 0x4
_NLM_F_DUMP_INTR = 0x10  # what was read changed meanwhile
_NLMSG_ERROR, _NLMSG_DONE = 2, 3

_MESSAGE = struct.Struct("=IHHII")  # struct nlmsghdr: length, kind, flags, sequence, port
_ERROR = struct.Struct("=i")  # what _NLMSG_ERROR and _NLMSG_DONE hold: 0, or an errno below it
_ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, kind
_NLA_TYPE_MASK = 0x3FFF
_LARGEST = 1 << 16  # bytes that are read at once; the kernel fills half at most


class IfInfo(ctypes.Structure):
    """What messages of links begin with: struct ifinfomsg."""

    _fields_ = (
        ("family", c_uint8),
        ("pad", c_uint8),
        ("type", c_uint16),
        ("index", c_int32),
        ("flags", c_uint32),
        ("change", c_uint32),
    )


class IfAddr(ctypes.Structure):
    """What messages of addresses begin with: struct ifaddrmsg."""

    _fields_ = (
        ("family", c_uint8),
        ("prefixlen", c_uint8),
        ("flags", c_uint8),
        ("scope", c_uint8),
        ("index", c_uint32),
    )


class Route(ctypes.Structure):
    """What messages of routes begin with: struct rtmsg."""

    _fields_ = (
        ("family", c_uint8),
        ("dst_len", c_uint8),
        ("src_len", c_uint8),
        ("tos", c_uint8),
        ("table", c_uint8),
        ("protocol", c_uint8),
        ("scope", c_uint8),
        ("type", c_uint8),
        ("flags", c_uint32),
    )


class Tc(ctypes.Structure):
    """What messages of traffic control begin with: struct tcmsg."""

    _fields_ = (
        ("family", c_uint8),
        ("pad", c_uint8 * 3),
        ("index", c_int32),
        ("handle", c_uint32),
        ("parent", c_uint32),
        ("info", c_uint32),
    )


Header = IfInfo | IfAddr | Route | Tc
Attributes = Mapping[int, "bytes | str | int | Attributes"]


class Answer(NamedTuple):
    """A message of the kernel's; of attributes that are there twice, it has the last."""

    header: Header
    attributes: dict[int, bytes]


class NetlinkError(OSError):
    """The kernel refused a request."""


class Netlink:
    """A socket to the kernel, of the network namespace in which it was opened."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.connect((0, 0))  # to the kernel, so nobody else can answer
        self._numbers = itertools.count(1)

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def request(
        self, kind: int, header: Header, attributes: Attributes | None = None, modifiers: int = 0
    ) -> list[Answer]:
        """Ask the kernel for something, and return its answers, which begin as the request does.

        Raises:
            NetlinkError: the kernel refused.
        """
        number = next(self._numbers)
        body = bytes(header) + encode(attributes or {})
        flags = _NLM_F_REQUEST | _NLM_F_ACK | modifiers
        message = _MESSAGE.pack(_MESSAGE.size + len(body), kind, flags, number, 0) + body
        answers = None
        while answers is None:
            self._socket.send(message)
            answers = self._receive(number, type(header))
        return answers

    def _receive(self, number: int, form: type[Header]) -> list[Answer] | None:
        """Return the answers to a request; None if they don't belong together."""
        answers: list[Answer] = []
        is_whole = True
        while True:
            data = self._socket.recv(_LARGEST)
            offset = 0
            while offset < len(data):
                length, kind, flags, answered, _ = _MESSAGE.unpack_from(data, offset)
                body = data[offset + _MESSAGE.size : offset + length]
                offset += _align(length)
                if answered != number:
                    continue
                is_whole &= not flags & _NLM_F_DUMP_INTR
                if kind in (_NLMSG_ERROR, _NLMSG_DONE):
                    (code,) = _ERROR.unpack_from(body)
                    if code:
                        raise NetlinkError(-code, os.strerror(-code))
                    return answers if is_whole else None
                attributes = decode(body[ctypes.sizeof(form) :])
                answers.append(Answer(form.from_buffer_copy(body), attributes))


def encode(attributes: Attributes) -> bytes:
    """Return attributes as they are in a message.

    Args:
        attributes: by their kinds; numbers take four bytes, and texts end with a zero.
    """
    found = b""
    for kind, value in attributes.items():
        if isinstance(value, Mapping):
            value = encode(value)
        elif isinstance(value, int):
            value = value.to_bytes(4, sys.byteorder)
        elif isinstance(value, str):
            value = value.encode() + b"\0"
        length = _ATTRIBUTE.size + len(value)
        found += _ATTRIBUTE.pack(length, kind) + value + bytes(_align(length) - length)
    return found


def decode(data: bytes) -> dict[int, bytes]:
    """Return the attributes in a part of a message, by their kinds."""
    found: dict[int, bytes] = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        found[kind & _NLA_TYPE_MASK] = data[_ATTRIBUTE.size : length]
        data = data[max(_align(length), _ATTRIBUTE.size) :]
    return found


def _align(length: int) -> int:
    """Return where the next message or attribute begins."""
    return (length + 3) & ~3


def read_number(value: bytes | None) -> int:
    """Return an attribute's number; 0 without one."""
    return int.from_bytes(value or b"", sys.byteorder)
