from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ops import testing

from charms.mprime.tests.unit.fake_host import MLUCAS, MPRIME, Host
from lib.harvest.tests.unit.fake_kernel import Kernel

IMAGE = "172.30.0.3:5000/mlucas:1"
Run = Callable[..., testing.State]


@pytest.fixture
def search(host: Host, run: Run) -> Host:
    """A machine on which the search runs as it does without configuration."""
    host.registry[IMAGE] = MLUCAS
    assert run("install", image=IMAGE).unit_status.name == "active"
    host.did.clear()
    return host


def test_without_configuration_the_search_is_idle_in_a_group_of_its_own(
    search: Host, kernel: Kernel
) -> None:
    assert search.specs["mprime-0"].cgroup_parent == "/mprime_0"
    assert kernel.read("cpu.idle") == "1"


def test_the_group_is_there_before_the_search_starts(host: Host, run: Run, kernel: Kernel) -> None:
    host.registry[IMAGE] = MLUCAS
    kernel.refuses = "cpu.idle"
    status = run("install", image=IMAGE).unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert status.message.startswith("cpu-policy idle is not in force: ")
    assert "Read-only file system" in status.message
    assert not host.containers


@pytest.mark.parametrize(
    ("policy", "weight"), [("share", "1024"), ("dedicated", "10240"), ("idle", "1024")]
)
def test_another_policy_needs_no_restart(
    search: Host, run: Run, kernel: Kernel, policy: str, weight: str
) -> None:
    status = run("config_changed", image=IMAGE, **{"cpu-policy": policy}).unit_status
    assert status.name == "active"
    assert search.did == []
    assert kernel.read("cpu.shares") == weight
    assert kernel.read("cpu.idle") == str(int(policy == "idle"))


def test_a_policy_that_others_undid_is_mended(search: Host, run: Run, kernel: Kernel) -> None:
    (kernel.root() / "mprime_0" / "cpu.idle").write_text("0")
    assert run(image=IMAGE).unit_status.name == "active"
    assert kernel.read("cpu.idle") == "1"
    assert search.did == []


def test_a_search_outside_of_its_group_is_told(search: Host, run: Run, kernel: Kernel) -> None:
    kernel.run(7, "/docker")
    assert run(image=IMAGE).unit_status == testing.BlockedStatus(
        "cpu-policy idle is not in force: the container runs in /docker/1, not under /mprime_0"
    )


def test_memory_and_processor_time_change_without_a_restart(search: Host, run: Run) -> None:
    status = run("config_changed", image=IMAGE, cpus=0.5, **{"memory-limit": "64M"}).unit_status
    assert status.name == "active"
    assert search.did == ["updated"]
    there = search.containers["mprime-0"]
    assert (there.memory, there.cpu_quota) == (64 * 2**20, 50_000)
    run("config_changed", image=IMAGE)
    assert search.did == ["updated", "updated"]
    there = search.containers["mprime-0"]
    assert (there.memory, there.cpu_quota) == (256 * 2**20, 0)


def test_another_set_of_cores_takes_another_container(search: Host, run: Run) -> None:
    assert search.specs["mprime-0"].command == ("-cpu", "3")
    assert run("config_changed", image=IMAGE, cpuset="0,1").unit_status.name == "active"
    assert search.did == ["replaced"]
    spec = search.specs["mprime-0"]
    assert (spec.cpuset, spec.command) == ("0-1", ("-cpu", "1"))
    run("config_changed", image=IMAGE, cpuset="0-1")
    assert search.did == ["replaced"]


def test_a_core_beyond_their_number_is_not_named_to_the_program(
    search: Host, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Containers of LXD may have cores 2 and 3, and count two.
    monkeypatch.setattr("os.cpu_count", lambda: 2)
    run("config_changed", image=IMAGE, cpuset="2-3")
    assert search.specs["mprime-0"].command == ("-cpu", "0")


def test_mprime_chooses_its_cores_by_itself(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MPRIME
    run("install", image=IMAGE, cpuset="1")
    spec = host.specs["mprime-0"]
    assert (spec.cpuset, spec.command) == ("1", ())


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("cpu-policy", "lazy", "'lazy' is not one of: idle, share, dedicated"),
        ("cpus", -1.0, "-1 is out of range; give 0 for all cores, or 0.01 or more"),
        ("cpus", float("nan"), "nan is out of range; give 0 for all cores, or 0.01 or more"),
        ("cpus", 4.5, "4.5 is more than this machine has; give 0 for all, or 0.01 to 4"),
        ("memory-limit", "much", "'much' is not a size; give a number and K, M or G: 2"),
        ("memory-limit", "5M", "'5M' is too little; give 6M or more"),
        ("memory-limit", "99G", "101376M is more than this machine has; give 24576M or less"),
        ("cpuset", "one", "'one' is not a list of cores; give numbers and ranges: 0-1,3"),
        ("cpuset", "3-4", "this machine has no core 4; give some of 0-3"),
    ],
)
def test_a_wrong_option_blocks_by_name_and_changes_nothing(
    search: Host, run: Run, kernel: Kernel, option: str, value: str | float, told: str
) -> None:
    kernel.writes.clear()
    status = run("config_changed", image=IMAGE, **{option: value}).unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert status.message.startswith(f"option {option}: {told}")
    assert search.did == []
    assert kernel.writes == []


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60, deadline=None
)
@given(
    policy=st.sampled_from(["idle", "share", "dedicated"]) | st.text(max_size=10),
    cpus=st.floats() | st.integers(-1, 5).map(float),
    memory=st.from_regex(r"[0-9]{1,13}[KMGkmgT]?", fullmatch=True) | st.text(max_size=6),
    cpuset=st.text(alphabet="0123,-", max_size=6) | st.text(max_size=6),
)
def test_no_configuration_fails_a_hook_or_lies(
    host: Host, run: Run, kernel: Kernel, policy: str, cpus: float, memory: str, cpuset: str
) -> None:
    host.registry[IMAGE] = MLUCAS
    config: dict[str, Any] = {"cpu-policy": policy, "memory-limit": memory}
    status = run("config_changed", image=IMAGE, cpus=cpus, cpuset=cpuset, **config).unit_status
    assert status.name in ("active", "blocked")
    if status.name == "active":
        assert (kernel.read("cpu.idle") == "1") == (policy == "idle")
        assert host.containers["mprime-0"].cpu_quota == round(cpus * 100_000)


def test_stop_leaves_no_control_group(search: Host, run: Run, kernel: Kernel) -> None:
    assert list(kernel.folder.rglob("mprime_0"))
    run("stop", image=IMAGE)
    assert not list(kernel.folder.rglob("mprime_0"))
