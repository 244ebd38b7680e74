"""The golden-ratio charm beside a real apache2, with the real program in a real engine."""

from __future__ import annotations

import random
import re
from pathlib import Path

import jubilant
import pytest

from tests.integration.kit import reboot_machine, run_hook, subordinates
from tests.integration.test_golden_ratio import MILLIONTH, find_decimals
from tools.image import build_image
from tools.instance import sudo

UNIT = "golden-ratio/0"
WORK = "/var/lib/golden-ratio/golden-ratio-0"
MILLION = 1_000_000


def status_of(status: jubilant.Status) -> tuple[str, str]:
    found = subordinates(status)[UNIT].workload_status
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
    shared_juju.wait(lambda status: UNIT in subordinates(status), successes=1)
    await_digits(shared_juju, MILLION)
    return shared_juju


def test_a_million_digits_are_computed_verified_and_shown(golden: jubilant.Juju) -> None:
    last = golden.run(UNIT, "digits").results
    assert last["digits"].endswith(MILLIONTH)
    assert (last["first"], last["last"], last["verified"]) == ("999901", "1000000", "True")
    first = golden.run(UNIT, "digits", {"first": 1, "count": 10_000}).results
    assert first["digits"] == find_decimals(10_000)
