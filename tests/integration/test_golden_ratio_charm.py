"""The golden-ratio charm beside a real apache2, with the real program in a real engine."""

from __future__ import annotations

import random
import re
from pathlib import Path

import jubilant
import pytest
import yaml

from tests.integration.steps import list_subordinates, read_base, reboot_machine, run_hook
from tests.integration.test_golden_ratio import MILLIONTH, find_decimals
from tools.image import build_image, find_archive
from tools.instance import sudo
from tools.pack import ROOT

UNIT = "golden-ratio/0"
NAME = "golden-ratio-0"
WORK = "/var/lib/golden-ratio/golden-ratio-0"
FEW, MILLION = 100_000, 1_000_000
chance = random.Random()  # noqa: S311 - where and when to do harm


def status_of(status: jubilant.Status) -> tuple[str, str]:
    found = list_subordinates(status)[UNIT].workload_status
    return found.current, found.message


def await_message(juju: jubilant.Juju, pattern: str, status: str = "active") -> str:
    """Run hooks until the unit's status is a certain one, and return its message."""
    seen = "", ""

    def is_there(_: jubilant.Status) -> bool:
        nonlocal seen
        run_hook(juju, "update-status", UNIT)
        seen = status_of(juju.status())
        return seen[0] == status and bool(re.fullmatch(pattern, seen[1]))

    juju.wait(is_there, successes=1, timeout=60)
    return seen[1]


def await_digits(juju: jubilant.Juju, digits: int) -> None:
    await_message(juju, rf"{digits:,} digits, verified; [\d,]+ digits/s")


def run_program(juju: jubilant.Juju, words: str) -> str:
    """What the machine's engine says."""
    return sudo(juju, f"docker {words}", machine=0).stdout.strip()


@pytest.fixture(scope="module")
def golden(shared_juju: jubilant.Juju, charms: dict[str, Path]) -> jubilant.Juju:
    """A model in which a million digits are there, verified."""
    shared_juju.deploy(charms["apache2"])
    shared_juju.wait(jubilant.all_active, successes=1)
    archive = build_image("golden-ratio", "apache2/0", shared_juju.cli)
    shared_juju.deploy(
        charms["golden-ratio"],
        config={"digits": MILLION},
        resources={"golden-ratio-image": str(archive)},
    )
    shared_juju.integrate("apache2:juju-info", "golden-ratio:juju-info")
    shared_juju.wait(lambda status: UNIT in list_subordinates(status), successes=1)
    await_digits(shared_juju, MILLION)
    return shared_juju


def find_container(juju: jubilant.Juju) -> list[str]:
    """Id and start of the container, which is another one once something has changed."""
    return run_program(juju, "inspect --format '{{.Id}} {{.State.StartedAt}}' " + NAME).split()


def find_file(juju: jubilant.Juju) -> list[str]:
    """Inode and time of the file with the digits."""
    return sudo(juju, "stat", "-c", "%i %Y", f"{WORK}/phi.txt", machine=0).stdout.split()


def test_a_million_digits_are_computed_verified_and_shown(golden: jubilant.Juju) -> None:
    last = golden.run(UNIT, "digits").results
    assert last["digits"].endswith(MILLIONTH)
    assert (last["first"], last["last"], last["verified"]) == ("999901", "1000000", "True")
    progress = golden.run(UNIT, "progress").results
    assert (progress["phase"], progress["digits-in-file"]) == ("done", "1000000")
    report = golden.run(UNIT, "report").results
    assert int(report["digits-per-second"]) > 1000
    assert golden.status().apps["golden-ratio"].version == "golden-ratio 1"


def test_the_bundle_with_its_overlay_deploys(
    golden: jubilant.Juju, juju: jubilant.Juju, charms: dict[str, Path], tmp_path: Path
) -> None:
    options = tmp_path / "options.yaml"
    # Where the first test has had it built.
    image = {"golden-ratio-image": str(find_archive("golden-ratio"))}
    change = {"options": {"digits": FEW}, "resources": image}
    base = read_base(charms["golden-ratio"])
    overlay = {"default-base": base, "applications": {"golden-ratio": change}}
    options.write_text(yaml.safe_dump(overlay))
    bundles = ROOT / "bundles"
    overlays = [bundles / "golden-ratio-local.yaml", options]
    juju.deploy(bundles / "golden-ratio.yaml", overlays=overlays)
    juju.wait(lambda status: UNIT in list_subordinates(status), successes=1)
    await_digits(juju, FEW)


def test_any_user_of_the_machine_can_read_the_digits(golden: jubilant.Juju) -> None:
    file = golden.run(UNIT, "progress").results["file"]
    assert golden.exec("head", "-c", "12", file, machine=0).stdout.strip() == "1.6180339887"
    modes = sudo(golden, "stat", "-c", "%a %u", WORK, file, machine=0).stdout.split()
    assert modes == ["755", "65532", "644", "65532"]


