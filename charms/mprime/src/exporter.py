"""Serves a unit's metrics to Prometheus, on this machine alone. A service of systemd runs it."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app

from cpu import Policy
from metrics import SearchCollector

ADDRESS = "127.0.0.1"


class Handler(WSGIRequestHandler):
    """Answers one request at a time, so that a scrape costs one reading however many ask."""

    timeout = 10  # seconds; whoever says nothing holds up the others no longer

    def log_message(self, format: str, *args: object) -> None:
        """Keep the journal free of scrapes."""


def main() -> int:
    """Serve until a signal ends it; return the exit status."""
    parser = argparse.ArgumentParser(description="Serve the metrics of a unit's search.")
    parser.add_argument("unit", help="such as mprime/0")
    parser.add_argument("policy", type=Policy, help="how its search competes for the processors")
    parser.add_argument("port", type=int, help=f"where to listen on {ADDRESS}")
    given = parser.parse_args()
    registry = CollectorRegistry()
    registry.register(SearchCollector(given.unit, given.policy))
    try:
        server = make_server(ADDRESS, given.port, make_wsgi_app(registry), handler_class=Handler)
    except OSError as error:
        print(f"can't listen on {ADDRESS}:{given.port}: {error.strerror}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    tell_ready()
    with server:
        server.serve_forever()
    return 0


def tell_ready() -> None:
    """Tell systemd, if it asked, that the port is open. Follows sd_notify(3)."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            # A leading @ stands for the abstract namespace.
            notify.sendto(b"READY=1", f"\0{address[1:]}" if address[0] == "@" else address)


if __name__ == "__main__":  # pragma: nocover
    sys.exit(main())
