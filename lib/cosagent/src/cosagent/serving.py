"""Serves metrics to Prometheus, on this machine alone, as a service of systemd."""

from __future__ import annotations

import os
import signal
import socket
import sys
from typing import Any, cast
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, exposition
from prometheus_client.registry import Collector

ADDRESS = "127.0.0.1"


class Handler(WSGIRequestHandler):
    """Answers one request at a time, so that a scrape costs one reading however many ask."""

    timeout = 10  # seconds; whoever says nothing holds up the others no longer

    def log_message(self, format: str, *args: object) -> None:
        """Keep the journal free of scrapes."""


def serve(collector: Collector, port: int) -> int:
    """Answer scrapes until a signal ends it; return the exit status.

    Args:
        collector: reads what is measured, at each scrape and not before.
        port: where to listen on the loopback address.
    """
    registry = CollectorRegistry()
    registry.register(collector)
    application = cast(Any, exposition).make_wsgi_app(registry)  # whose type is not told
    try:
        server = make_server(ADDRESS, port, application, handler_class=Handler)
    except OSError as error:
        print(f"can't listen on {ADDRESS}:{port}: {error.strerror}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, _exit)
    notify_ready()
    with server:
        server.serve_forever()
    return 0


def _exit(*_: object) -> None:
    sys.exit(0)


def notify_ready() -> None:
    """Notify systemd, if it asked, that the port is open. Follows sd_notify(3)."""
    if address := os.environ.get("NOTIFY_SOCKET"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            # A leading @ stands for the abstract namespace.
            notify.sendto(b"READY=1", f"\0{address[1:]}" if address[0] == "@" else address)
