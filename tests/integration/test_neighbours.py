"""Two principals on one machine, each with mprime attached: one searches, the other stands by."""

from __future__ import annotations

from pathlib import Path

import jubilant

from tests.integration.steps import run_hook
from tools.instance import Published, sudo


def read_status(juju: jubilant.Juju, principal: str) -> tuple[str, str, str]:
    """The name, status and message of the search beside a principal."""
    ((name, unit),) = juju.status().apps[principal].units[f"{principal}/0"].subordinates.items()
    return name, unit.workload_status.current, unit.workload_status.message


def list_containers(juju: jubilant.Juju) -> list[str]:
    return sudo(juju, "docker", "ps", "--format", "{{.Names}}", machine=0).stdout.split()


def test_one_of_two_on_a_machine_works_and_the_other_takes_over_when_it_goes(
    juju: jubilant.Juju, charms: dict[str, Path], published: Published
) -> None:
    juju.deploy(charms["apache2"])
    juju.deploy(charms["apache2"], "intranet", to="0")
    options = {"image": published.image, "registry-ca": published.authority}
    juju.deploy(charms["mprime"], config=options)
    juju.integrate("apache2", "mprime")
    juju.wait(lambda status: bool(status.get_units("mprime")), successes=1)
    juju.wait(jubilant.all_active, successes=1)
    juju.integrate("intranet", "mprime")
    juju.wait(lambda status: len(status.get_units("mprime")) == 2, successes=1)
    juju.wait(jubilant.all_active, successes=1)

    worker, _, _ = read_status(juju, "apache2")
    standby, status, message = read_status(juju, "intranet")
    assert (status, message) == ("active", f"standby: {worker} works on this machine")
    assert list_containers(juju) == [worker.replace("/", "-")]
    for unit in (standby, worker):
        run_hook(juju, "update-status", unit=unit)
    assert list_containers(juju) == [worker.replace("/", "-")]

    juju.remove_relation("apache2", "mprime")
    juju.wait(lambda status: len(status.get_units("mprime")) == 1, successes=1)
    agents = sudo(juju, "ls", "/var/lib/juju/agents", machine=0).stdout.split()
    assert f"unit-{worker.replace('/', '-')}" not in agents
    run_hook(juju, "update-status", unit=standby)
    assert list_containers(juju) == [standby.replace("/", "-")]
    assert read_status(juju, "intranet")[2].startswith("M110503: ")
    # The registry's authority, which both trust, is still there for the next pull.
    trusted = sudo(juju, "find /etc/docker/certs.d -name ca.crt", machine=0).stdout.split()
    assert len(trusted) == 1
