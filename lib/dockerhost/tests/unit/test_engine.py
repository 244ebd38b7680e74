from __future__ import annotations

from dataclasses import replace
from typing import Any

import docker.errors
import pytest
import requests

from dockerhost import (
    Cgroups,
    Change,
    ContainerError,
    ContainerSpec,
    Engine,
    EngineUnavailableError,
)
from dockerhost.containers import SPEC_LABEL
from lib.dockerhost.tests.unit.api import Api

SPEC = ContainerSpec(name="search", image="sha256:1")


def test_a_new_container_is_created_and_started(api: Api) -> None:
    assert Engine().ensure(SPEC) is Change.CREATED
    assert api.calls == ["create", "start"]


def test_a_container_that_is_as_specified_is_left_alone(api: Api) -> None:
    Engine().ensure(SPEC)
    api.calls.clear()
    assert Engine().ensure(SPEC) is Change.UNCHANGED
    assert api.calls == []


@pytest.mark.parametrize("state", ["created", "exited"])
def test_a_stopped_container_that_is_as_specified_is_started(api: Api, state: str) -> None:
    Engine().ensure(SPEC)
    api.containers["search"]["State"]["Status"] = state
    api.calls.clear()
    assert Engine().ensure(SPEC) is Change.STARTED
    assert api.calls == ["start"]


def test_a_container_of_another_specification_is_replaced(api: Api) -> None:
    Engine().ensure(SPEC)
    api.calls.clear()
    assert Engine().ensure(replace(SPEC, image="sha256:2")) is Change.REPLACED
    assert api.calls == ["stop", "remove", "create", "start"]
    assert api.containers["search"]["Image"] == "sha256:2"


def test_limits_change_while_the_container_runs(api: Api) -> None:
    limited = replace(SPEC, memory=1000, cpus=0.5)
    Engine().ensure(limited)
    api.calls.clear()
    assert Engine().ensure(replace(limited, memory=2000, cpus=0)) is Change.UPDATED
    assert api.calls == ["update"]
    there = Engine().inspect("search")
    assert there
    assert (there.memory, there.cpu_quota) == (2000, 0)
    assert Engine().ensure(replace(limited, memory=2000, cpus=0)) is Change.UNCHANGED


def test_a_container_whose_limits_the_engine_cannot_change_is_replaced(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise docker.errors.APIError("500", explanation="device or resource busy")

    Engine().ensure(replace(SPEC, memory=2000))
    monkeypatch.setattr(api, "update_container", refuse)
    assert Engine().ensure(replace(SPEC, memory=1000)) is Change.REPLACED


def test_a_limit_of_memory_is_lifted_by_a_new_container(api: Api) -> None:
    Engine().ensure(replace(SPEC, memory=2000))
    assert Engine().ensure(SPEC) is Change.REPLACED


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({"CgroupDriver": "systemd", "CgroupVersion": "2"}, Cgroups("systemd", 2)),
        ({"CgroupDriver": "cgroupfs"}, Cgroups("cgroupfs", 1)),
    ],
)
def test_an_engine_tells_how_it_makes_control_groups(
    api: Api, facts: dict[str, str], expected: Cgroups
) -> None:
    api.facts = facts
    assert Engine().read_cgroups() == expected


def test_a_container_that_cannot_be_started_is_replaced(api: Api) -> None:
    Engine().ensure(SPEC)
    api.containers["search"]["State"]["Status"] = "dead"
    assert Engine().ensure(SPEC) is Change.REPLACED
    assert api.containers["search"]["State"]["Status"] == "running"


@pytest.mark.parametrize("died_before", ["create", "start", "remove"])
def test_a_kill_in_between_is_made_good_by_the_next_call(api: Api, died_before: str) -> None:
    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    Engine().ensure(SPEC)
    new = replace(SPEC, user="1:1")
    name = {"create": "create_container", "remove": "remove_container"}.get(
        died_before, died_before
    )
    original = getattr(api, name)
    setattr(api, name, die)
    with pytest.raises(Killed):
        Engine().ensure(new)
    setattr(api, name, original)
    Engine().ensure(new)
    container = api.containers["search"]
    assert container["Config"]["Labels"][SPEC_LABEL] == new.digest
    assert container["State"]["Status"] == "running"


def test_containers_are_found_by_their_label(api: Api) -> None:
    for name in ("second", "first"):
        Engine().ensure(replace(SPEC, name=name, labels={"unit": name}))
    Engine().ensure(SPEC)
    assert [each.name for each in Engine().list_containers("unit")] == ["first", "second"]


def test_a_network_counts_by_its_whole_name(api: Api) -> None:
    api.network_names = ["fan-250"]
    assert not Engine().has_network("fan")
    api.network_names.append("fan")
    assert Engine().has_network("fan")


def test_a_frozen_container_goes_on_and_is_not_made_anew(api: Api) -> None:
    Engine().ensure(SPEC)
    Engine().freeze("search")
    Engine().freeze("search")
    api.calls.clear()
    assert Engine().ensure(SPEC) is Change.STARTED
    assert api.calls == ["unpause"]
    Engine().freeze("search")
    Engine().thaw("search")
    Engine().thaw("search")
    assert api.calls == ["unpause", "pause", "unpause"]


def test_a_container_on_hold_says_so_and_goes_on_when_applied_again(api: Api) -> None:
    lasting = replace(SPEC, restart="on-failure")
    Engine().ensure(lasting)
    api.calls.clear()
    Engine().hold("search")
    Engine().hold("search")
    assert api.calls == ["update", "stop"]
    there = Engine().inspect("search")
    assert there
    assert (there.state, there.restart) == ("exited", "no")
    assert Engine().ensure(lasting) is Change.STARTED
    there = Engine().inspect("search")
    assert there
    assert (there.state, there.restart) == ("running", "on-failure")


def test_a_frozen_container_is_let_save_its_work_before_it_ends(api: Api) -> None:
    Engine().ensure(SPEC)
    Engine().freeze("search")
    api.calls.clear()
    Engine().stop("search")
    Engine().stop("search")
    assert api.calls == ["unpause", "stop"]
    Engine().ensure(SPEC)
    Engine().freeze("search")
    api.calls.clear()
    Engine().remove("search")
    assert api.calls == ["unpause", "stop", "remove"]


def test_a_container_of_others_is_never_touched(api: Api) -> None:
    limits = {"mem_limit": None, "cpu_quota": None, "cpu_shares": None}
    nothing = {**limits, "restart_policy": {"Name": ""}}
    api.create_container("sha256:9", name="search", labels={}, host_config=nothing)
    with pytest.raises(ContainerError, match="not made here"):
        Engine().ensure(SPEC)
    with pytest.raises(ContainerError, match="not made here"):
        Engine().remove("search")
    assert api.containers["search"]["Image"] == "sha256:9"


def test_removing_what_is_not_there_is_no_error(api: Api) -> None:
    assert Engine().remove("search") is False
    Engine().ensure(SPEC)
    assert Engine().remove("search", stop_timeout=3) is True
    assert Engine().inspect("search") is None


@pytest.mark.parametrize(
    "fault", [docker.errors.DockerException("x"), requests.exceptions.ConnectionError("x")]
)
def test_an_engine_that_does_not_answer_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def refuse(**_: Any) -> None:
        raise fault

    monkeypatch.setattr("dockerhost.connection.Client", refuse)
    with pytest.raises(EngineUnavailableError, match="does not answer on its socket"):
        Engine()


def test_the_last_lines_of_a_containers_output_are_text(api: Api) -> None:
    assert Engine().logs("search", 2) == ["one", "two \ufffd"]
