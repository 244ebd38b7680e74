"""Takes what other machines of a fan send, to measure the way: what fan.throughput starts."""

from __future__ import annotations

import socket
import sys
from ipaddress import IPv4Address

import fannet
from cosagent.serving import notify_ready
from fan.throughput import PORT

_PATIENCE = 10  # seconds without a byte


def main() -> int:
    """Listen until systemd ends it; return the exit status."""
    gateway, overlay, underlay = sys.argv[1:]
    try:
        server = socket.create_server((gateway, PORT))
    except OSError as error:
        print(f"can't listen on {gateway}, port {PORT}: {error.strerror}", file=sys.stderr)
        return 1
    notify_ready()
    with server:
        while True:
            serve_one(server, fannet.parse_mapping(overlay, underlay))


def serve_one(server: socket.socket, mapping: fannet.Mapping) -> None:
    """Receive what one machine sends, and answer how much that was; refuse containers."""
    connection, (address, _) = server.accept()
    with connection:
        if not is_gateway(mapping, IPv4Address(address)):
            return
        connection.settimeout(_PATIENCE)
        buffer, received = bytearray(1 << 20), 0
        try:
            while count := connection.recv_into(buffer):
                received += count
            connection.sendall(str(received).encode())
        except OSError:
            return  # it has gone; the next one is waited for


def is_gateway(mapping: fannet.Mapping, address: IPv4Address) -> bool:
    """Return whether an address is a machine's own in the fan, and no container's."""
    try:
        return mapping.slice_of(mapping.host_of(address))[1] == address
    except fannet.AddressError:
        return False


if __name__ == "__main__":  # pragma: nocover
    sys.exit(main())
