"""The demo's second part: containers of two machines reach each other through the fan."""

from __future__ import annotations

import json
from typing import Any

from tools.pack import ROOT
from tools.stage import DemoError, console, juju, print_step, renew_model

MODEL = "demo-fan"
_PORT = 1234
_BYTES = 16_000_000

# Runs on a machine as root: an image with nothing but Debian's busybox in it.
IMAGE = """
set -eu
apt-get install -q -y --no-install-recommends busybox-static >&2
mkdir -p /tmp/box/bin /tmp/box/tmp
cp /bin/busybox /tmp/box/bin
for tool in head nc ping sh sha256sum tee; do ln -sf busybox /tmp/box/bin/$tool; done
tar -c -C /tmp/box . | docker import - box >&2
rm -r /tmp/box
"""


def show_fan() -> dict[str, Any]:
    """Deploy two machines with the fan, and let their containers talk; return what was seen."""
    renew_model(MODEL, "--no-switch")  # the first part's stays the current one
    print_step("Deploy two apache2 with the fan attached")
    juju("deploy", str(ROOT / "dist" / "apache2.charm"), "--num-units", "2", model=MODEL)
    juju("deploy", str(ROOT / "dist" / "fan.charm"), model=MODEL)
    juju("integrate", "apache2:juju-info", "fan:juju-info", model=MODEL)
    machines = _find_machines()
    print_step("Make an image of busybox on both machines")
    for machine in machines:
        juju("ssh", machine, f"sudo sh -c '{IMAGE}'", model=MODEL, quiet=True)

    print_step("A container on machine 0 pings one on machine 1, and sends it 16 MB")
    listen = f'sh -c "nc -l -p {_PORT} | sha256sum"'
    _run("1", f"sudo docker run --detach --interactive --network fan --name db box {listen}")
    address = _run("1", f"sudo docker inspect --format '{_ADDRESS}' db")
    print(_show("0", f"sudo docker run --rm --network fan box ping -c 3 {address}"))
    send = f"head -c {_BYTES} /dev/urandom | tee /tmp/data | nc -w 10 {address} {_PORT}"
    sent = _show(
        "0",
        f"sudo docker run --rm --network fan box sh -c '{send}; sha256sum </tmp/data'",
    )
    print(sent)
    _run("1", "sudo docker wait db")
    received = _show("1", "sudo docker logs db")
    print(received)
    if sent != received:
        raise DemoError(
            f"{_BYTES} bytes were sent, but different ones arrived: {sent}, {received}"
        )

    print_step("The result")
    shown = _show("0", "sudo fanctl show")
    print(shown)
    print(juju("status", model=MODEL))
    return {"address": address, "show": shown, "sha256": received.split()[0]}


def summarize(seen: dict[str, Any]) -> str:
    """Return what the part showed, in one line."""
    return f"a container on machine 0 sent 16 MB to {seen['address']} on machine 1, unchanged"


_ADDRESS = "{{.NetworkSettings.Networks.fan.IPAddress}}"


def _find_machines() -> list[str]:
    """Return the machines whose unit of the fan is active."""
    status = json.loads(juju("status", "--format", "json", model=MODEL))
    machines = [
        unit["machine"]
        for unit in status["applications"]["apache2"]["units"].values()
        for there in unit.get("subordinates", {}).values()
        if there["workload-status"]["current"] == "active"
    ]
    if len(machines) != 2:
        raise DemoError(f"the fan is not up on two machines; see: juju status --model {MODEL}")
    return machines


def _run(machine: str, command: str) -> str:
    """Run a command on a machine; return what it said."""
    return juju("ssh", machine, command, model=MODEL).strip()


def _show(machine: str, command: str) -> str:
    console.print(f"[dim]machine {machine} $ {command}[/dim]")
    return _run(machine, command)
