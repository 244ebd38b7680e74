"""The charm of the tutorial, on a real machine beside apache2: built, counting, saved, paused."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import jubilant
import pytest

from tests.integration.reader import Reader
from tests.integration.steps import list_subordinates, run_hook
from tests.pages import take
from tools.image import build_base
from tools.instance import sudo

UNIT = "counter/0"
WORK = "/var/lib/counter/counter-0"


@pytest.fixture(scope="module")
def counter(
    shared_juju: jubilant.Juju,
    charms: dict[str, Path],
    tmp_path_factory: pytest.TempPathFactory,
) -> jubilant.Juju:
    """A machine on which it counts; its base image is there, as without a way out it has to be."""
    juju = shared_juju
    juju.deploy(charms["apache2"])
    juju.wait(jubilant.all_agents_idle, successes=1)
    juju.scp(build_base(), "apache2/0:/tmp/base.tar")
    sudo(
        juju,
        "apt-get install -q -y --no-install-recommends docker.io && "
        "docker import /tmp/base.tar debian:trixie-slim",
        machine=0,
        wait=300,
    )
    instead = {"./dist/counter.charm": str(charms["counter"])}
    reader = Reader(juju, tmp_path_factory.mktemp("reader"), instead)
    reader.read(take("lib/harvest/README.md", __file__))
    juju.wait(lambda status: UNIT in list_subordinates(status), successes=1)
    juju.wait(jubilant.all_agents_idle, successes=1)
    return juju


def read_status(juju: jubilant.Juju) -> tuple[str, str]:
    run_hook(juju, "update-status", UNIT)
    found = list_subordinates(juju.status())[UNIT].workload_status
    return found.current, found.message


def read_count(juju: jubilant.Juju) -> int:
    status, message = read_status(juju)
    assert status == "active", message
    match = re.fullmatch(r"at (\d+)", message)
    assert match, message
    return int(match[1])


def wait_beyond(juju: jubilant.Juju, count: int) -> int:
    """Wait until it has counted further, and return how far."""
    found: list[int] = []

    def has_counted(_: Any) -> bool:
        found.append(read_count(juju))
        return found[-1] > count

    juju.wait(has_counted, successes=1)
    return found[-1]


def test_it_counts_in_an_idle_group_of_its_own_beside_apache2(counter: jubilant.Juju) -> None:
    wait_beyond(counter, 0)
    parent = "{{.HostConfig.CgroupParent}} {{.Config.User}} {{.HostConfig.NetworkMode}}"
    told = sudo(counter, "docker", "inspect", "--format", parent, "counter-0", machine=0).stdout
    group, user, network = told.split()
    assert "counter_0" in group
    assert (user, network) == ("65532:65532", "none")
    page = counter.run("apache2/0", "page").results["page"]
    assert "It works" in page


def test_a_kill_costs_no_more_than_what_was_not_saved(counter: jubilant.Juju) -> None:
    before = wait_beyond(counter, 0)
    sudo(counter, "docker", "kill", "counter-0", machine=0)
    assert wait_beyond(counter, before) > before


def test_it_is_paused_and_goes_on(counter: jubilant.Juju) -> None:
    counter.run(UNIT, "pause")
    held = int(sudo(counter, "cat", f"{WORK}/count", machine=0).stdout)
    assert read_status(counter) == ("maintenance", "paused; run the action resume to continue")
    assert int(sudo(counter, "cat", f"{WORK}/count", machine=0).stdout) == held
    counter.run(UNIT, "resume")
    assert wait_beyond(counter, held) > held


def test_its_work_outlives_it(counter: jubilant.Juju) -> None:
    counter.cli("remove-relation", "apache2:juju-info", "counter:juju-info")
    counter.wait(lambda status: not list_subordinates(status), successes=1)
    assert not sudo(counter, "docker", "ps", "--all", "--quiet", machine=0).stdout.strip()
    assert int(sudo(counter, "cat", f"{WORK}/count", machine=0).stdout) > 0
