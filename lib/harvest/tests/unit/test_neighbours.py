from __future__ import annotations

from harvest.neighbours import find_worker
from harvest.unit import Unit
from lib.harvest.tests.unit.fake_host import Host

UNIT = Unit("digits", "digits/0")


def test_a_unit_of_another_application_works_unless_they_work_apart(host: Host) -> None:
    host.let_work("pi/0")
    assert find_worker(host.engine, UNIT) == "pi/0"
    assert find_worker(host.engine, UNIT, apart=True) is None


def test_a_unit_of_the_same_application_works_for_both(host: Host) -> None:
    host.let_work("digits/3")
    assert find_worker(host.engine, UNIT) == "digits/3"
    assert find_worker(host.engine, UNIT, apart=True) == "digits/3"


def test_what_a_unit_left_that_is_gone_is_cleared_away_also_where_they_work_apart(
    host: Host,
) -> None:
    host.let_work("pi/0")
    (host.agents / "unit-pi-0").rmdir()
    assert find_worker(host.engine, UNIT, apart=True) is None
    assert host.containers == {}
