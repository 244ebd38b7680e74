from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import docker.errors
import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from dockerhost import (
    Cgroups,
    Change,
    ContainerError,
    ContainerSpec,
    Credentials,
    Engine,
    EngineUnavailableError,
    ImageError,
    InvalidReferenceError,
    UnauthorizedError,
)
from dockerhost.containers import SPEC_LABEL
from dockerhost.images import read_image

DIGEST = "sha256:" + "a" * 64
PINNED = f"172.30.0.3:5000/mlucas@{DIGEST}"
SPEC = ContainerSpec(name="search", image="sha256:1")


class Containers(dict[str, dict[str, Any]]):
    """By name; called, as the client is, it lists those with a label."""

    def __call__(self, filters: dict[str, str], **_: Any) -> list[dict[str, str]]:
        label = filters["label"]
        return [{"Id": each["Id"]} for each in self.values() if label in each["Config"]["Labels"]]


class Api:
    """Stands in for the docker package's client: an engine's images and containers in memory."""

    def __init__(self) -> None:
        self.here: dict[str, dict[str, Any]] = {}
        self.containers = Containers()
        self.calls: list[str] = []
        self.messages: list[dict[str, str]] = []
        self.arriving: dict[str, dict[str, Any]] = {}
        self.fault: Exception | None = None
        self.network_names: list[str] = []
        self.login: dict[str, str] | None = None
        self.facts: dict[str, Any] = {"CgroupDriver": "systemd", "CgroupVersion": "2"}

    def _call(self, name: str) -> None:
        self.calls.append(name)
        if self.fault:
            raise self.fault

    def inspect_image(self, reference: str) -> dict[str, Any]:
        if reference not in self.here:
            raise docker.errors.ImageNotFound("no such image")
        return self.here[reference]

    def _deliver(self, name: str) -> Any:
        self._call(name)
        yield from self.messages
        self.here |= self.arriving

    def pull(self, name: str, **options: Any) -> Any:
        self.login = options["auth_config"]
        return self._deliver(f"pull {name}")

    def build(self, **options: Any) -> Any:
        return self._deliver(f"build {options['tag']}")

    def load_image(self, _: Any) -> Any:
        return self._deliver("load")

    def tag(self, name: str, repository: str, tag: str, *, force: bool) -> None:
        assert force
        self.here[f"{repository}:{tag}"] = self.here[name]

    def images(self, filters: dict[str, str]) -> list[dict[str, Any]]:
        assert filters == {"reference": "tools/*"}
        return [{"Id": "sha256:1", "RepoTags": ["tools/one:1"], "Labels": None}]

    def remove_image(self, name: str) -> None:
        self._call(f"rmi {name}")
        if name not in self.here:
            raise docker.errors.ImageNotFound("no such image")
        del self.here[name]

    def prune_images(self, filters: dict[str, Any]) -> None:
        self._call(f"prune {filters['label']} {filters['dangling']}")

    def inspect_container(self, name: str) -> dict[str, Any]:
        for container in self.containers.values():
            if name in (container["Id"], container["Name"].lstrip("/")):
                return container
        raise docker.errors.NotFound("no such container")

    def create_host_config(self, **options: Any) -> dict[str, Any]:
        return options

    def create_container(self, image: str, **options: Any) -> None:
        self._call("create")
        self.containers[options["name"]] = {
            "Id": f"id-{options['name']}",
            "Name": f"/{options['name']}",
            "Image": image,
            "Config": {"Labels": options["labels"]},
            "HostConfig": {
                "Memory": options["host_config"]["mem_limit"] or 0,
                "CpuQuota": options["host_config"]["cpu_quota"] or 0,
                "RestartPolicy": options["host_config"]["restart_policy"],
            },
            "State": {"Status": "created"},
        }

    def update_container(self, name: str, **options: Any) -> None:
        self._call("update")
        limits = self.inspect_container(name)["HostConfig"]
        limits["Memory"] = options.get("mem_limit") or limits["Memory"]
        limits["CpuQuota"] = options.get("cpu_quota") or limits["CpuQuota"]
        limits["RestartPolicy"] = options["restart_policy"]

    def info(self) -> dict[str, Any]:
        return self.facts

    def start(self, name: str) -> None:
        self._call("start")
        self.inspect_container(name)["State"]["Status"] = "running"

    def networks(self, names: list[str]) -> list[dict[str, str]]:
        return [{"Name": each} for each in self.network_names if names[0] in each]

    def pause(self, name: str) -> None:
        self._call("pause")
        self.inspect_container(name)["State"]["Status"] = "paused"

    def unpause(self, name: str) -> None:
        self._call("unpause")
        self.inspect_container(name)["State"]["Status"] = "running"

    def stop(self, name: str, timeout: int | None) -> None:
        self._call("stop")
        self.inspect_container(name)["State"]["Status"] = "exited"

    def remove_container(self, name: str, **_: Any) -> None:
        self._call("remove")
        del self.containers[self.inspect_container(name)["Name"].lstrip("/")]

    def logs(self, name: str, tail: int, **_: Any) -> bytes:
        return b"one\ntwo \xff\n"


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    api = Api()
    monkeypatch.setattr("docker.APIClient", lambda **_: api)
    return api


