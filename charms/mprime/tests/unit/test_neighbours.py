from __future__ import annotations

import shutil
from collections.abc import Callable

import pytest
from ops import testing

from charms.mprime.tests.unit.fake_host import MLUCAS, Host
from harvest import reconcile
from harvest.unit import Unit

IMAGE = "172.30.0.3:5000/mlucas:1"
Run = Callable[..., testing.State]
STANDBY = testing.ActiveStatus("standby: mprime/7 works on this machine")


@pytest.fixture(autouse=True)
def registry(host: Host) -> None:
    host.registry[IMAGE] = MLUCAS


def test_a_unit_stands_by_while_another_works_on_its_machine(host: Host, run: Run) -> None:
    host.let_work("mprime/7")
    assert run(image=IMAGE).unit_status == STANDBY
    assert set(host.containers) == {"mprime-7"}
    assert not host.directory.exists()


def test_a_unit_whose_neighbour_is_paused_stands_by(host: Host, run: Run) -> None:
    host.let_work("mprime/7")
    host.hold("mprime-7")
    assert run(image=IMAGE).unit_status == STANDBY


def test_a_unit_takes_over_when_the_one_that_worked_has_gone(host: Host, run: Run) -> None:
    host.let_work("mprime/7")
    run(image=IMAGE)
    del host.containers["mprime-7"]
    assert run(image=IMAGE).unit_status == testing.ActiveStatus("M110503: 0.0 %")
    assert set(host.containers) == {"mprime-0"}


def test_what_a_unit_left_that_is_gone_is_cleared_away(host: Host, run: Run) -> None:
    host.let_work("mprime/7")
    shutil.rmtree(host.agents)
    assert run(image=IMAGE).unit_status == testing.ActiveStatus("M110503: 0.0 %")
    assert set(host.containers) == {"mprime-0"}


@pytest.mark.parametrize(
    ("neighbour", "left"),
    [
        ("mprime/7", "mprime-0"),
        ("mprime/10", "mprime-0"),
        ("aprime/7", "aprime-7"),
        ("zprime/1", "mprime-0"),
    ],
)
def test_of_two_that_work_the_first_in_order_goes_on(
    host: Host, run: Run, neighbour: str, left: str
) -> None:
    run(image=IMAGE)
    host.let_work(neighbour)
    run(image=IMAGE)
    gone = {"mprime-0", neighbour.replace("/", "-")} - {left}
    # It is the other one's hook that removes its own.
    assert ("mprime-0" in host.containers) == ("mprime-0" not in gone)


def test_a_unit_that_gives_way_keeps_its_work(host: Host, run: Run) -> None:
    run(image=IMAGE)
    host.let_work("aprime/7")
    run(image=IMAGE)
    assert "mprime-0" not in host.containers
    assert (host.directory / "worktodo.ini").exists()


def test_a_paused_search_is_left_alone_by_every_hook_until_it_is_resumed(
    host: Host, run: Run
) -> None:
    run(image=IMAGE)
    reconcile.pause(Unit("mprime", "mprime/0"))
    host.did.clear()
    for event in ("update_status", "config_changed", "start", "upgrade_charm"):
        status = run(event, image=IMAGE).unit_status
        assert status == testing.MaintenanceStatus(
            "paused; run the action resume to continue with M110503: 0.0 %"
        )
    assert host.did == []
