"""What the kernel is asked and answers: this machine's own, and one that a test speaks for."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fannet.errors import KernelError
from fannet.machine import open_machine
from fannet.netlink import (
    NLM_F_DUMP,
    RTM_GETLINK,
    RTM_NEWLINK,
    IfInfo,
    Netlink,
    NetlinkError,
    decode,
    encode,
)

HEADER = struct.Struct("=IHHII")
ERROR, DONE = 2, 3
INTERRUPTED = 0x10
NAME = 3  # IFLA_IFNAME


def write(kind: int, body: bytes, *, number: int = 1, flags: int = 0) -> bytes:
    return HEADER.pack(HEADER.size + len(body), kind, flags, number, 0) + body


def write_link(name: str, **header: int) -> bytes:
    value = name.encode() + b"\0"
    attribute = struct.pack("=HH", 4 + len(value), NAME) + value
    body = bytes(16) + attribute + bytes(-len(attribute) % 4)
    return write(RTM_NEWLINK, body, **header)


def write_end(code: int = 0, *, kind: int = DONE, **header: int) -> bytes:
    return write(kind, struct.pack("=i", code), **header)


class Kernel:
    """Stands in for the kernel, and has answered before it is asked."""

    def __init__(self) -> None:
        near, self.socket = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.netlink = Netlink()
        self.netlink.__exit__()
        self.netlink._socket = near

    def answer(self, *messages: bytes) -> None:
        self.socket.send(b"".join(messages))

    def read_names(self) -> list[str]:
        links = self.netlink.request(RTM_GETLINK, IfInfo(), modifiers=NLM_F_DUMP)
        return [link.attributes[NAME].rstrip(b"\0").decode() for link in links]

    def count_requests(self) -> int:
        count = 0
        while True:
            try:
                self.socket.recv(4096, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return count
            count += 1

    def close(self) -> None:
        self.netlink.__exit__()
        self.socket.close()


@pytest.fixture
def kernel() -> Iterator[Kernel]:
    with closing(Kernel()) as kernel:
        yield kernel


def test_the_loopback_device_is_found_by_its_name() -> None:
    with open_machine() as machine:
        found = machine.find("lo")
        assert found
        assert found.is_loopback
        assert found.index in {link.index for link in machine.links().values()}


def test_a_device_that_is_not_there_is_none() -> None:
    with open_machine() as machine:
        assert machine.find("nobody-has-me") is None


def test_a_place_without_netlink_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: int) -> None:
        raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")

    monkeypatch.setattr("fannet.netlink.socket.socket", refuse)
    with (
        pytest.raises(KernelError, match=r"netlink can't be opened here: Address family not"),
        open_machine(),
    ):
        pass


def test_what_the_kernel_refuses_is_told_by_its_code() -> None:
    with Netlink() as netlink:
        with pytest.raises(NetlinkError) as refusal:
            netlink.request(RTM_GETLINK, IfInfo(index=(1 << 31) - 1))
        assert refusal.value.errno == errno.ENODEV
        assert netlink.request(RTM_GETLINK, IfInfo(), modifiers=NLM_F_DUMP)  # and it goes on


def test_a_list_that_changed_while_it_was_read_is_read_again(kernel: Kernel) -> None:
    kernel.answer(write_link("eth0", flags=INTERRUPTED), write_end())
    kernel.answer(write_link("eth0"), write_link("eth1"), write_end())
    assert kernel.read_names() == ["eth0", "eth1"]
    assert kernel.count_requests() == 2


def test_a_list_that_changed_before_its_end_is_read_again(kernel: Kernel) -> None:
    kernel.answer(write_link("eth0"), write_end(flags=INTERRUPTED))
    kernel.answer(write_end())
    assert kernel.read_names() == []


def test_what_answers_an_earlier_request_is_passed_over(kernel: Kernel) -> None:
    kernel.answer(write_link("old", number=77), write_end(number=77))
    kernel.answer(write_link("eth0"), write_end())
    assert kernel.read_names() == ["eth0"]


@pytest.mark.parametrize("kind", [ERROR, DONE])
def test_an_error_can_come_after_a_part_of_the_answer(kernel: Kernel, kind: int) -> None:
    kernel.answer(write_link("eth0"), write_end(-errno.ENOBUFS, kind=kind))
    with pytest.raises(NetlinkError) as refusal:
        kernel.read_names()
    assert refusal.value.errno == errno.ENOBUFS


@given(
    names=st.lists(st.text("abcdefgh0123456789-", min_size=1, max_size=15), max_size=8),
    cuts=st.sets(st.integers(1, 8)),
)
def test_answers_come_in_any_number_of_pieces(names: list[str], cuts: set[int]) -> None:
    messages = [*map(write_link, names), write_end()]
    edges = [0, *sorted(cut for cut in cuts if cut < len(messages)), len(messages)]
    with closing(Kernel()) as kernel:
        for first, last in pairwise(edges):
            kernel.answer(*messages[first:last])
        assert kernel.read_names() == names


def test_attributes_are_written_as_the_kernel_has_them() -> None:
    """As rtnetlink(7) and netlink(7) tell: each begins at a multiple of four bytes."""
    written = encode({1: b"\1", 3: "lo", 4: 1500, 18: {1: "veth"}})
    number = struct.pack("=I", 1500)
    name = struct.pack("=HH", 9, 1) + b"veth\0" + bytes(3)
    assert written == b"".join(
        [
            *(struct.pack("=HH", 5, 1), b"\1", bytes(3)),
            *(struct.pack("=HH", 7, 3), b"lo\0", bytes(1)),
            *(struct.pack("=HH", 8, 4), number),
            *(struct.pack("=HH", 16, 18), name),
        ]
    )


@given(st.dictionaries(st.integers(0, 0x3FFF), st.binary(max_size=40)))
def test_attributes_are_read_back(attributes: dict[int, bytes]) -> None:
    assert decode(encode(attributes)) == attributes


@given(st.binary(max_size=200))
def test_reading_attributes_ends_whatever_they_are(data: bytes) -> None:
    assert sum(len(value) for value in decode(data).values()) <= len(data)
