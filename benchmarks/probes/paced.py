"""Runs where the load comes from: asks for a page on a schedule, whether answers come or not.

wrk sends the next request when the last one is answered: a server that stalls is asked less, and
most of what the stall costs is never seen (coordinated omission). Here the moments of all requests
are fixed beforehand, and each answer's latency counts from its request's moment, though it may
have been sent later because no connection was free. The moments are those of a Poisson process,
and the same in every run.
"""

from __future__ import annotations

import contextlib
import gc
import json
import random
import re
import select
import socket
import sys
import time
from collections import deque
from urllib.parse import urlsplit

# More than a server with one core has at work at a time, if it keeps up at all.
CONNECTIONS = 64
_LENGTH = re.compile(rb"\r\nContent-Length: *(\d+)", re.IGNORECASE)


def make_schedule(rate: float, seconds: float) -> list[float]:
    """Return the moments of the requests, in seconds from the start.

    Args:
        rate: requests per second, on average.
    """
    chance = random.Random(0)  # noqa: S311 - no secret, and the same each time
    moments, now = [], chance.expovariate(rate)
    while now < seconds:
        moments.append(now)
        now += chance.expovariate(rate)
    return moments


def read_answer(answer: bytes) -> tuple[bool, bool]:
    """Return whether an answer is there in full, and whether its connection can be used again.

    Raises:
        ValueError: it is not a page, or does not tell its length.
    """
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False, True
    length = _LENGTH.search(head)
    if not head.startswith(b"HTTP/1.1 200 ") or not length:
        raise ValueError(f"unexpected answer: {head.decode(errors='replace')}")
    return len(body) >= int(length[1]), b"\r\nConnection: close" not in head


def ask(url: str, schedule: list[float]) -> list[float]:
    """Ask on schedule, and return the latency of each answer in seconds, in no order.

    Raises:
        ValueError: an answer is not a page, or the server keeps hanging up.
        OSError: the server refuses connections.
    """
    place = urlsplit(url)
    server = (place.hostname or "", place.port or 80)
    request = f"GET {place.path or '/'} HTTP/1.1\r\nHost: {place.hostname}\r\n\r\n".encode()
    poll = select.epoll()
    free: dict[int, socket.socket] = {}
    asked: dict[int, tuple[socket.socket, float, bytes]] = {}
    coming, due, latencies, hangups = deque(schedule), deque[float](), [], 0

    def drop(connection: socket.socket) -> None:
        poll.unregister(connection)
        connection.close()

    began = time.perf_counter()
    while coming or due or asked:
        now = time.perf_counter() - began
        while coming and coming[0] <= now:
            due.append(coming.popleft())
        while due and (free or len(asked) < CONNECTIONS):
            if free:
                _, connection = free.popitem()  # the last one used
            else:
                connection = socket.create_connection(server, timeout=10)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                poll.register(connection, select.EPOLLIN)
            asked[connection.fileno()] = (connection, due.popleft(), b"")
            with contextlib.suppress(ConnectionError):  # then reading tells it, too
                connection.sendall(request)
        # It never sleeps: to wake this core up would take as long as many an answer.
        for number, _ in poll.poll(0):
            if number in free:
                drop(free.pop(number))  # idle for too long, says the server
                continue
            connection, moment, answer = asked.pop(number)
            part = receive(connection)
            done, again = read_answer(answer + part)
            if not (part or done):
                # It hung up while the request was under way. To ask again takes time, too.
                drop(connection)
                due.appendleft(moment)
                hangups += 1
                if hangups > len(schedule):
                    raise ValueError("the server keeps hanging up")
            elif not done:
                asked[number] = (connection, moment, answer + part)
            else:
                latencies.append(time.perf_counter() - began - moment)
                if again:
                    free[number] = connection
                else:
                    drop(connection)
    for connection in free.values():
        drop(connection)
    poll.close()
    return latencies


def receive(connection: socket.socket) -> bytes:
    """Return what has come in; empty if the server hung up."""
    try:
        return connection.recv(65536)
    except ConnectionError:
        return b""


def main() -> None:
    """Take url, requests per second and seconds, and print each latency, in whole µs."""
    url, rate, seconds = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
    gc.disable()
    try:
        latencies = ask(url, make_schedule(rate, seconds))
    except (OSError, ValueError) as error:
        sys.exit(f"{url}: {error}")
    print(json.dumps([round(latency * 1e6) for latency in latencies]))


if __name__ == "__main__":
    main()
