"""A search that is interrupted in every way, next to one that nothing disturbs."""

from __future__ import annotations

import contextlib
import json
import random
import re
from pathlib import Path
from typing import NamedTuple

import jubilant
import pytest

from tests.integration.steps import (
    check_active,
    deploy_search,
    inspect_container,
    list_subordinates,
    reboot_machine,
    run_hook,
)
from tools.instance import Published, sudo

ROOT = "/var/lib/mprime"
WORK = f"{ROOT}/mprime-0"
# A prime, a composite, and one that takes longer than these tests.
TESTED = (110503, 110527)
EXPONENTS = (*TESTED, 1257787)
INTERVAL = 1000  # iterations between two checkpoints, the least that Mlucas allows
LINE = "Test=00000000000000000000000000000000,{},60,1\n"


class Position(NamedTuple):
    """Where the search is; later positions are greater, as the work list ascends."""

    exponent: int
    iteration: int


START = Position(0, 0)


def wait_for_position(juju: jubilant.Juju, beyond: Position = START) -> Position:
    """Wait until the search is further than `beyond`, and has written a checkpoint."""
    seen = START

    def is_there(_: jubilant.Status) -> bool:
        nonlocal seen
        results = juju.run("mprime/0", "progress").results
        seen = Position(int(results["exponent"]), int(results["iteration"]))
        return seen > beyond and seen.iteration >= INTERVAL

    juju.wait(is_there, successes=1)
    return seen


def list_starts(juju: jubilant.Juju) -> list[Position]:
    """Where the program has begun or gone on, each time, by its own account."""
    command = f"grep -Eh 'Restarting|no restart file' {WORK}/p*.stat /dev/null || true"
    said = sudo(juju, command, machine=0).stdout
    found = re.findall(r"Restarting M(\d+) at iteration = (\d+)", said)
    return sorted(Position(int(exponent), int(iteration)) for exponent, iteration in found)


def check_that_it_goes_on(juju: jubilant.Juju, before: Position, earlier: list[Position]) -> None:
    """Check that a search that was interrupted went on from its last checkpoint."""
    run_hook(juju, "update-status")
    assert wait_for_position(juju, before) > before
    starts = list_starts(juju)
    for start in earlier:
        starts.remove(start)
    # One that ended its exponent in between has nothing to go on from.
    assert all(start >= before for start in starts), starts


@pytest.fixture(scope="module")
def search(
    shared_juju: jubilant.Juju, charms: dict[str, Path], published: Published
) -> jubilant.Juju:
    """A search, and beside it on another core one without the charm."""
    deploy_search(
        shared_juju,
        charms,
        published,
        published.authority,
        worktodo=" ".join(map(str, EXPONENTS)),
        checkpoint_minutes=0.01,
    )
    lines = "".join(LINE.format(exponent) for exponent in TESTED).replace("\n", "\\n")
    sudo(
        shared_juju,
        f"mkdir /reference && cp {WORK}/mlucas.cfg /reference && chown -R 65532 /reference && "
        f"printf '{lines}' > /reference/worktodo.ini && chmod a+rw /reference/* && "
        "docker run --detach --name reference --volume /reference:/work --restart=always "
        "--network none $(docker inspect --format '{{.Image}}' mprime-0)",
        machine=0,
    )
    return shared_juju


def test_a_container_killed_hard_goes_on_from_its_checkpoint(search: jubilant.Juju) -> None:
    before, earlier = wait_for_position(search), list_starts(search)
    sudo(search, "docker", "kill", "--signal", "KILL", "mprime-0", machine=0)
    check_that_it_goes_on(search, before, earlier)


def test_a_container_restarted_by_hand_goes_on_from_its_checkpoint(search: jubilant.Juju) -> None:
    before, earlier = wait_for_position(search), list_starts(search)
    sudo(search, "docker", "restart", "mprime-0", machine=0)
    check_that_it_goes_on(search, before, earlier)


def test_hooks_killed_at_random_points_are_made_good_by_the_next(search: jubilant.Juju) -> None:
    chance = random.Random(110503)  # noqa: S311
    before, earlier = wait_for_position(search), list_starts(search)
    for change in (0.02, 0.01):
        # The settings change, which takes a restart of the program; so there is much to kill.
        search.cli("config", "mprime", f"checkpoint-minutes={change}")
        for _ in range(2):
            # It may not run, if the hook before was killed before it started it.
            sudo(search, "docker kill --signal KILL mprime-0 || true", machine=0)
            after = chance.uniform(0.2, 1.0)
            with contextlib.suppress(jubilant.TaskError):
                search.exec(
                    f"timeout --signal=KILL {after:.2f} env JUJU_HOOK_NAME=update-status "
                    "JUJU_DISPATCH_PATH=hooks/update-status ./dispatch",
                    unit="mprime/0",
                )
    check_that_it_goes_on(search, before, earlier)
    check_active(search)


