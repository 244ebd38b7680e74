"""The mprime charm with a program that behaves as GIMPS's mprime 30.19 does, in time too.

GIMPS's licence does not let the tests carry its program; tests/images/fake-mprime says what they
have in its place.
"""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import NamedTuple

import jubilant
import pytest

from tests.integration.primenet import (
    NETWORK,
    build_stand_in,
    offer,
    place_server,
    read_requests,
    start_server,
    stop_server,
    wait_for_message,
    wait_for_reports,
)
from tests.integration.steps import (
    check_active,
    inspect_container,
    list_subordinates,
    read_search_status,
    reboot_machine,
    run_hook,
)
from tools.image import IMAGES, build_base
from tools.instance import Published, sudo
from tools.pack import ROOT

IMAGE = "localhost/fake-mprime:1"
MLUCAS = "localhost/fake-autoprimenet:1"
WORK = "/var/lib/mprime/mprime-0"
# What AutoPrimeNet needs of an image, without itself.
NEEDS = "#!/usr/bin/env python3\nimport requests, sys\nprint('asked for', *sys.argv[1:])\n"


class Position(NamedTuple):
    """Where the search is; later positions are greater, as the work list ascends."""

    exponent: int
    iteration: int


@pytest.fixture(scope="module")
def search(
    shared_juju: jubilant.Juju, charms: dict[str, Path], published: Published
) -> jubilant.Juju:
    shared_juju.deploy(charms["apache2"])
    shared_juju.wait(jubilant.all_active, successes=1)
    build_stand_in(shared_juju, published, IMAGE, ROOT / "tests/images/fake-mprime")
    shared_juju.deploy(charms["mprime"], config={"image": IMAGE, "worktodo": "110503"})
    shared_juju.integrate("apache2:juju-info", "mprime:juju-info")
    shared_juju.wait(lambda status: "mprime/0" in list_subordinates(status), successes=1)
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
        assert "out of work" not in read_search_status(search.status())[1]
    wait_for_position(search, before)
    lines = [line for line in list_work(search).splitlines() if "=" in line]
    assert [line.split(",")[1] for line in lines] == ["859433", "6972593"]
    assert "worktodo.add" not in sudo(search, "ls", WORK, machine=0).stdout.split()


def test_a_pause_tells_where_it_stopped_and_outlives_the_container(search: jubilant.Juju) -> None:
    before = read_position(search)
    said = search.run("mprime/0", "pause").results["message"]
    assert "to continue with M" in said
    assert not said.endswith(": 0.0 %")
    assert inspect_container(search)["State"]["ExitCode"] == 0
    stopped = read_position(search)
    assert stopped >= before
    sudo(search, "docker", "rm", "mprime-0", machine=0)
    run_hook(search, "update-status")
    assert read_search_status(search.status())[0] == "maintenance"
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


@pytest.fixture(scope="module")
def primenet(search: jubilant.Juju) -> jubilant.Juju:
    """The search with an account, nothing done yet, and PrimeNet out of reach."""
    search.run("mprime/0", "pause")
    sudo(search, f"rm -rf {WORK}/* {WORK}.orders", machine=0)
    place_server(search)
    options = {"primenet-user": "me", "computer-name": "rack7", "work-preference": 150}
    search.config("mprime", {**options, "network": NETWORK, "worktodo": ""})
    search.run("mprime/0", "resume")
    return search


def test_primenet_out_of_reach_is_told_since_when(primenet: jubilant.Juju) -> None:
    wait_for_message(primenet, "waits for PrimeNet", "PrimeNet has been out of reach since ")


def test_primenet_knows_the_machine_and_hands_out_work(primenet: jubilant.Juju) -> None:
    offer(primenet, "tf 900000011 64 65", "prp 400009")
    start_server(primenet, IMAGE)
    wait_for_message(primenet, "M900000011: trial factoring to 2^65, ")
    assert "out of reach" not in read_search_status(primenet.status())[1]
    asked = read_requests(primenet)
    first, second, *others = asked
    assert (first["t"], first["u"], first["cn"]) == ("uc", "me", "rack7")
    assert (second["t"], second["w"]) == ("po", "150")
    assert [each["t"] for each in others[:4]] == ["ga", "ap"] * 2
    assert {each["g"] for each in asked} == {first["g"]}


def test_a_result_waits_until_primenet_is_back(primenet: jubilant.Juju) -> None:
    stop_server(primenet)
    wait_for_message(primenet, "M400009: ", "PrimeNet has been out of reach since ")
    assert "ar" not in [each["t"] for each in read_requests(primenet)]
    start_server(primenet, IMAGE)
    wait_for_reports(
        primenet,
        {"n": "900000011", "r": "4", "sf": "64", "ef": "65"},
        {"n": "400009", "r": "150", "rd": "90EF09C231D295EE"},
    )
    found = json.loads(primenet.run("mprime/0", "results").results["json"])
    assert found["unfactored"] == [900000011]
    assert [each["exponent"] for each in found["composites"]] == [400009]


