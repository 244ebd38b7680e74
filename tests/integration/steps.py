"""What the tests of the search share."""

from __future__ import annotations

import contextlib
import json
import os
import zipfile
from pathlib import Path
from typing import Any

import jubilant
import pytest
import yaml

from tools.instance import Published, sudo

# Whether the tests run on a controller, and not on the local model.
REAL = os.environ.get("JUJU_REAL") == "1"
needs_our_network = pytest.mark.skipif(
    REAL, reason="changes addresses of the local model's network"
)


def read_base(charm: Path) -> str:
    """Return the base that a charm was packed on, such as `ubuntu@24.04/stable`."""
    with zipfile.ZipFile(charm) as archive:
        (base,) = yaml.safe_load(archive.read("manifest.yaml"))["bases"]
    return f"{base['name']}@{base['channel']}/stable"


def deploy_search(
    juju: jubilant.Juju,
    charms: dict[str, Path],
    published: Published,
    authority: str,
    **options: str | float,
) -> None:
    """Deploy apache2 with mprime attached, and wait until there is nothing left to do."""
    juju.deploy(charms["apache2"])
    config = {"image": published.image, "registry-ca": authority}
    config |= {name.replace("_", "-"): value for name, value in options.items()}
    # Juju 4.0.15 takes no float when it deploys.
    later = {name: value for name, value in config.items() if isinstance(value, float)}
    juju.deploy(charms["mprime"], config={k: v for k, v in config.items() if k not in later})
    if later:
        juju.config("mprime", later)
    juju.integrate("apache2:juju-info", "mprime:juju-info")
    juju.wait(lambda status: "mprime/0" in list_subordinates(status), successes=1)
    juju.wait(jubilant.all_agents_idle, successes=1)


def list_subordinates(status: jubilant.Status) -> dict[str, Any]:
    return status.apps["apache2"].units["apache2/0"].subordinates


def read_search_status(status: jubilant.Status) -> tuple[str, str]:
    """The status of mprime/0 and its message."""
    found = list_subordinates(status)["mprime/0"].workload_status
    return found.current, found.message


def check_active(juju: jubilant.Juju) -> None:
    status, message = read_search_status(juju.status())
    assert status == "active", message


def inspect_container(juju: jubilant.Juju) -> dict[str, Any]:
    """What the machine's engine says of the search's container."""
    return json.loads(sudo(juju, "docker", "inspect", "mprime-0", machine=0).stdout)[0]


def run_hook(juju: jubilant.Juju, hook: str, unit: str = "mprime/0") -> None:
    """Run a hook of a unit now, instead of waiting for its time."""
    words = [f"JUJU_DISPATCH_PATH=hooks/{hook}", f"JUJU_HOOK_NAME={hook}", "./dispatch"]
    juju.exec("env", *words, unit=unit)


def reset_options(juju: jubilant.Juju, *units: str, options: str | list[str]) -> None:
    """Reset options of an application, and let its units see that.

    Juju 4.0.15 fires no config-changed where options are reset and none is set; the next hook sees
    their defaults.
    """
    juju.config(units[0].partition("/")[0], reset=options)
    for unit in units:
        run_hook(juju, "update-status", unit)


def reboot_machine(juju: jubilant.Juju) -> None:
    """Reboot machine 0 from within, and wait until it has started all that it starts."""
    ask = (
        "systemctl show --property UserspaceTimestampMonotonic --value; "
        "systemctl is-system-running || true"  # it fails where something else failed to start
    )
    booted = sudo(juju, ask, machine=0).stdout.split()[0]
    with contextlib.suppress(jubilant.CLIError):  # it may take the connection along
        juju.ssh("0", "sudo", "systemctl", "reboot")

    def is_up_again(_: jubilant.Status) -> bool:
        try:
            boot, state = sudo(juju, ask, machine=0).stdout.split()
        except (jubilant.CLIError, jubilant.TaskError, ValueError):  # systemd may not listen yet
            return False
        return boot != booted and state in ("running", "degraded")

    juju.wait(is_up_again, successes=1)
