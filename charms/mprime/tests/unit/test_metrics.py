from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from ops import testing
from prometheus_client import CollectorRegistry

from charms.mprime.tests.unit.conftest import SOURCE
from charms.mprime.tests.unit.fake_host import MLUCAS, MPRIME, Host
from harvest.metrics import UnitCollector, read_checkpoint_age, read_cpu_seconds
from harvest.policy import Policy
from harvest.workdir import WorkDirectory
from lib.harvest.tests.unit.dashboards import check_dashboard, list_metrics
from lib.harvest.tests.unit.fake_host import _spell
from lib.harvest.tests.unit.fake_kernel import Kernel
from mprime.engines import ADAPTERS
from mprime.engines.mprime.adapter import name_savefile
from mprime.metrics import describe_search
from mprime.search import SEARCH

IMAGE = "172.30.0.3:5000/mlucas:1"
Run = Callable[..., testing.State]
Samples = dict[str, float]


@pytest.fixture
def scrape(monkeypatch: pytest.MonkeyPatch, host: Host) -> Callable[[], Samples]:
    """Reads the metrics of mprime/0: values by name, with labels if there are any."""

    def scrape() -> Samples:
        registry = CollectorRegistry()
        registry.register(UnitCollector(SEARCH, "mprime/0", Policy.IDLE, describe_search))
        return {
            sample.name + json.dumps(sample.labels) * bool(sample.labels): sample.value
            for family in registry.collect()
            for sample in family.samples
        }

    return scrape


@pytest.fixture
def search(host: Host, run: Run) -> Host:
    """A machine on which mprime/0 searches."""
    host.registry[IMAGE] = MLUCAS
    run("install", image=IMAGE)
    return host


def test_a_search_that_dies_for_want_of_room_saves_nothing(
    host: Host, run: Run, scrape: Callable[[], Samples]
) -> None:
    host.registry[IMAGE] = MPRIME
    run("install", image=IMAGE)
    assert scrape()["mprime_saves_work"] == 1
    host.end(state="restarting", exit_code=136)
    assert scrape()["mprime_saves_work"] == 0


def test_a_search_that_runs_shows_where_it_is_and_what_it_takes(
    search: Host, kernel: Kernel, scrape: Callable[[], Samples]
) -> None:
    search.show("p110503.stat")
    (search.directory / "p216091").touch()
    (kernel.root("cpu") / "mprime_0" / "1" / "cpuacct.usage").write_text("12500000000\n")
    found = scrape()
    assert 0 <= found.pop("mprime_checkpoint_age_seconds") < 60
    assert found == {
        "mprime_docker_up": 1,
        'mprime_search_info{"engine": "mlucas", "version": "20.1.1"}': 1,
        "mprime_running": 1,
        "mprime_paused": 0,
        "mprime_restarts_total": 0,
        "mprime_cpu_seconds_total": 12.5,
        'mprime_cpu_policy_in_force{"policy": "idle"}': 1,
        "mprime_primes_found_total": 1,
        "mprime_probable_primes_found_total": 0,
        "mprime_saves_work": 1,
        "mprime_has_work": 1,
        "mprime_refused": 0,
        'mprime_task_info{"task": "test"}': 1,
        "mprime_composites_found_total": 0,
        "mprime_out_of_work": 0,
        "mprime_disk_free_bytes": 5 * 10**9,
        "mprime_exponent": 216091,
        "mprime_iterations": 216089,
        "mprime_iterations_done": 0,
        "mprime_progress_ratio": 0,
    }


def test_speed_and_time_left_are_what_the_program_last_told(
    search: Host, scrape: Callable[[], Samples]
) -> None:
    search.list_work(216091)
    stat = "M216091 Iter# = 10000 [ 4.63% complete] clocks = 00:00:04.000 [ 0.5000 msec/iter]\n"
    (search.directory / "p216091.stat").write_text(stat)
    found = scrape()
    assert found["mprime_iterations_per_second"] == 2000
    assert found["mprime_remaining_seconds"] == pytest.approx(206089 / 2000)
    assert found["mprime_progress_ratio"] == pytest.approx(10000 / 216089)
    search.end()
    assert scrape()["mprime_iterations_per_second"] == 0


def test_an_engine_that_does_not_answer_is_all_that_is_told(
    search: Host, scrape: Callable[[], Samples]
) -> None:
    search.broken = "no answer"
    assert scrape() == {"mprime_docker_up": 0}


def test_a_search_that_is_gone_does_not_run(host: Host, scrape: Callable[[], Samples]) -> None:
    assert scrape() == {"mprime_docker_up": 1, "mprime_running": 0}


def test_a_search_on_hold_is_paused_and_one_that_ended_is_not(
    search: Host, scrape: Callable[[], Samples]
) -> None:
    search.end()
    found = scrape()
    assert (found["mprime_running"], found["mprime_paused"]) == (0, 0)
    search.hold("mprime-0")
    found = scrape()
    assert (found["mprime_running"], found["mprime_paused"]) == (0, 1)
    assert 'mprime_cpu_policy_in_force{"policy": "idle"}' not in found
    assert "mprime_cpu_seconds_total" not in found


def test_an_empty_work_list_is_out_of_work_and_shows_no_test(
    search: Host, scrape: Callable[[], Samples]
) -> None:
    search.list_work()
    found = scrape()
    assert found["mprime_out_of_work"] == 1
    assert "mprime_exponent" not in found


def test_restarts_are_those_that_the_engine_counts(
    search: Host, scrape: Callable[[], Samples]
) -> None:
    there = search.containers["mprime-0"]
    search.containers["mprime-0"] = replace(there, restarts=5, state="restarting")
    found = scrape()
    assert (found["mprime_restarts_total"], found["mprime_running"]) == (5, 0)