def test_a_prp_test_without_room_for_its_proof_is_told_and_goes_on_with_some(
    primenet: jubilant.Juju,
) -> None:
    primenet.run("mprime/0", "pause")
    sudo(primenet, f"mount -t tmpfs -o size=512k tmpfs {WORK}", machine=0)
    offer(primenet, "prp 216091")
    primenet.run("mprime/0", "resume")
    wait_for_message(primenet, "can't save its work: it died of SIGFPE (exit code 136)")
    assert read_search_status(primenet.status())[0] == "blocked"
    sudo(primenet, f"mount -o remount,size=8m {WORK}", machine=0)
    wait_for_reports(primenet, {"n": "216091", "r": "151"})
    wait_for_message(primenet, "1 probable prime found: M216091")


def test_a_disk_that_became_read_only_is_told_until_it_is_mended(primenet: jubilant.Juju) -> None:
    offer(primenet, "prp 756839")
    wait_for_message(primenet, "M756839: ")
    sudo(primenet, f"mount -o remount,ro {WORK}", machine=0)
    wait_for_message(primenet, "can't save its work: the disk of ", " is full or read-only; ")
    sudo(primenet, f"mount -o remount,rw {WORK}", machine=0)
    wait_for_message(primenet, "; M756839: ")


def test_mlucas_takes_part_through_autoprimenet(
    primenet: jubilant.Juju, published: Published
) -> None:
    primenet.run("mprime/0", "pause")
    stop_server(primenet)
    sudo(primenet, f"docker rm mprime-0; umount {WORK}; rm -rf {WORK}/*", machine=0)
    folders = (ROOT / "tests/images/fake-autoprimenet", ROOT / "images/mlucas-primenet")
    build_stand_in(primenet, published, MLUCAS, *folders)
    primenet.config("mprime", {"image": MLUCAS, "work-preference": 100})
    primenet.run("mprime/0", "resume")
    wait_for_message(primenet, "waits for PrimeNet", "PrimeNet has been out of reach since 20")
    offer(primenet, "ll 110527")
    start_server(primenet, IMAGE)
    wait_for_message(primenet, "M110527: ")
    assert "out of reach" not in read_search_status(primenet.status())[1]
    container = inspect_container(primenet)["HostConfig"]
    assert (container["ReadonlyRootfs"], container["CapDrop"]) == (True, ["ALL"])
    users = sudo(primenet, "docker top mprime-0 -eo pid,uid", machine=0).stdout.split()
    assert set(users[3::2]) == {"65532"}
    wait_for_reports(primenet, {"n": "110527", "r": "100", "rd": "DB43B1563828DEB6"})
    computer = [each for each in read_requests(primenet) if each["t"] == "uc"][-1]
    assert (computer["a"], computer["u"]) == ("Linux64,Mlucas,v20.1.1", "me")
    stopped = primenet.run("mprime/0", "pause").results["message"]
    assert stopped.startswith("paused")


def test_the_image_with_autoprimenet_holds_what_it_needs_and_the_file_whose_hash_was_named(
    registry: jubilant.Juju,
) -> None:
    registry.cli("scp", "-r", str(IMAGES / "mlucas-primenet"), "registry/0:/tmp/context")
    registry.scp(build_base(), "registry/0:/tmp/base.tar")
    registry.exec(
        f"docker import /tmp/base.tar localhost/base:1 && echo {shlex.quote(NEEDS)} "
        ">/tmp/context/autoprimenet.py",
        unit="registry/0",
    )
    build = "docker build --quiet --build-arg BASE=localhost/base:1 --tag with-client:1"
    named = f"{build} --build-arg AUTOPRIMENET_SHA256=$hash /tmp/context"
    with pytest.raises(jubilant.TaskError, match="computed checksum did NOT match"):
        registry.exec(f"hash={'0' * 64}; {named}", unit="registry/0")
    registry.exec(
        f"hash=$(sha256sum </tmp/context/autoprimenet.py | cut -c -64); {named}",
        unit="registry/0",
    )
    run = "docker run --rm --read-only --network none --cap-drop ALL --tmpfs /work:mode=1777"
    client = f"{run} --entrypoint /opt/autoprimenet/autoprimenet.py with-client:1 --timeout 0"
    assert registry.exec(client, unit="registry/0").stdout == "asked for --timeout 0\n"
    search = f"{run} with-client:1 2>&1 || true"  # there is no work
    assert "Mlucas" in registry.exec(search, unit="registry/0").stdout