def test_a_refresh_leaves_what_is_finished_alone(
    golden: jubilant.Juju, charms: dict[str, Path]
) -> None:
    before = find_container(golden), find_file(golden)
    golden.refresh("golden-ratio", path=charms["golden-ratio"])
    await_digits(golden, MILLION)
    assert (find_container(golden), find_file(golden)) == before


def test_digits_are_verified_again_without_a_new_container(golden: jubilant.Juju) -> None:
    before = find_container(golden), find_file(golden)
    assert golden.run(UNIT, "verify").results["message"] == "1,000,000 digits, verified"
    assert (find_container(golden), find_file(golden)) == before
    assert run_program(golden, "ps --all --quiet").count("\n") == 0


def test_a_wrong_digit_is_found_and_the_digits_are_computed_again(golden: jubilant.Juju) -> None:
    at = chance.randrange(2, MILLION)
    wrong = f"tr 0-9 1-90 | dd of={WORK}/phi.txt bs=1 seek={at} conv=notrunc status=none"
    sudo(golden, f"dd if={WORK}/phi.txt bs=1 skip={at} count=1 status=none | {wrong}", machine=0)
    with pytest.raises(jubilant.TaskError) as failed:
        golden.run(UNIT, "verify")
    assert "phi.txt, 1,000,000 digits: a digit is wrong; they are" in failed.value.task.message
    await_digits(golden, MILLION)
    assert golden.run(UNIT, "digits").results["digits"].endswith(MILLIONTH)
    assert "phi.txt.bad" in sudo(golden, "ls", WORK, machine=0).stdout.split()


def test_digits_beyond_memory_are_refused_with_the_number_that_fits(
    golden: jubilant.Juju,
) -> None:
    before = find_container(golden), find_file(golden)
    golden.config("golden-ratio", {"digits": 10**11})
    message = await_message(golden, "option digits: .*", "blocked")
    found = re.search(r"100,000,000,000 do not fit into [\d,]+ MB of .*; ([\d,]+) fit$", message)
    assert found, message
    assert MILLION < int(found[1].replace(",", "")) < 10**11
    assert (find_container(golden), find_file(golden)) == before
    golden.config("golden-ratio", {"digits": MILLION})
    await_digits(golden, MILLION)
    assert find_file(golden) == before[1]


def test_another_number_of_digits_is_as_pythons_integers_have_it(golden: jubilant.Juju) -> None:
    golden.config("golden-ratio", {"digits": FEW, "verify": "full"})
    await_message(golden, r"100,000 digits, verified by two formulas; [\d,]+ digits/s")
    decimals = find_decimals(FEW)
    for first in (1, 2, 14_142, FEW - 4999):
        found = golden.run(UNIT, "digits", {"first": first, "count": 5000}).results
        assert found["digits"] == decimals[first - 1 : first + 4999]
    with pytest.raises(jubilant.TaskError, match="there are 100,000 decimals"):
        golden.run(UNIT, "digits", {"first": FEW, "count": 2})


def test_a_program_that_is_killed_at_random_moments_ends_with_the_right_digits(
    golden: jubilant.Juju,
) -> None:
    """It gets little time, so that it has not finished before it is killed."""
    golden.config("golden-ratio", {"digits": MILLION, "verify": "fast", "cpus": 0.01})
    moments = " ".join(f"{chance.uniform(0, 0.6):.2f}" for _ in range(5))
    find_pid = "docker inspect --format '{{.State.Pid}}' " + NAME
    kill = f"sleep $moment; pid=$({find_pid}); [ $pid = 0 ] || kill -KILL $pid"
    sudo(golden, f"for moment in {moments}; do {kill}; done", machine=0)
    restarts = run_program(golden, "inspect --format '{{.RestartCount}}' " + NAME)
    assert int(restarts) > 0
    golden.config("golden-ratio", reset=["cpus"])
    await_digits(golden, MILLION)
    assert golden.run(UNIT, "digits").results["digits"].endswith(MILLIONTH)


def test_a_reboot_loses_neither_what_is_begun_nor_what_is_finished(golden: jubilant.Juju) -> None:
    golden.config("golden-ratio", {"digits": 2 * MILLION, "cpus": 0.01})
    reboot_machine(golden)
    golden.config("golden-ratio", reset=["cpus"])
    await_digits(golden, 2 * MILLION)
    found = golden.run(UNIT, "digits", {"first": MILLION - 49, "count": 50}).results
    assert found["digits"] == MILLIONTH
    before = find_container(golden), find_file(golden)
    reboot_machine(golden)
    await_digits(golden, 2 * MILLION)
    assert (find_container(golden), find_file(golden)) == before


def test_the_digits_stay_when_the_unit_goes(golden: jubilant.Juju) -> None:
    before = find_file(golden)
    golden.remove_relation("apache2", "golden-ratio")
    golden.wait(lambda status: not list_subordinates(status), successes=1)
    assert run_program(golden, "ps --all --quiet") == ""
    assert find_file(golden) == before
