from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import pytest

from dockerhost import ContainerSpec, Mount
from dockerhost.containers import read_container

SPEC = ContainerSpec(name="search", image="sha256:1")
OTHER: dict[str, Any] = {
    "name": "other",
    "image": "sha256:2",
    "user": "1:1",
    "working_dir": "/a",
    "mounts": (Mount("/a", "/b"),),
    "network": "bridge",
    "read_only": False,
    "cap_drop": (),
    "no_new_privileges": False,
    "memory": 1,
    "pids_limit": 1,
    "oom_score_adj": 1,
    "command": ("-cpu", "1"),
    "environment": {"A": "1"},
    "cpus": 0.5,
    "cpu_shares": 2,
    "cpuset": "0-1",
    "cgroup_parent": "/idle",
    "restart": "always",
    "stop_signal": "SIGINT",
    "stop_timeout": 1,
    "labels": {"a": "b"},
    "tmpfs": {"/tmp": ""},
    "userns": "",
}


LIVE = {"memory", "cpus", "cpu_shares", "restart"}


@pytest.mark.parametrize("name", [field.name for field in fields(ContainerSpec)])
def test_every_field_counts_but_those_that_change_while_it_runs(name: str) -> None:
    same = replace(SPEC, **{name: OTHER[name]}).digest == SPEC.digest
    assert same == (name in LIVE)


def test_processor_time_is_counted_in_tenths_of_a_second() -> None:
    options = replace(SPEC, cpus=1.5).host_options()
    assert (options["cpu_period"], options["cpu_quota"]) == (100_000, 150_000)
    assert SPEC.host_options()["cpu_quota"] is None
    assert SPEC.live_options()["cpu_quota"] == -1


def test_a_specifications_digest_does_not_depend_on_the_order_of_labels() -> None:
    one = replace(SPEC, labels={"a": "1", "b": "2"})
    two = replace(SPEC, labels={"b": "2", "a": "1"})
    assert one.digest == two.digest


def test_a_container_has_no_privileges_unless_asked_for() -> None:
    options = SPEC.host_options()
    assert options["cap_drop"] == ["ALL"]
    assert options["security_opt"] == ["no-new-privileges"]
    assert options["read_only"] is True
    assert options["network_mode"] == "none"


def test_swap_never_comes_on_top_of_memory() -> None:
    options = replace(SPEC, memory=1000).host_options()
    assert options["memswap_limit"] == options["mem_limit"] == 1000


def answer(**state: Any) -> dict[str, Any]:
    return {
        "Id": "1",
        "Name": "/search",
        "Image": "sha256:1",
        "Config": {"Labels": None},
        "HostConfig": {"Memory": 1000, "CpuQuota": -1},
        "State": {"Status": "exited", **state},
    }


def test_the_time_a_container_ran_is_read_from_nanoseconds() -> None:
    container = read_container(
        answer(
            StartedAt="2026-11-23T05:31:40.667599315Z", FinishedAt="2026-11-23T05:32:10.123456789Z"
        )
    )
    assert container.ran == 30
    assert container.name == "search"
    assert container.spec_digest is None
    assert (container.memory, container.cpu_quota) == (1000, 0)


def test_a_container_that_never_ran_ran_for_no_time() -> None:
    never = "0001-01-01T00:00:00Z"
    assert read_container(answer(Status="created", StartedAt=never, FinishedAt=never)).ran == 0


def test_a_container_that_runs_has_run_since_its_start() -> None:
    started = "2001-01-01T00:00:00Z"
    assert read_container(answer(Status="running", StartedAt=started)).ran > 10**8


def test_a_container_has_the_hosts_user_numbers_where_the_engine_maps_those_of_others() -> None:
    options = ContainerSpec(name="search", image="sha256:1", user="65532:65532").host_options()
    assert options["userns_mode"] == "host"
    assert options["cap_drop"] == ["ALL"]
    assert options["security_opt"] == ["no-new-privileges"]
