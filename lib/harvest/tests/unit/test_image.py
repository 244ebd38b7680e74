"""Images from a registry, and whose an image on the machine is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dockerhost import Credentials, ImageError, UnauthorizedError
from harvest.image import Source, ensure_image
from lib.harvest.tests.unit.fake_host import BASE, LARGE, SMALL, Host
from lib.harvest.tests.unit.images import (
    BASE_NAME,
    BY_TAG,
    CONTAINER,
    OTHER,
    OTHER_TAG,
    PINNED,
    SOURCES,
    TAG,
    ensure,
    ids,
    leave,
)


def refuse_pulls(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Host, "pull", refuse)


def test_an_image_is_pulled_once_and_goes_with_its_unit(host: Host) -> None:
    host.registry[TAG] = SMALL
    assert ensure(host, BY_TAG).id == SMALL.id
    assert ensure(host, BY_TAG).id == SMALL.id
    assert host.did == [f"pull {TAG}"]
    leave(host)
    assert host.images == {}


def test_a_new_image_takes_the_place_of_the_old_one(host: Host) -> None:
    host.registry |= {TAG: SMALL, OTHER_TAG: LARGE}
    ensure(host, BY_TAG)
    ensure_image(host.engine, replace(BY_TAG, reference=OTHER_TAG), lambda _: None)
    assert ids(host) == {SMALL.id, LARGE.id}
    ensure(host, replace(BY_TAG, reference=OTHER_TAG))
    assert ids(host) == {LARGE.id}


def test_an_image_that_was_here_before_stays(host: Host) -> None:
    host.registry[OTHER_TAG] = LARGE
    host.images[TAG] = SMALL
    ensure(host, BY_TAG)
    ensure(host, replace(BY_TAG, reference=OTHER_TAG))
    assert host.images[TAG] == SMALL
    leave(host)
    assert host.images == {TAG: SMALL}


def test_a_name_that_others_gave_stays_with_its_image(host: Host) -> None:
    host.registry[TAG] = SMALL
    ensure(host, BY_TAG)
    host.images["docker.io/library/theirs:1"] = SMALL
    leave(host)
    assert host.images == {"docker.io/library/theirs:1": SMALL}


def test_an_image_that_a_container_uses_goes_when_that_has_gone(host: Host) -> None:
    host.registry |= {TAG: SMALL, OTHER_TAG: LARGE}
    ensure(host, BY_TAG)
    host.containers["theirs"] = replace(CONTAINER, name="theirs", image=SMALL.id)
    other = replace(BY_TAG, reference=OTHER_TAG)
    ensure(host, other)
    assert ids(host) == {SMALL.id, LARGE.id}
    del host.containers["theirs"]
    ensure(host, other)
    assert ids(host) == {LARGE.id}


def test_units_that_share_a_machine_share_its_images(host: Host) -> None:
    host.registry[TAG] = SMALL
    neighbour = replace(BY_TAG, unit=OTHER)
    ensure(host, BY_TAG)
    ensure(host, neighbour)
    assert host.did == [f"pull {TAG}"]
    leave(host)
    assert TAG in host.images
    leave(host, OTHER)
    assert host.images == {}


def test_a_neighbour_that_stands_by_keeps_its_image(host: Host) -> None:
    host.registry |= {TAG: SMALL, OTHER_TAG: LARGE}
    ensure(host, replace(BY_TAG, unit=OTHER, reference=OTHER_TAG))
    del host.containers[OTHER.id]
    ensure(host, BY_TAG)
    ensure(host, BY_TAG)
    assert ids(host) == {SMALL.id, LARGE.id}


def test_a_reference_by_digest_needs_no_other_pull(host: Host) -> None:
    host.registry[TAG] = SMALL
    ensure(host, BY_TAG)
    host.images[PINNED] = SMALL
    ensure(host, replace(BY_TAG, reference=PINNED, require_digest=True))
    assert host.did == [f"pull {TAG}"]


@pytest.mark.parametrize(("there", "given"), [(True, PINNED), (False, "small@sha256:…")])
def test_a_tag_is_refused_where_a_digest_is_required(host: Host, there: bool, given: str) -> None:
    if there:
        host.images |= {TAG: SMALL, PINNED: SMALL, f"other/x@sha256:{'b' * 64}": SMALL}
    with pytest.raises(ImageError) as told:
        ensure_image(host.engine, replace(BY_TAG, require_digest=True), lambda _: None)
    assert str(told.value).startswith(f"option image: {TAG} may change, and require-digest is ")
    assert str(told.value).endswith(given)
    assert host.did == []


def test_who_names_no_registry_learns_that_the_machine_has_no_such_image(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_pulls(monkeypatch, ImageError("registry-1.docker.io: no such host"))
    with pytest.raises(ImageError) as told:
        ensure_image(host.engine, replace(BY_TAG, reference="tell:1"), lambda _: None)
    assert str(told.value) == (
        "image docker.io/library/tell:1: registry-1.docker.io: no such host; "
        "this machine has no tell:1 either"
    )
    with pytest.raises(ImageError, match=r": no such host$"):
        ensure_image(host.engine, BY_TAG, lambda _: None)


@pytest.mark.parametrize(
    ("credentials", "advice"),
    [
        (None, "give user name and password with the option registry-credentials"),
        (Credentials("me", "secret"), "check user name and password in the secret of the option"),
    ],
)
def test_a_registry_that_wants_a_login_is_told_with_what_to_do(
    host: Host, monkeypatch: pytest.MonkeyPatch, credentials: Credentials | None, advice: str
) -> None:
    refuse_pulls(monkeypatch, UnauthorizedError("unauthorized: authentication required"))
    with pytest.raises(ImageError) as told:
        ensure_image(host.engine, replace(BY_TAG, credentials=credentials), lambda _: None)
    assert str(told.value).startswith(f"image {TAG}: unauthorized: authentication required; ")
    assert advice in str(told.value)
    assert "secret " not in repr(credentials)


def test_the_login_goes_to_the_images_registry_alone(host: Host) -> None:
    login = Credentials("me", "secret")
    host.registry |= {TAG: SMALL, BASE_NAME: BASE}
    ensure_image(host.engine, replace(BY_TAG, credentials=login), lambda _: None)
    assert host.login == login
    ensure_image(host.engine, replace(SOURCES, credentials=login), lambda _: None)
    assert host.login is None


def test_a_proxy_that_the_engine_does_not_use_is_told_where_a_pull_fails(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harvest.image.ensure_proxies", lambda *_: "it does not use the proxies")
    with pytest.raises(ImageError, match=r"manifest unknown; it does not use the proxies$"):
        ensure_image(host.engine, BY_TAG, lambda _: None)
    host.registry[TAG] = SMALL
    assert ensure_image(host.engine, BY_TAG, lambda _: None) == SMALL


@pytest.mark.parametrize(
    ("source", "title"),
    [(BY_TAG, f"image {TAG}"), (SOURCES, "the image that was built here")],
)
def test_a_message_says_which_image_it_is_about(source: Source, title: str) -> None:
    assert source.title == title


def test_a_pull_and_a_build_show_how_far_they_are(host: Host) -> None:
    steps: list[str] = []
    host.registry = {TAG: SMALL, BASE_NAME: BASE}
    ensure_image(host.engine, BY_TAG, steps.append)
    assert steps == [
        f"pulling {TAG}",
        f"pulling {TAG}: 1 of 2 layers",
        f"pulling {TAG}: 2 of 2 layers",
    ]
    steps.clear()
    ensure_image(host.engine, SOURCES, steps.append)
    assert steps[-3:] == [
        "building an image with large",
        "building an image with large: step 1 of 2",
        "building an image with large: step 2 of 2",
    ]