def test_the_search_outlives_an_engine_that_is_stopped(search: jubilant.Juju) -> None:
    before, earlier = wait_for_position(search), list_starts(search)
    sudo(search, "systemctl stop docker.socket docker.service", machine=0)
    run_hook(search, "update-status")
    sudo(search, "systemctl start docker.service", machine=0)
    check_that_it_goes_on(search, before, earlier)


def test_the_search_outlives_an_engine_that_is_killed(search: jubilant.Juju) -> None:
    before, earlier = wait_for_position(search), list_starts(search)
    kill = "systemctl kill --signal=KILL --kill-who=main"
    sudo(search, f"{kill} docker.service; {kill} containerd.service", machine=0)
    search.wait(lambda _: answers(search), successes=1)
    check_that_it_goes_on(search, before, earlier)


def answers(juju: jubilant.Juju) -> bool:
    try:
        sudo(juju, "docker", "version", machine=0)
    except jubilant.TaskError:
        return False
    return True


def test_another_image_takes_over_at_the_last_checkpoint(
    search: jubilant.Juju, published: Published
) -> None:
    before, earlier = wait_for_position(search), list_starts(search)
    build = "docker build --quiet --tag localhost/mlucas:2 -"
    sudo(
        search,
        f"printf 'FROM {published.image}\\nLABEL a=b\\n' | DOCKER_BUILDKIT=0 {build}",
        machine=0,
    )
    old = inspect_container(search)["Image"]
    search.config("mprime", {"image": "localhost/mlucas:2"})
    search.wait(lambda _: inspect_container(search)["Image"] != old, successes=1)
    check_that_it_goes_on(search, before, earlier)


def test_after_a_reboot_the_search_goes_on_from_its_checkpoint(search: jubilant.Juju) -> None:
    before, earlier = wait_for_position(search), list_starts(search)
    reboot_machine(search)
    search.wait(lambda _: answers(search), successes=1)
    check_that_it_goes_on(search, before, earlier)


def test_all_that_changes_no_result(search: jubilant.Juju) -> None:
    def is_done(_: jubilant.Status) -> bool:
        found = json.loads(search.run("mprime/0", "results").results["json"])
        return len(found["primes"]) + len(found["composites"]) == len(TESTED)

    search.wait(is_done, successes=1)
    # A prime stands in its .stat alone; the other file comes with the first composite.
    read = "cat /reference/p*.stat; cat /reference/results.txt || true"
    residues: set[str] = set()

    def reference_is_done(_: jubilant.Status) -> bool:
        undisturbed = sudo(search, read, machine=0).stdout
        residues.update(re.findall(r'"exponent":110527.*"res64":"(\w+)"', undisturbed))
        return "M110503 is a known MERSENNE PRIME" in undisturbed and bool(residues)

    search.wait(reference_is_done, successes=1)
    (residue,) = residues
    found = json.loads(search.run("mprime/0", "results").results["json"])
    assert found == {
        "primes": [110503],
        "composites": [{"exponent": 110527, "residue": residue, "factor": ""}],
        "probable": [],
        "unfactored": [],
    }
    sudo(search, "docker", "rm", "--force", "reference", machine=0)


def test_work_stays_without_its_unit_and_a_new_one_can_adopt_it(search: jubilant.Juju) -> None:
    before = json.loads(search.run("mprime/0", "results").results["json"])
    search.remove_relation("apache2", "mprime")
    search.wait(lambda status: not list_subordinates(status), successes=1)
    assert "p110503.stat" in sudo(search, "ls", WORK, machine=0).stdout.split()
    search.integrate("apache2", "mprime")
    search.wait(lambda status: "mprime/1" in list_subordinates(status), successes=1)
    search.wait(jubilant.all_agents_idle, successes=1)
    result = search.run("mprime/1", "adopt-work", {"source": "mprime/0"}).results
    assert (result["adopted"], result["former-work"]) == ("mprime-0", "mprime-1.1")
    assert json.loads(search.run("mprime/1", "results").results["json"]) == before
    assert "mprime-0" not in sudo(search, "ls", ROOT, machine=0).stdout.split()


def test_with_the_option_remove_work_it_goes_with_its_unit(search: jubilant.Juju) -> None:
    search.config("mprime", {"remove-work": True})
    search.remove_relation("apache2", "mprime")
    search.wait(lambda status: not list_subordinates(status), successes=1)
    # What was put aside for it to adopt something else is nobody's, and stays.
    assert sudo(search, "ls", ROOT, machine=0).stdout.split() == ["mprime-1.1"]
    left = sudo(search, "docker", "ps", "-aq", "--filter", "name=mprime", machine=0)
    assert not left.stdout.strip()
