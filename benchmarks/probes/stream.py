"""Numbered datagrams from one container to another and back: which of them are lost, and when.

It runs inside of containers, and is there for as long as what may disturb it.
"""

from __future__ import annotations

import json
import select
import signal
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from types import FrameType
from typing import Any

PORT = 7007
PERIOD = 0.02  # seconds between two datagrams
# What has no answer in so many seconds is lost: a machine under load is slow, and loses nothing.
PATIENCE = 5.0
_NUMBER = struct.Struct("!Q")


@dataclass
class Stream:
    """What became of the datagrams of one sender.

    Attributes:
        sent: how many there were.
        waiting: when each was sent that has no answer yet, in seconds of time.time().
        slowest: the longest time that an answer took, in seconds.
    """

    sent: int = 0
    waiting: dict[int, float] = field(default_factory=dict)
    slowest: float = 0.0

    def document(self) -> dict[str, Any]:
        """Return it for JSON; what still waits is lost."""
        lost = sorted(self.waiting.items())
        return {"sent": self.sent, "slowest": self.slowest, "lost": lost}


def echo(connection: socket.socket) -> None:
    """Send every datagram back to where it came from."""
    while True:
        data, sender = connection.recvfrom(64)
        connection.sendto(data, sender)


class Sender:
    """Sends a datagram each PERIOD until it is told to end, and hears the answers."""

    def __init__(self, connection: socket.socket):
        self.stream = Stream()
        self._connection = connection
        self._ends = False

    def end(self, *_: int | FrameType | None) -> None:
        """Send no more; a signal handler."""
        self._ends = True

    def run(self) -> Stream:
        """Return what became of the datagrams, once all are answered or PATIENCE is over."""
        due = time.monotonic()
        while not self._ends:
            self._send()
            # Not one after the other where it could not run for a while: that would be a burst.
            due = max(due + PERIOD, time.monotonic())
            self._hear(due)
        self._hear(time.monotonic() + PATIENCE, all_answered=True)
        return self.stream

    def _send(self) -> None:
        number, self.stream.sent = self.stream.sent, self.stream.sent + 1
        self.stream.waiting[number] = time.time()
        try:
            self._connection.send(_NUMBER.pack(number))
        except OSError:
            return  # nobody listens there, or there is no route: no answer comes

    def _hear(self, until: float, *, all_answered: bool = False) -> None:
        """Hear answers until a moment, or until there is none to wait for."""
        while self.stream.waiting or not all_answered:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self._connection], [], [], left)[0]:
                return
            try:
                (number,) = _NUMBER.unpack(self._connection.recv(64))
            except (OSError, struct.error):
                continue  # an ICMP error, or somebody else's
            sent = self.stream.waiting.pop(number, None)
            if sent is not None:
                self.stream.slowest = max(self.stream.slowest, time.time() - sent)


def ask(connection: socket.socket, patience: float) -> bool:
    """Return whether an answer comes within so many seconds."""
    connection.settimeout(0.5)
    ends = time.monotonic() + patience
    while time.monotonic() < ends:
        try:
            connection.send(_NUMBER.pack(0))
            connection.recv(64)
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False


def main() -> None:
    """Do what the arguments say."""
    verb, *words = sys.argv[1:]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        if verb == "echo":
            connection.bind(("", PORT))
            # A container's first process would not even hear it.
            signal.signal(signal.SIGTERM, lambda *_: sys.exit())
            echo(connection)
        connection.connect((words[0], PORT))
        if verb == "ask":
            sys.exit(not ask(connection, float(words[1])))
        sender = Sender(connection)
        signal.signal(signal.SIGTERM, sender.end)
        print(json.dumps(sender.run().document()), flush=True)


if __name__ == "__main__":
    main()
