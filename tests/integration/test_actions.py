"""The actions of the mprime charm, on a real search."""

from __future__ import annotations

import json
from pathlib import Path

import jubilant
import pytest

from tests.integration.steps import deploy_search, inspect_container, read_search_status, run_hook
from tools.instance import Published, sudo

LIST = "/var/lib/mprime/mprime-0/worktodo.ini"


@pytest.fixture(scope="module")
def search(
    shared_juju: jubilant.Juju, charms: dict[str, Path], published: Published
) -> jubilant.Juju:
    deploy_search(shared_juju, charms, published, published.authority, checkpoint_minutes=0.01)
    shared_juju.wait(lambda status: read_search_status(status)[0] == "active", successes=1)
    return shared_juju


def read_start(juju: jubilant.Juju) -> tuple[str, str]:
    """Which container runs, and since when; this changes with a restart."""
    there = inspect_container(juju)
    assert there["State"]["Status"] == "running"
    return there["Id"], there["State"]["StartedAt"]


def test_progress_and_results_tell_numbers(search: jubilant.Juju) -> None:
    progress = search.run("mprime/0", "progress").results
    assert int(progress["exponent"]) in (110503, 216091)
    assert 0 <= float(progress["percent"]) <= 100
    assert set(json.loads(search.run("mprime/0", "results").results["json"])) == {
        "primes",
        "composites",
        "probable",
        "unfactored",
    }


def test_logs_show_what_the_program_wrote(search: jubilant.Juju) -> None:
    logs = search.run("mprime/0", "logs", {"lines": 50}).results["logs"]
    assert "CheckInterval" in logs or "Mlucas" in logs or "threadpool" in logs
    assert len(logs.splitlines()) <= 50


def test_work_is_added_without_a_restart(search: jubilant.Juju) -> None:
    before = read_start(search)
    # 216091 is on the list already, as M; 859433 is new.
    added = search.run("mprime/0", "add-work", {"exponents": "M859433, M216091"}).results
    assert (added["added"], added["known"]) == ("M859433", "M216091")
    assert ",859433,60,1" in sudo(search, "cat", LIST, machine=0).stdout
    search.run("mprime/0", "add-work", {"exponents": "M3021377", "type": "prp"})
    assert "1,2,3021377,-1" in sudo(search, "cat", LIST, machine=0).stdout
    assert read_start(search) == before


@pytest.mark.parametrize(
    ("action", "params", "told"),
    [
        ("add-work", {"exponents": "2047"}, "parameter exponents: 2047 is 23 * 89"),
        ("add-work", {"exponents": "44497"}, "parameter exponents: M44497: mlucas runs"),
        (
            "adopt-work",
            {"source": "mprime/7"},
            "parameter source: there is no work named mprime-7",
        ),
    ],
)
def test_a_wrong_parameter_is_refused_by_name(
    search: jubilant.Juju, action: str, params: dict[str, str], told: str
) -> None:
    with pytest.raises(jubilant.TaskError) as caught:
        search.run("mprime/0", action, params)
    assert told in caught.value.task.message


@pytest.mark.parametrize(
    ("action", "params", "name"),
    [
        ("add-work", {}, "exponents"),
        ("add-work", {"exponents": "859433", "type": "ecm"}, "ecm"),
        ("benchmark", {"seconds": 1}, "seconds"),
        ("stress-test", {"minutes": 0}, "minutes"),
        ("logs", {"lines": "all"}, "lines"),
        ("pause", {"minutes": 5}, "minutes"),
    ],
)
def test_what_the_schema_forbids_never_reaches_the_charm(
    search: jubilant.Juju, action: str, params: dict[str, str | int], name: str
) -> None:
    # Juju 4 has a task that failed, Juju 3.6 none: jubilant takes that for a ValueError.
    with pytest.raises((jubilant.TaskError, ValueError), match="validation failed: ") as caught:
        search.run("mprime/0", action, params)
    assert name in str(caught.value)


def test_a_paused_search_stays_so_until_it_is_resumed(search: jubilant.Juju) -> None:
    said = search.run("mprime/0", "pause").results["message"]
    assert said.startswith("paused; run the action resume to continue with M")
    for _ in range(2):
        assert inspect_container(search)["State"]["Status"] == "exited"
        status, message = read_search_status(search.status())
        assert (status, message.startswith("paused; ")) == ("maintenance", True)
        # Neither a hook nor the engine's own start changes that.
        run_hook(search, "update-status")
        sudo(search, "systemctl", "restart", "docker", machine=0)
    search.run("mprime/0", "resume")
    assert inspect_container(search)["State"]["Status"] == "running"
    search.wait(lambda status: read_search_status(status)[0] == "active", successes=1)


def test_a_benchmark_measures_and_the_search_goes_on(search: jubilant.Juju) -> None:
    before = read_start(search)
    task = search.run("mprime/0", "benchmark", {"seconds": 20}, wait=300)
    measured = task.results
    assert measured["engine"] == "mlucas"
    assert float(measured["ms-per-iteration"]) > 0
    assert float(measured["iterations-per-second"]) == pytest.approx(
        1000 / float(measured["ms-per-iteration"]), rel=0.01
    )
    assert any("ms/iteration" in line for line in task.log)
    assert read_start(search) == before
    assert sudo(search, "docker", "ps", "-aq", machine=0).stdout.count("\n") <= 1


def test_the_search_goes_on_after_an_action_that_was_killed(search: jubilant.Juju) -> None:
    before = read_start(search)
    # What a benchmark that was killed leaves: a search that is frozen, and a container beside it.
    image = inspect_container(search)["Image"]
    sudo(search, "docker", "pause", "mprime-0", machine=0)
    own = "--label dockerhost.spec=x --label mprime.unit=mprime/0 --name mprime-0.trial"
    work = "--volume /var/lib/mprime/mprime-0.trial:/work --entrypoint /bin/busybox"
    sudo(search, f"docker run --detach {own} {work} {image} sleep 600", machine=0)
    run_hook(search, "update-status")
    assert read_start(search) == before
    assert sudo(search, "docker", "ps", "--format", "{{.Names}}", machine=0).stdout.split() == [
        "mprime-0"
    ]


def test_a_stress_test_counts_tests_and_the_search_goes_on(search: jubilant.Juju) -> None:
    # So that it finishes a test in that time on a machine with other work, too.
    search.config("mprime", {"cpu-policy": "dedicated"})
    before = read_start(search)
    tested = search.run("mprime/0", "stress-test", {"minutes": 1.5}, wait=300).results
    assert int(tested["tests"]) >= 1
    assert int(tested["errors"]) == 0
    assert read_start(search) == before
