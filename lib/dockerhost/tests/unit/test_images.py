from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import docker.errors
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerhost import (
    ContainerError,
    ContainerSpec,
    Credentials,
    Engine,
    ImageError,
    InvalidReferenceError,
    UnauthorizedError,
)
from dockerhost.images import read_image
from lib.dockerhost.tests.unit.api import DIGEST, Api, image, refuse

PINNED = f"172.30.0.3:5000/mlucas@{DIGEST}"


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
        Engine().ensure(ContainerSpec(name="search", image="sha256:1"))


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
        patch.setattr("dockerhost.connection.Client", lambda **_: api)
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
    with pytest.raises(ImageError, match="contains no Dockerfile"):
        Engine().build(tmp_path, "mlucas:1")


def test_an_archives_image_is_loaded(api: Api) -> None:
    api.arriving = {"mlucas:1": image()}
    api.messages = [{"stream": "Loaded image: mlucas:1\n"}]
    assert Engine().load(io.BytesIO(b"x")).id == "sha256:1"


def test_an_archive_that_holds_no_image_is_refused(api: Api) -> None:
    with pytest.raises(ImageError, match="contains no image"):
        Engine().load(io.BytesIO())