def test_a_weight_that_somebody_changed_is_not_in_force(
    search: Host, kernel: Kernel, scrape: Callable[[], Samples]
) -> None:
    kernel.write(kernel.root("cpu") / "mprime_0" / "cpu.idle", 0)
    assert scrape()['mprime_cpu_policy_in_force{"policy": "idle"}'] == 0


def test_a_search_that_runs_in_another_group_is_not_in_force(
    search: Host, kernel: Kernel, scrape: Callable[[], Samples]
) -> None:
    kernel.run(7, "/docker")
    assert scrape()['mprime_cpu_policy_in_force{"policy": "idle"}'] == 0


def test_processor_time_is_read_with_version_2_too(kernel: Kernel) -> None:
    kernel.engine = replace(kernel.engine, version=2)
    kernel.boot()
    kernel.run(7, "/mprime_0")
    group = kernel.root() / "mprime_0" / "1"
    assert read_cpu_seconds(7, 2) is None
    (group / "cpu.stat").write_text("usage_usec 2500000\nuser_usec 9\nsystem_usec 9\n")
    assert read_cpu_seconds(7, 2) == 2.5
    assert read_cpu_seconds(0, 2) is None
    assert read_cpu_seconds(8, 2) is None


def test_the_checkpoint_is_the_newest_savefile_of_the_exponent(tmp_path: Path) -> None:
    for name, written in {
        "p110503": 100,
        "q110503": 300,
        "p110503.10M": 200,
        "p110503.stat": 900,
        "p216091": 900,
        "p1105030": 900,
    }.items():
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (written, written))
    work = WorkDirectory(tmp_path)
    savefile = ADAPTERS["mlucas"].match_savefiles(110503)
    assert read_checkpoint_age(work, savefile, 1000) == 700
    assert read_checkpoint_age(work, savefile, 200) == 0
    assert read_checkpoint_age(work, ADAPTERS["mlucas"].match_savefiles(756839), 1000) is None


@pytest.mark.parametrize(
    ("exponent", "name"),
    [
        (6972593, "p6972593"),
        (110503, "p0110503"),
        (13466917, "pD466917"),
        (57885161, "p8W85161"),
        (74207281, "p20O7281"),
        (82589933, "p82589933"),
    ],
)
def test_mprimes_savefiles_have_names_of_their_own(exponent: int, name: str) -> None:
    savefile = ADAPTERS["mprime"].match_savefiles(exponent)
    for each in (name, f"{name}.bu", f"{name}.bu2", f"m{name[1:]}", f"f{name[1:]}"):
        assert savefile.fullmatch(each), each
    for other in (f"{name}.proof", f"{name}1", "worktodo.txt", "p9999999"):
        assert not savefile.fullmatch(other), other


@given(st.integers(10_000_000, 79_999_999))
def test_no_two_of_mprimes_exponents_share_a_savefile(exponent: int) -> None:
    name = name_savefile(exponent)
    assert len(name) == 7
    for other in (exponent - 10_000_000, exponent - 1, exponent + 1_000_000):
        assert name_savefile(other) != name


def test_a_link_in_the_work_directory_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "p110503").symlink_to("/nowhere")
    savefile = ADAPTERS["mlucas"].match_savefiles(110503)
    assert read_checkpoint_age(WorkDirectory(tmp_path), savefile, time.time()) is not None


@pytest.fixture
def metric_names(
    search: Host, kernel: Kernel, scrape: Callable[[], Samples], run: Run
) -> set[str]:
    """The names of all metrics that there are."""
    (kernel.root("cpu") / "mprime_0" / "1" / "cpuacct.usage").write_text("1\n")
    search.list_work(216091)
    stat = "M216091 Iter# = 10000 [ 4.63% complete] clocks = 00:00:04.000 [ 0.5000 msec/iter]\n"
    (search.directory / "p216091.stat").write_text(stat)
    (search.directory / "p216091").touch()
    by_mlucas = scrape()
    search.registry[IMAGE] = search.images[_spell(IMAGE)] = MPRIME
    run(image=IMAGE, **{"primenet-user": "me"})
    return {re.sub(r"{.*", "", name) for name in {**by_mlucas, **scrape()}}


def test_the_dashboard_shows_every_metric_and_asks_for_no_other(metric_names: set[str]) -> None:
    assert list_metrics(SEARCH, SOURCE.parent) == metric_names
    check_dashboard(SEARCH, SOURCE.parent)


def test_every_alert_asks_for_metrics_that_exist_and_says_what_to_do(
    metric_names: set[str],
) -> None:
    (file,) = (SOURCE / "prometheus_alert_rules").glob("*.rules")
    (group,) = yaml.safe_load(file.read_text())["groups"]
    for rule in group["rules"]:
        selectors = re.findall(r"([a-z_]+){([^}]*)}", rule["expr"])
        assert selectors
        assert {name for name, _ in selectors} <= metric_names | {"up"}
        assert all("%%juju_topology%%" in labels for _, labels in selectors)
        assert rule["labels"]["severity"] in ("info", "warning", "critical")
        assert "$labels.juju_unit" in rule["annotations"]["summary"]
        assert re.search(r"juju (run|status)|systemctl", rule["annotations"]["description"])


def test_the_cost_of_asking_the_engine_how_it_makes_groups_is_paid_once(
    search: Host, scrape: Callable[[], Samples], monkeypatch: pytest.MonkeyPatch
) -> None:
    collector = UnitCollector(SEARCH, "mprime/0", Policy.IDLE, describe_search)
    list(collector.collect())
    monkeypatch.setattr(Host, "read_cgroups", None)
    assert len(list(collector.collect())) > 1