def refuse(code: int, reason: str) -> docker.errors.APIError:
    response = requests.Response()
    response.status_code = code
    return docker.errors.APIError("refused", response, reason)


def image(labels: dict[str, str] | None = None, digest: str = DIGEST) -> dict[str, Any]:
    return {
        "Id": "sha256:1",
        "RepoDigests": [f"172.30.0.3:5000/mlucas@{digest}"],
        "Config": {"Labels": labels},
    }


def test_a_new_container_is_created_and_started(api: Api) -> None:
    assert Engine().apply(SPEC) is Change.CREATED
    assert api.calls == ["create", "start"]


def test_a_container_that_is_as_specified_is_left_alone(api: Api) -> None:
    Engine().apply(SPEC)
    api.calls.clear()
    assert Engine().apply(SPEC) is Change.UNCHANGED
    assert api.calls == []


@pytest.mark.parametrize("state", ["created", "exited"])
def test_a_stopped_container_that_is_as_specified_is_started(api: Api, state: str) -> None:
    Engine().apply(SPEC)
    api.containers["search"]["State"]["Status"] = state
    api.calls.clear()
    assert Engine().apply(SPEC) is Change.STARTED
    assert api.calls == ["start"]


def test_a_container_of_another_specification_is_replaced(api: Api) -> None:
    Engine().apply(SPEC)
    api.calls.clear()
    assert Engine().apply(replace(SPEC, image="sha256:2")) is Change.REPLACED
    assert api.calls == ["stop", "remove", "create", "start"]
    assert api.containers["search"]["Image"] == "sha256:2"


def test_limits_change_while_the_container_runs(api: Api) -> None:
    limited = replace(SPEC, memory=1000, cpus=0.5)
    Engine().apply(limited)
    api.calls.clear()
    assert Engine().apply(replace(limited, memory=2000, cpus=0)) is Change.UPDATED
    assert api.calls == ["update"]
    there = Engine().inspect("search")
    assert there
    assert (there.memory, there.cpu_quota) == (2000, 0)
    assert Engine().apply(replace(limited, memory=2000, cpus=0)) is Change.UNCHANGED


