"""The mprime charm with a program that behaves as GIMPS's mprime 30.19 does, in time too.

GIMPS's licence does not let the tests carry its program; tests/images/fake-mprime says what they
have in its place.
"""

from __future__ import annotations

import base64
import io
import json
import tarfile
from pathlib import Path
from typing import NamedTuple

import jubilant
import pytest

from tests.integration.kit import (
    check_active,
    inspect_container,
    reboot_machine,
    run_hook,
    search_status,
    subordinates,
)
from tools.instance import Published, sudo
from tools.pack import ROOT

IMAGE = "localhost/fake-mprime:1"
WORK = "/var/lib/mprime/mprime-0"
SERVER = "docker run --detach --name primenet --network gimps --network-alias v5.mersenne.org"


class Position(NamedTuple):
    """Where the search is; later positions are greater, as the work list ascends."""

    exponent: int
    iteration: int


def build_stand_in(juju: jubilant.Juju, published: Published) -> None:
    """Build the stand-in's image on machine 0, upon the one with Mlucas, for the shell in that."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for file in (ROOT / "tests/images/fake-mprime").iterdir():
            tar.add(file, file.name)
    trust = f"/etc/docker/certs.d/{published.image.split('/')[0]}"
    context = base64.b64encode(archive.getvalue()).decode()
    authority = base64.b64encode(published.authority.encode()).decode()
    sudo(
        juju,
        f"mkdir -p {trust} && echo {authority} | base64 -d > {trust}/ca.crt && "
        f"docker pull --quiet {published.image} && echo {context} | base64 -d | "
        f"DOCKER_BUILDKIT=0 docker build --quiet --build-arg BASE={published.image} "
        f"--tag {IMAGE} - && rm -r {trust}",
        machine=0,
    )


@pytest.fixture(scope="module")
def search(
    shared_juju: jubilant.Juju, charms: dict[str, Path], published: Published
) -> jubilant.Juju:
    shared_juju.deploy(charms["apache2"])
    shared_juju.wait(jubilant.all_active, successes=1)
    build_stand_in(shared_juju, published)
    shared_juju.deploy(charms["mprime"], config={"image": IMAGE, "worktodo": "110503"})
    shared_juju.integrate("apache2:juju-info", "mprime:juju-info")
    shared_juju.wait(lambda status: "mprime/0" in subordinates(status), successes=1)
    shared_juju.wait(jubilant.all_agents_idle, successes=1)
    return shared_juju


def read_position(juju: jubilant.Juju) -> Position:
    found = juju.run("mprime/0", "progress").results
    return Position(int(found["exponent"]), int(found["iteration"]))


def wait_for_position(juju: jubilant.Juju, beyond: Position) -> Position:
    """Wait until the search reports a position that is further."""
    seen = beyond

    def is_there(_: jubilant.Status) -> bool:
        nonlocal seen
        seen = read_position(juju)
        return seen > beyond

    juju.wait(is_there, successes=1)
    return seen


def runs(juju: jubilant.Juju) -> bool:
    try:
        return inspect_container(juju)["State"]["Running"]
    except (jubilant.TaskError, jubilant.CLIError):  # the engine may not answer yet
        return False


def list_work(juju: jubilant.Juju) -> str:
    return sudo(juju, "cat", f"{WORK}/worktodo.txt", machine=0).stdout


def wait_for_message(juju: jubilant.Juju, *words: str) -> None:
    """Wait until a hook says all these words."""

    def says(_: jubilant.Status) -> bool:
        run_hook(juju, "update-status")
        return all(each in search_status(juju.status())[1] for each in words)

    juju.wait(says, successes=1)


def test_out_of_work_it_waits_and_takes_what_is_added(search: jubilant.Juju) -> None:
    wait_for_message(search, "out of work; 1 prime found: M110503")
    before = inspect_container(search)
    assert before["State"]["Running"]
    assert before["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert search.run("mprime/0", "add-work", {"exponents": "M859433"}).results["added"]
    search.wait(lambda _: "859433" in list_work(search), successes=1)
    assert wait_for_position(search, Position(859433, 0)).exponent == 859433
    assert inspect_container(search)["State"]["StartedAt"] == before["State"]["StartedAt"]


def test_a_list_that_is_rewritten_gets_nothing_twice(search: jubilant.Juju) -> None:
    # A greater exponent takes more reports, and so a restart.
    before = read_position(search)
    search.config("mprime", {"worktodo": "110503 6972593"})
    for _ in range(3):
        run_hook(search, "update-status")
        assert "out of work" not in search_status(search.status())[1]
    wait_for_position(search, before)
    lines = [line for line in list_work(search).splitlines() if "=" in line]
    assert [line.split(",")[1] for line in lines] == ["859433", "6972593"]
    assert "worktodo.add" not in sudo(search, "ls", WORK, machine=0).stdout.split()


def test_a_pause_tells_where_it_stopped_and_outlives_the_container(search: jubilant.Juju) -> None:
    before = read_position(search)
    said = search.run("mprime/0", "pause").results["message"]
    assert "goes on with M" in said
    assert not said.endswith(": 0.0 %")
    assert inspect_container(search)["State"]["ExitCode"] == 0
    stopped = read_position(search)
    assert stopped >= before
    sudo(search, "docker", "rm", "mprime-0", machine=0)
    run_hook(search, "update-status")
    assert search_status(search.status())[0] == "maintenance"
    assert "mprime-0" not in sudo(search, "docker ps -a --format {{.Names}}", machine=0).stdout
    search.run("mprime/0", "resume")
    assert wait_for_position(search, stopped) > stopped


def test_after_a_restart_of_the_engine_it_goes_on_without_a_hook(search: jubilant.Juju) -> None:
    before = read_position(search)
    sudo(search, "systemctl restart docker", machine=0)
    search.wait(lambda _: runs(search), successes=1)
    assert read_position(search) >= before
    run_hook(search, "update-status")
    check_active(search)


def test_killed_hard_it_goes_on_from_what_its_last_stop_saved(search: jubilant.Juju) -> None:
    saved = sudo(search, f"cat {WORK}/p0859433 {WORK}/p6972593 2>/dev/null || true", machine=0)
    sudo(search, "docker", "kill", "--signal", "KILL", "mprime-0", machine=0)
    run_hook(search, "update-status")
    check_active(search)
    log = "docker logs mprime-0 2>&1 | grep -A 1 Resuming | tail -n 1"
    resumed = sudo(search, log, machine=0).stdout
    assert f"Iteration: {saved.stdout.split()[0]} / " in resumed


def test_after_a_reboot_it_goes_on_without_a_hook(search: jubilant.Juju) -> None:
    before = read_position(search)
    reboot_machine(search)
    search.wait(lambda _: runs(search), successes=1)
    assert read_position(search).exponent >= before.exponent
    wait_for_message(search, "M110503 is prime; M", " left")


def test_a_benchmark_of_a_few_seconds_measures(search: jubilant.Juju) -> None:
    found = search.run("mprime/0", "benchmark", {"seconds": 8}).results
    assert (found["engine"], int(found["exponent"])) == ("mprime", 6972593)
    assert float(found["ms-per-iteration"]) > 0
    assert runs(search)


def test_primenet_hands_out_work_and_its_absence_is_told(search: jubilant.Juju) -> None:
    search.run("mprime/0", "pause")
    factor = f"Factor={'0123456789ABCDEF' * 2},900000011,64,65"
    sudo(
        search,
        f"rm -rf {WORK}/* {WORK}.orders && docker network create gimps && mkdir /www && "
        f"echo {factor} > /www/work",
        machine=0,
    )
    search.config("mprime", {"primenet-user": "me", "network": "gimps", "worktodo": ""})
    search.run("mprime/0", "resume")
    wait_for_message(search, "waits for PrimeNet", "PrimeNet has been out of reach since ")
    sudo(
        search,
        f"{SERVER} --volume /www:/www --user 0 --entrypoint /bin/busybox {IMAGE} "
        "httpd -f -p 80 -h /www",
        machine=0,
    )
    wait_for_message(search, "M900000011: trial factoring to 2^65, ")
    assert "out of reach" not in search_status(search.status())[1]

    def is_done(_: jubilant.Status) -> bool:
        found = json.loads(search.run("mprime/0", "results").results["json"])
        return found["unfactored"] == [900000011] and not found["composites"]

    search.wait(is_done, successes=1)
