from __future__ import annotations

import hashlib
import io
import json
import logging
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerhost import Container, Credentials, Image, ImageError, Proxies, UnauthorizedError
from harvest import image
from harvest.archive import rewrite
from harvest.image import Source, ensure_image, remove_images
from harvest.unit import Unit
from lib.harvest.tests.unit.fake_host import BASE, LARGE, NAME, SMALL, Host, read_names

REGISTRY = "172.30.0.3:5000"
TAG = f"{REGISTRY}/small:1"
OTHER_TAG = f"{REGISTRY}/large:1"
PINNED = f"{REGISTRY}/small@sha256:{'a' * 64}"
BASE_TAG = "debian:trixie-slim"
BASE_NAME = f"{BASE_TAG}@sha256:a29215f6a35e51e22adffa17f89e9d2ef06214e64a2bad10d765c46aea49f11f"
OWN, OTHER = Unit("digits", "digits/0"), Unit("digits", "digits/1")
IMAGES = Path(__file__).parent / "data/images"
SOURCES = Source(OWN, IMAGES, ("large", "small"), stage="digits.stage")
BY_TAG = replace(SOURCES, reference=TAG)
CONTAINER = Container(
    name="",
    id="1",
    image="",
    state="running",
    exit_code=0,
    ran=0,
    restarts=0,
    oom_killed=False,
    labels={},
)


def write_archive(file: Path, manifest: Any, **more: Any) -> Path:
    """Write an archive of an image with a layer, and whatever else as JSON."""
    said = {"manifest.json": manifest, "config.json": {}, "layer.tar": "bits", **more}
    with tarfile.open(file, "w") as tar:
        for name, value in said.items():
            data = json.dumps(value).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return file


def describe(*tags: str) -> list[dict[str, Any]]:
    """Return the manifest of such an archive."""
    return [{"Config": "config.json", "RepoTags": tags, "Layers": ["layer.tar", "layer.tar"]}]


@pytest.fixture
def archive(host: Host, tmp_path: Path) -> Source:
    """A source with an archive of the small image, named small:latest."""
    host.archive = SMALL
    file = write_archive(tmp_path / "image.tar", describe("small:latest"))
    return replace(BY_TAG, archive=file)


def ids(host: Host) -> set[str]:
    """Return the images that the machine has."""
    return {each.id for each in host.images.values()}


def ensure(host: Host, source: Source) -> Image:
    """Let the container of a source's owner run on its image, as a hook does."""
    found = ensure_image(host.engine, source, lambda _: None)
    unit = source.unit
    host.containers[unit.id] = replace(CONTAINER, name=unit.id, image=found.id)
    remove_images(host.engine, unit, found)
    return found


def leave(host: Host, unit: Unit = OWN) -> None:
    """Remove a unit's container and images, as its last hook does."""
    del host.containers[unit.id]
    remove_images(host.engine, unit)


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


def test_an_archive_goes_first_is_loaded_once_and_leaves_with_its_unit(
    host: Host, archive: Source
) -> None:
    said: list[str] = []
    assert ensure_image(host.engine, archive, said.append).id == SMALL.id
    ensure(host, replace(archive, require_digest=True))
    assert host.did == ["load"]
    assert said == ["loading the resource digits-image"]
    assert archive.archive
    digest = hashlib.sha256(archive.archive.read_bytes()).hexdigest()
    assert f"docker.io/digits-charm/archive:{digest}" in host.images
    leave(host)
    assert host.images == {}


def test_an_archives_names_are_given_back_to_whom_they_belong(host: Host, archive: Source) -> None:
    theirs = replace(BASE, id="sha256:9")
    host.images["docker.io/library/small:latest"] = theirs
    ensure(host, archive)
    assert host.images["docker.io/library/small:latest"] == theirs
    leave(host)
    assert host.images == {"docker.io/library/small:latest": theirs}


HOSTILE = {
    "./manifest.json": describe(BASE_NAME),
    "index.json": {"manifests": [{"annotations": {NAME: f"docker.io/library/{BASE_NAME}"}}]},
    "repositories": {"debian": {"trixie-slim": "1"}},
}


