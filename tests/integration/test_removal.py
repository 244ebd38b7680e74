"""Units that leave without the hooks that should tell them so."""

from __future__ import annotations

from pathlib import Path

import jubilant
import pytest

from tests.integration.fan_steps import read_network, wait_for_fans
from tests.integration.steps import check_active, deploy_search, list_subordinates
from tools.instance import Published, sudo

# Instead of each hook tool, as in a hook that Juju runs while it deletes the unit.
BROKEN = r"#!/bin/sh\necho ERROR connection is shutdown before send >&2\nexit 1\n"
LEFT = """
docker ps --all --quiet
find /etc/systemd/system /var/lib/hostkit -name '*mprime*' -o -name '*fan-0*'
find /sys/fs/cgroup -name 'mprime_0*'
find /usr/local/sbin -name fanctl
"""


@pytest.fixture(scope="module")
def both(
    shared_juju: jubilant.Juju, charms: dict[str, Path], published: Published
) -> jubilant.Juju:
    """A machine with apache2, and with mprime and the fan beside it."""
    deploy_search(shared_juju, charms, published, published.authority)
    check_active(shared_juju)
    return shared_juju


def test_a_search_stops_in_a_hook_in_which_every_tool_fails(both: jubilant.Juju) -> None:
    lay = (
        "mkdir -p /tmp/broken && cd /var/lib/juju/tools/unit-mprime-0 && "
        f"for tool in *; do printf '{BROKEN}' >/tmp/broken/$tool; done && "
        "chmod 755 /tmp/broken/*"
    )
    sudo(both, lay, machine=0)
    stop = "JUJU_DISPATCH_PATH=hooks/stop JUJU_HOOK_NAME=stop PATH=/tmp/broken:$PATH ./dispatch"
    both.exec(stop, unit="mprime/0")
    assert not sudo(both, LEFT, machine=0).stdout.strip()


def test_what_units_had_goes_although_no_hook_ever_tells_them(
    both: jubilant.Juju, charms: dict[str, Path]
) -> None:
    before = read_network(both, 0)
    both.deploy(charms["fan"])
    both.integrate("apache2:juju-info", "fan:juju-info")
    wait_for_fans(both, 1)
    assert read_network(both, 0) != before
    assert "fan-250" in sudo(both, "fanctl show", machine=0).stdout
    assert "/usr/local/sbin/fanctl" in sudo(both, LEFT, machine=0).stdout
    both.cli("remove-application", "mprime", "fan", "--force", "--no-prompt")
    both.wait(lambda status: not list_subordinates(status), successes=1)
    both.wait(lambda _: not sudo(both, LEFT, machine=0).stdout.strip(), successes=1)
    assert read_network(both, 0) == before
    log = both.cli("debug-log", "--limit", "100000", "--replay")
    assert '"stop" hook' not in log
