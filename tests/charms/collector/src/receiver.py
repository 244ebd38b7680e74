"""Takes traces by OTLP over HTTP or HTTPS and keeps each request in a file; a service runs it."""

from __future__ import annotations

import ssl
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path


class Receiver(BaseHTTPRequestHandler):
    """Answers OTLP/HTTP's POST /v1/traces."""

    folder: Path

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path != "/v1/traces":
            self.send_error(404)
            return
        (self.folder / f"{time.time_ns()}.json").write_bytes(body)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.end_headers()
        self.wfile.write(b"{}")


def main() -> None:
    """Serve until a signal ends it: receiver.py PORT FOLDER [CERTIFICATE KEY]."""
    port, Receiver.folder = int(sys.argv[1]), Path(sys.argv[2])
    Receiver.folder.mkdir(exist_ok=True)
    server = HTTPServer(("", port), Receiver)
    if files := sys.argv[3:]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*files)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