@pytest.mark.parametrize("member", HOSTILE)
def test_an_archive_gives_no_image_a_name_wherever_it_has_names(
    host: Host, tmp_path: Path, member: str
) -> None:
    theirs = {f"docker.io/library/{name}": BASE for name in (BASE_NAME, "small:latest")}
    host.images |= theirs
    host.archive = SMALL
    file = write_archive(
        tmp_path / "image.tar", describe("small:latest"), **{member: HOSTILE[member]}
    )
    # As a hook that is killed right afterwards leaves it.
    ensure_image(host.engine, replace(SOURCES, archive=file), lambda _: None)
    assert host.images.items() >= theirs.items()
    ours = [name for name, each in host.images.items() if each.id == SMALL.id]
    assert all("digits-charm/" in name for name in ours)


def test_an_archive_is_handed_on_with_its_configuration_and_layers(tmp_path: Path) -> None:
    file = write_archive(tmp_path / "image.tar", describe("small:latest"))
    with rewrite(file, "ours:1") as copy, tarfile.open(fileobj=copy) as tar:
        held = {member.name: tar.extractfile(member) for member in tar}
        said = {name: json.load(content) for name, content in held.items() if content}
    (told,) = said["manifest.json"]
    assert told["RepoTags"] == ["ours:1"]
    assert said[told["Config"]] == {}
    assert [said[layer] for layer in told["Layers"]] == ["bits", "bits"]
    assert [path.name for path in tmp_path.iterdir()] == ["image.tar"]


def test_an_archive_that_cannot_be_copied_for_want_of_space_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    file = write_archive(tmp_path / "image.tar", describe())
    monkeypatch.setattr(tarfile.TarFile, "addfile", fail)
    with pytest.raises(OSError, match="No space left"):
        rewrite(file, "ours:1")