def test_a_container_whose_limits_the_engine_cannot_change_is_replaced(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise docker.errors.APIError("500", explanation="device or resource busy")

    Engine().apply(replace(SPEC, memory=2000))
    monkeypatch.setattr(api, "update_container", refuse)
    assert Engine().apply(replace(SPEC, memory=1000)) is Change.REPLACED


def test_a_limit_of_memory_is_lifted_by_a_new_container(api: Api) -> None:
    Engine().apply(replace(SPEC, memory=2000))
    assert Engine().apply(SPEC) is Change.REPLACED


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
    Engine().apply(SPEC)
    api.containers["search"]["State"]["Status"] = "dead"
    assert Engine().apply(SPEC) is Change.REPLACED
    assert api.containers["search"]["State"]["Status"] == "running"


@pytest.mark.parametrize("died_before", ["create", "start", "remove"])
def test_a_kill_in_between_is_made_good_by_the_next_call(api: Api, died_before: str) -> None:
    class Killed(BaseException):
        pass

    def die(*_: Any, **__: Any) -> None:
        raise Killed

    Engine().apply(SPEC)
    new = replace(SPEC, user="1:1")
    name = {"create": "create_container", "remove": "remove_container"}.get(
        died_before, died_before
    )
    original = getattr(api, name)
    setattr(api, name, die)
    with pytest.raises(Killed):
        Engine().apply(new)
    setattr(api, name, original)
    Engine().apply(new)
    container = api.containers["search"]
    assert container["Config"]["Labels"][SPEC_LABEL] == new.digest
    assert container["State"]["Status"] == "running"


def test_containers_are_found_by_their_label(api: Api) -> None:
    for name in ("second", "first"):
        Engine().apply(replace(SPEC, name=name, labels={"unit": name}))
    Engine().apply(SPEC)
    assert [each.name for each in Engine().list_containers("unit")] == ["first", "second"]


def test_a_network_counts_by_its_whole_name(api: Api) -> None:
    api.network_names = ["fan-250"]
    assert not Engine().has_network("fan")
    api.network_names.append("fan")
    assert Engine().has_network("fan")


def test_a_frozen_container_goes_on_and_is_not_made_anew(api: Api) -> None:
    Engine().apply(SPEC)
    Engine().freeze("search")
    Engine().freeze("search")
    api.calls.clear()
    assert Engine().apply(SPEC) is Change.STARTED
    assert api.calls == ["unpause"]
    Engine().freeze("search")
    Engine().thaw("search")
    Engine().thaw("search")
    assert api.calls == ["unpause", "pause", "unpause"]


def test_a_container_on_hold_says_so_and_goes_on_when_applied_again(api: Api) -> None:
    lasting = replace(SPEC, restart="on-failure")
    Engine().apply(lasting)
    api.calls.clear()
    Engine().hold("search")
    Engine().hold("search")
    assert api.calls == ["update", "stop"]
    there = Engine().inspect("search")
    assert there
    assert (there.state, there.restart) == ("exited", "no")
    assert Engine().apply(lasting) is Change.STARTED
    there = Engine().inspect("search")
    assert there
    assert (there.state, there.restart) == ("running", "on-failure")


def test_a_frozen_container_is_let_save_its_work_before_it_ends(api: Api) -> None:
    Engine().apply(SPEC)
    Engine().freeze("search")
    api.calls.clear()
    Engine().stop("search")
    Engine().stop("search")
    assert api.calls == ["unpause", "stop"]
    Engine().apply(SPEC)
    Engine().freeze("search")
    api.calls.clear()
    Engine().remove("search")
    assert api.calls == ["unpause", "stop", "remove"]


def test_a_container_of_others_is_never_touched(api: Api) -> None:
    nothing = {"mem_limit": None, "cpu_quota": None, "restart_policy": {"Name": ""}}
    api.create_container("sha256:9", name="search", labels={}, host_config=nothing)
    with pytest.raises(ContainerError, match="not made here"):
        Engine().apply(SPEC)
    with pytest.raises(ContainerError, match="not made here"):
        Engine().remove("search")
    assert api.containers["search"]["Image"] == "sha256:9"


def test_removing_what_is_not_there_is_no_error(api: Api) -> None:
    assert Engine().remove("search") is False
    Engine().apply(SPEC)
    assert Engine().remove("search", stop_timeout=3) is True
    assert Engine().inspect("search") is None


def test_an_image_pinned_by_digest_is_not_pulled_again(api: Api) -> None:
    api.here[PINNED] = image()
    assert Engine().pull(PINNED).names == (PINNED,)
    assert api.calls == []


def test_a_tag_is_pulled_even_if_it_is_here(api: Api) -> None:
    api.here["172.30.0.3:5000/mlucas:1"] = image({"old": "1"})
    api.arriving = {"172.30.0.3:5000/mlucas:1": image({"mersenne.engine": "mlucas"})}
    api.messages = [{"status": "Pulling fs layer"}, {"status": "Pull complete"}]
    said: list[str] = []
    pulled = Engine().pull("172.30.0.3:5000/mlucas:1", progress=said.append)
    assert pulled.labels == {"mersenne.engine": "mlucas"}
    assert said == ["Pulling fs layer", "Pull complete"]


def test_an_error_in_the_stream_of_a_pull_is_raised(api: Api) -> None:
    api.messages = [{"error": "manifest for x not found: manifest unknown: manifest unknown"}]
    with pytest.raises(ImageError, match=r"^manifest unknown$"):
        Engine().pull(PINNED)


def test_an_error_answer_of_the_engine_is_raised_as_its_reason(api: Api) -> None:
    api.fault = docker.errors.APIError(
        "500 Server Error", explanation='Get "https://r/v2/": dial tcp 1.2.3.4:1: connect: no'
    )
    with pytest.raises(ImageError, match=r"^no$"):
        Engine().pull(PINNED)
    with pytest.raises(ContainerError, match=r"^no$"):
        Engine().apply(SPEC)


@pytest.mark.parametrize(
    "reason",
    [
        'Get "https://r/v2/mlucas/manifests/latest": no basic auth credentials',
        'Head "https://r/v2/mlucas/manifests/1": unauthorized: authentication required',
        "pull access denied for r/x, repository does not exist or may require 'docker login': "
        "denied: requested access to the resource is denied",
        'failed to resolve reference "r/x:1": unexpected status from HEAD request to https://r/: '
        "401 Unauthorized",
    ],
)
def test_a_registry_that_wants_credentials_is_told_from_other_refusals(
    api: Api, reason: str
) -> None:
    api.fault = refuse(500, reason)
    with pytest.raises(UnauthorizedError):
        Engine().pull(PINNED)


@pytest.mark.parametrize("reason", ["mkdir /var/lib/docker/x: permission denied", "no space"])
def test_a_refusal_for_another_reason_is_none_of_the_registrys(api: Api, reason: str) -> None:
    api.fault = refuse(500, reason)
    with pytest.raises(ImageError) as told:
        Engine().pull(PINNED)
    assert not isinstance(told.value, UnauthorizedError)


@given(password=st.text(min_size=1), said=st.text())
def test_a_password_is_sent_with_its_request_and_stands_in_no_error(
    password: str, said: str
) -> None:
    api = Api()
    api.messages = [{"error": f"unauthorized: {said}{password} is wrong"}]
    credentials = Credentials("me", password)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("docker.APIClient", lambda **_: api)
        with pytest.raises(UnauthorizedError) as told:
            Engine().pull(PINNED, credentials)
    assert api.login == {"username": "me", "password": password}
    assert told.value.__cause__ is None
    assert repr(credentials) == "Credentials(username='me')"
    if len(password) > 8:
        assert password not in str(told.value)


def test_the_login_of_a_proxy_stands_in_no_error(api: Api) -> None:
    api.fault = refuse(500, "proxyconnect tcp: parse http://me:secret@proxy:3128: no")
    with pytest.raises(ImageError) as told:
        Engine().pull(PINNED)
    assert "secret" not in str(told.value)
    assert "http://proxy:3128" in str(told.value)


def test_an_image_has_as_many_names_as_it_is_given(api: Api) -> None:
    api.here["172.30.0.3:5000/mlucas:1"] = image()
    engine = Engine()
    engine.tag("172.30.0.3:5000/mlucas:1", "tools/one:1")
    assert engine.find_image("tools/one:1") == engine.find_image("172.30.0.3:5000/mlucas:1")
    (listed,) = engine.list_images("tools/*")
    assert (listed.id, listed.names) == ("sha256:1", ("tools/one:1",))


def test_a_name_is_taken_from_an_image_unless_it_is_in_use(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def keep(_: str) -> None:
        raise refuse(409, "conflict: unable to remove, container 1 is using its image")

    def fail(_: str) -> None:
        raise refuse(500, "input/output error")

    api.here["tools/one:1"] = image()
    assert Engine().remove_image("tools/one:1") is True
    assert Engine().remove_image("tools/one:1") is False
    monkeypatch.setattr(api, "remove_image", keep)
    assert Engine().remove_image("tools/one:1") is False
    monkeypatch.setattr(api, "remove_image", fail)
    with pytest.raises(ImageError, match="input/output error"):
        Engine().remove_image("tools/one:1")


def test_only_what_has_the_label_and_no_name_is_pruned(api: Api) -> None:
    Engine().prune_images("tools.stage")
    assert api.calls == ["prune tools.stage True"]


@given(
    answer=st.fixed_dictionaries(
        {"Id": st.text()},
        optional={
            "RepoTags": st.none() | st.lists(st.text()),
            "RepoDigests": st.none() | st.lists(st.text()),
            "Labels": st.none() | st.dictionaries(st.text(), st.text()),
            "Config": st.none() | st.fixed_dictionaries({}, optional={"Labels": st.none()}),
        },
    )
)
def test_whatever_the_engine_leaves_out_an_image_is_read(answer: dict[str, Any]) -> None:
    found = read_image(answer)
    assert found.id == answer["Id"]
    assert set(found.names) >= set(answer.get("RepoTags") or [])


def test_what_is_no_reference_is_never_pulled(api: Api) -> None:
    with pytest.raises(InvalidReferenceError):
        Engine().pull("Not One")
    assert api.calls == []


def test_a_failed_build_step_is_told_by_its_last_words(api: Api, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    api.messages = [
        {"stream": "\x1b[91mE: Unable to locate package mlucas\n"},
        {"stream": "\x1b[0m"},
        {"stream": "Removing intermediate container fd4db00e5c9a\n"},
        {"error": "The command '/bin/sh -c apt-get\ninstall' returned a non-zero code: 100"},
    ]
    told = r"^a build step ended with code 100: E: Unable to locate package mlucas$"
    with pytest.raises(ImageError, match=told):
        Engine().build(tmp_path, "mlucas:1")


def test_a_build_returns_its_image(api: Api, tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    api.arriving = {"mlucas:1": image()}
    assert Engine().build(tmp_path, "mlucas:1").id == "sha256:1"


def test_a_folder_without_a_dockerfile_is_named(api: Api, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="holds no Dockerfile"):
        Engine().build(tmp_path, "mlucas:1")


def test_an_archives_image_is_loaded(api: Api, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    archive.write_bytes(b"x")
    api.arriving = {"mlucas:1": image()}
    api.messages = [{"stream": "Loaded image: mlucas:1\n"}]
    assert Engine().load(archive).id == "sha256:1"


def test_an_archive_that_is_none_or_not_there_is_named(api: Api, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No such file"):
        Engine().load(tmp_path / "image.tar")
    (tmp_path / "image.tar").touch()
    with pytest.raises(ImageError, match="holds no image"):
        Engine().load(tmp_path / "image.tar")


@pytest.mark.parametrize(
    "fault", [docker.errors.DockerException("x"), requests.exceptions.ConnectionError("x")]
)
def test_an_engine_that_does_not_answer_is_told_in_one_line(
    monkeypatch: pytest.MonkeyPatch, fault: Exception
) -> None:
    def refuse(**_: Any) -> None:
        raise fault

    monkeypatch.setattr("docker.APIClient", refuse)
    with pytest.raises(EngineUnavailableError, match="does not answer on its socket"):
        Engine()


def test_the_last_lines_of_a_containers_output_are_text(api: Api) -> None:
    assert Engine().logs("search", 2) == ["one", "two \ufffd"]
