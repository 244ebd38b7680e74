"""The apache2 of this machine."""

from __future__ import annotations

import html
import os
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

PAGE = Path("/var/www/html/index.html")
URL = "http://127.0.0.1/"
SYSTEMCTL = "/usr/bin/systemctl"


class Apache2Error(Exception):
    """Something about apache2 failed; the text is for the unit's status."""


def version() -> str:
    """Return the version of the installed package, "" where there is none."""
    query = ["/usr/bin/dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", "apache2"]
    done = subprocess.run(query, check=False, capture_output=True, text=True)
    state, _, number = done.stdout.partition(" ")
    return number if state == "installed" else ""


def install() -> None:
    """Install the package where it is missing.

    Raises:
        Apache2Error: apt can't install it.
    """
    if version():
        return
    apt = ["/usr/bin/apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    get = [*apt, "install", "--no-install-recommends", "apache2"]
    try:
        # The lists at hand usually do; fetching new ones takes longer than the installation.
        _run(get)
    except Apache2Error:
        # A hook that was killed in the middle of apt leaves packages half configured.
        _run(["/usr/bin/dpkg", "--force-confold", "--configure", "-a"])
        _run([*apt, "update"])
        _run(get)


def write_page(text: str, unit: str) -> None:
    """Make the page show a text and the name of the unit that serves it."""
    page = (
        "<!doctype html>\n<html lang=en>\n<meta charset=utf-8>\n"
        f"<title>{html.escape(unit)}</title>\n"
        f"<h1>{html.escape(text)}</h1>\n<p>Served by {html.escape(unit)}.</p>\n</html>\n"
    )
    if PAGE.exists() and PAGE.read_text() == page:
        return
    new = PAGE.with_suffix(".new")
    new.write_text(page)
    new.chmod(0o644)
    new.replace(PAGE)


def fetch_page() -> str:
    """Return the page as the running server serves it.

    Raises:
        Apache2Error: the server doesn't answer.
    """
    try:
        with urllib.request.urlopen(URL, timeout=10) as answer:
            return answer.read().decode()
    except (urllib.error.URLError, OSError) as error:
        raise Apache2Error(f"{URL} does not answer: {error}") from error


def is_running() -> bool:
    """Return whether the service is running."""
    query = [SYSTEMCTL, "is-active", "--quiet", "apache2"]
    return subprocess.run(query, check=False, capture_output=True).returncode == 0


def start() -> None:
    """Start the service where it is not running.

    Raises:
        Apache2Error: it doesn't start.
    """
    if not is_running():
        _run([SYSTEMCTL, "start", "apache2"])


def stop() -> None:
    """Stop the service where it is running.

    Raises:
        Apache2Error: it doesn't stop.
    """
    if is_running():
        _run([SYSTEMCTL, "stop", "apache2"])


def _run(command: list[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(command, check=False, capture_output=True, text=True, env=environment)
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise Apache2Error(f"{' '.join(command[:1] + command[-2:])} failed: {said[-1]}")
