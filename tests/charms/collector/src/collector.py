"""Debian's Prometheus on this machine, and a receiver of traces beside it."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

PROMETHEUS = Path("/etc/prometheus")
STATE = Path("/var/lib/collector")
UNITS = Path("/etc/systemd/system")
RECEIVER = "collector-traces.service"
TRACES_PORT = 4318
CERTIFICATE = STATE / "traces.crt"
KEY = STATE / "traces.key"
SYSTEMCTL = "/usr/bin/systemctl"


class CollectorError(Exception):
    """Something about the collector failed; the text is for the unit's status."""


def find_address() -> str:
    """Return the address that this machine's default route goes out from.

    Juju 4.0.15 may name that of Docker's bridge.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # which sends nothing
        return probe.getsockname()[0]


def ensure_certificate(address: str) -> str:
    """Return the receiver's certificate, which is its own authority, for an IP address.

    Raises:
        CollectorError: openssl failed.
    """
    if not CERTIFICATE.exists():
        STATE.mkdir(exist_ok=True)
        draft = CERTIFICATE.with_suffix(".new")
        kind = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30")
        names = ("-subj", "/CN=collector", "-addext", f"subjectAltName=IP:{address}")
        files = ("-keyout", str(KEY), "-out", str(draft))
        _run(["/usr/bin/openssl", "req", "-x509", *kind, *names, *files])
        draft.replace(CERTIFICATE)
    return CERTIFICATE.read_text()


def install(charm: Path, *, tls: bool) -> None:
    """Install Prometheus where it is missing, and start the receiver of traces.

    Args:
        charm: the charm's directory.
        tls: the receiver speaks TLS only, with its certificate.

    Raises:
        CollectorError: apt or systemd failed.
    """
    if not Path("/usr/bin/prometheus").exists():
        apt = ["/usr/bin/apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
        get = [*apt, "install", "--no-install-recommends", "prometheus"]
        try:
            # The lists at hand usually do; fetching new ones takes longer than the installation.
            _run(get)
        except CollectorError:
            _run(["/usr/bin/dpkg", "--force-confold", "--configure", "-a"])
            _run([*apt, "update"])
            _run(get)
    STATE.mkdir(exist_ok=True)
    program = f"{charm}/venv/bin/python -E {charm}/src/receiver.py {TRACES_PORT} {STATE}/traces"
    if tls:
        program += f" {CERTIFICATE} {KEY}"
    unit = f"[Service]\nExecStart={program}\n\n[Install]\nWantedBy=multi-user.target\n"
    changed = _write(UNITS / RECEIVER, unit)
    if changed:
        _run([SYSTEMCTL, "daemon-reload"])
    _run([SYSTEMCTL, "enable", RECEIVER])
    _run([SYSTEMCTL, "restart" if changed else "start", RECEIVER])


def configure(jobs: list[dict[str, Any]], rules: dict[str, Any], dashboards: list[str]) -> None:
    """Let Prometheus scrape these jobs by these rules, and leave the dashboards for who looks.

    Raises:
        CollectorError: Prometheus refuses them.
    """
    # JSON is YAML, too. The intervals are for tests that wait.
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(PROMETHEUS / "collected.rules")],
        "scrape_configs": jobs,
    }
    (STATE / "dashboards.json").write_text(f"[{','.join(dashboards)}]")
    changed = [
        _write(PROMETHEUS / "collected.rules", json.dumps(rules or {"groups": []})),
        _write(PROMETHEUS / "prometheus.yml", json.dumps(config)),
    ]
    if any(changed):
        _run(["/usr/bin/promtool", "check", "config", str(PROMETHEUS / "prometheus.yml")])
        _run([SYSTEMCTL, "reload-or-restart", "prometheus"])


def remove() -> None:
    """Stop everything, and take the receiver away."""
    _run([SYSTEMCTL, "disable", "--now", RECEIVER, "prometheus"])
    (UNITS / RECEIVER).unlink(missing_ok=True)


def _write(file: Path, text: str) -> bool:
    """Write a file whole where it differs; return whether it did."""
    if file.exists() and file.read_text() == text:
        return False
    new = file.with_name(f"{file.name}.new")
    new.write_text(text)
    new.chmod(0o644)
    new.replace(file)
    return True


def _run(command: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        raise CollectorError(f"{command[0]} failed: {said[-1]}")