def test_an_image_that_a_killed_hook_did_not_mark_is_known_as_ours(
    host: Host, archive: Source, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(image, "_add_mark", lambda *_: None)
        ensure_image(host.engine, archive, lambda _: None)
    ensure(host, archive)
    leave(host)
    assert not [name for name in host.images if "digits-charm" in name]


def test_an_empty_archive_counts_as_none(host: Host, tmp_path: Path) -> None:
    empty = tmp_path / "empty.tar"
    empty.touch()
    host.registry[TAG] = SMALL
    source = replace(BY_TAG, archive=empty)
    ensure_image(host.engine, source, lambda _: None)
    assert host.did == [f"pull {TAG}"]
    assert source.title == f"image {TAG}"


@pytest.mark.parametrize(
    "manifest", [[], [{}, {}], [{"Config": "x"}], {"RepoTags": []}, "x", 1, [1], [[]], [None]]
)
def test_an_archive_of_anything_but_one_image_is_refused(
    host: Host, tmp_path: Path, manifest: Any
) -> None:
    file = write_archive(tmp_path / "image.tar", manifest)
    with pytest.raises(
        ImageError, match=r"^resource digits-image: .*attach a file that docker save"
    ):
        ensure_image(host.engine, replace(SOURCES, archive=file), lambda _: None)
    assert host.did == []


@given(data=st.binary(min_size=1), depth=st.integers(0, 600))
def test_whatever_is_attached_is_an_archive_or_is_refused(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, depth: int
) -> None:
    whole = write_archive(tmp_path_factory.mktemp("a") / "whole.tar", describe())
    file = whole.with_name("image.tar")
    for content in (data, whole.read_bytes()[:depth] + data):
        file.write_bytes(content)
        try:
            with rewrite(file, "ours:1") as copy:
                assert read_names(copy) == {"ours:1"}
        except ImageError as error:
            assert "docker save" in str(error)


def test_what_the_engine_says_of_an_archive_is_told_with_its_name(
    host: Host, archive: Source
) -> None:
    host.archive = None
    with pytest.raises(ImageError, match=r"^resource digits-image: unexpected EOF$"):
        ensure_image(host.engine, archive, lambda _: None)


@pytest.mark.parametrize(("unbuildable", "built"), [("", "large"), ("large", "small")])
def test_the_first_image_is_built_that_can_be(
    host: Host, caplog: pytest.LogCaptureFixture, unbuildable: str, built: str
) -> None:
    host.registry[BASE_NAME] = BASE
    host.unbuildable = {unbuildable}
    with caplog.at_level(logging.WARNING):
        found = ensure(host, SOURCES)
    assert found.labels["kind"] == built
    told = ["there is no image with large: a build step ended with code 6"] if unbuildable else []
    assert [record.getMessage() for record in caplog.records] == told
    assert ids(host) == {found.id}, "the base that was pulled for it is of no more use"
    host.unbuildable = set()
    ensure(host, SOURCES)
    assert host.did == [f"pull {BASE_NAME}", f"build {built}", "prune"]
    leave(host)
    assert host.images == {}


def test_where_nothing_can_be_built_an_image_has_to_be_named(host: Host) -> None:
    with pytest.raises(ImageError, match=r"^there is no image; give one with the option image or"):
        ensure_image(host.engine, replace(SOURCES, recipes=()), lambda _: None)


def test_a_base_that_was_here_before_is_neither_pulled_nor_removed(host: Host) -> None:
    host.images[f"docker.io/library/{BASE_TAG}"] = BASE
    ensure(host, SOURCES)
    assert host.did == ["build large", "prune"]
    leave(host)
    assert ids(host) == {BASE.id}


def test_a_build_gets_the_proxies(host: Host) -> None:
    host.registry[BASE_NAME] = BASE
    proxies = Proxies(http="http://proxy.example:3128")
    ensure_image(host.engine, replace(SOURCES, proxies=proxies), lambda _: None)
    assert host.build_arguments == {**proxies.build_arguments, "BASE": BASE_NAME}


def test_a_base_that_a_mirror_lacks_by_digest_is_taken_by_its_tag_and_told(
    host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.registry[BASE_TAG] = BASE
    with caplog.at_level(logging.WARNING):
        ensure(host, SOURCES)
    assert host.build_arguments["BASE"] == BASE_TAG
    assert f"image {BASE_NAME}: manifest unknown; building on {BASE_TAG}, which" in caplog.text
    assert host.did == [f"pull {BASE_TAG}", "build large", "prune"]
    leave(host)
    assert host.images == {}


def test_with_require_digest_a_base_is_taken_by_its_digest_alone(host: Host) -> None:
    host.registry[BASE_TAG] = BASE
    with pytest.raises(ImageError, match=f"^no image can be built here: image {BASE_NAME}: "):
        ensure_image(host.engine, replace(SOURCES, require_digest=True), lambda _: None)
    assert host.did == []


def test_a_recipe_of_another_charm_revision_takes_another_build(
    host: Host, tmp_path: Path
) -> None:
    host.registry[BASE_NAME] = BASE
    for kind in ("small", "large"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "Dockerfile").write_text(f"ARG BASE={BASE_NAME}\n")
    source = replace(SOURCES, context=tmp_path, recipes=("small",))
    ensure(host, source)
    (tmp_path / "small" / "Dockerfile").write_text(f"# New\nARG BASE={BASE_NAME}\n")
    ensure(host, source)
    assert host.did.count("build small") == 2


@pytest.mark.parametrize(
    ("source", "title"),
    [(BY_TAG, f"image {TAG}"), (SOURCES, "the image that was built here")],
)
def test_a_message_says_which_image_it_is_about(source: Source, title: str) -> None:
    assert source.title == title


def test_a_neighbours_archive_is_no_reason_to_wait_for_one(host: Host, archive: Source) -> None:
    ensure(host, replace(archive, unit=OTHER))
    host.registry[TAG] = LARGE
    found = ensure(host, replace(BY_TAG, no_archive="connection refused"))
    assert found.id == LARGE.id


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
