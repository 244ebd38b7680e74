from __future__ import annotations

import hashlib
import io
import json
import logging
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ops import testing

import image
from archive import rewrite
from charms.mprime.tests.unit.conftest import SOURCE
from charms.mprime.tests.unit.fake_host import BASE, MLUCAS, MPRIME, NAME, Host, read_names
from dockerhost import Container, Credentials, Image, ImageError, Proxies, UnauthorizedError
from image import Source, obtain, sweep

REGISTRY = "172.30.0.3:5000"
TAG = f"{REGISTRY}/mlucas:1"
OTHER_TAG = f"{REGISTRY}/mprime:1"
PINNED = f"{REGISTRY}/mlucas@sha256:{'a' * 64}"
BASE_NAME = "debian:trixie-slim"
SOURCES = Source("mprime-0", SOURCE.parents[2] / "images")
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
    """A source with an archive of the mlucas image, named mlucas:latest."""
    host.archive = MLUCAS
    file = write_archive(tmp_path / "image.tar", describe("mlucas:latest"))
    return replace(BY_TAG, archive=file)


def ids(host: Host) -> set[str]:
    """Return the images that the machine has."""
    return {each.id for each in host.images.values()}


def settle(host: Host, source: Source) -> Image:
    """Let the container of a source's owner run on its image, as a hook does."""
    found = obtain(host.engine, source, lambda _: None)
    host.containers[source.owner] = replace(CONTAINER, name=source.owner, image=found.id)
    sweep(host.engine, source.owner, found)
    return found


def leave(host: Host, owner: str) -> None:
    """Remove a unit's container and images, as its last hook does."""
    del host.containers[owner]
    sweep(host.engine, owner)


def refuse_pulls(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Host, "pull", refuse)


def test_an_image_is_pulled_once_and_goes_with_its_unit(host: Host) -> None:
    host.registry[TAG] = MLUCAS
    assert settle(host, BY_TAG).id == MLUCAS.id
    assert settle(host, BY_TAG).id == MLUCAS.id
    assert host.did == [f"pull {TAG}"]
    leave(host, "mprime-0")
    assert host.images == {}


def test_a_new_image_takes_the_place_of_the_old_one(host: Host) -> None:
    host.registry |= {TAG: MLUCAS, OTHER_TAG: MPRIME}
    settle(host, BY_TAG)
    obtain(host.engine, replace(BY_TAG, reference=OTHER_TAG), lambda _: None)
    assert ids(host) == {MLUCAS.id, MPRIME.id}
    settle(host, replace(BY_TAG, reference=OTHER_TAG))
    assert ids(host) == {MPRIME.id}


def test_an_image_that_was_here_before_stays(host: Host) -> None:
    host.registry[OTHER_TAG] = MPRIME
    host.images[TAG] = MLUCAS
    settle(host, BY_TAG)
    settle(host, replace(BY_TAG, reference=OTHER_TAG))
    assert host.images[TAG] == MLUCAS
    leave(host, "mprime-0")
    assert host.images == {TAG: MLUCAS}


def test_a_name_that_others_gave_stays_with_its_image(host: Host) -> None:
    host.registry[TAG] = MLUCAS
    settle(host, BY_TAG)
    host.images["docker.io/library/theirs:1"] = MLUCAS
    leave(host, "mprime-0")
    assert host.images == {"docker.io/library/theirs:1": MLUCAS}


def test_an_image_that_a_container_uses_goes_when_that_has_gone(host: Host) -> None:
    host.registry |= {TAG: MLUCAS, OTHER_TAG: MPRIME}
    settle(host, BY_TAG)
    host.containers["theirs"] = replace(CONTAINER, name="theirs", image=MLUCAS.id)
    other = replace(BY_TAG, reference=OTHER_TAG)
    settle(host, other)
    assert ids(host) == {MLUCAS.id, MPRIME.id}
    del host.containers["theirs"]
    settle(host, other)
    assert ids(host) == {MPRIME.id}


def test_units_that_share_a_machine_share_its_images(host: Host) -> None:
    host.registry[TAG] = MLUCAS
    neighbour = replace(BY_TAG, owner="mprime-1")
    settle(host, BY_TAG)
    settle(host, neighbour)
    assert host.did == [f"pull {TAG}"]
    leave(host, "mprime-0")
    assert TAG in host.images
    leave(host, "mprime-1")
    assert host.images == {}


def test_a_neighbour_that_stands_by_keeps_its_image(host: Host) -> None:
    host.registry |= {TAG: MLUCAS, OTHER_TAG: MPRIME}
    settle(host, replace(BY_TAG, owner="mprime-1", reference=OTHER_TAG))
    del host.containers["mprime-1"]
    settle(host, BY_TAG)
    settle(host, BY_TAG)
    assert ids(host) == {MLUCAS.id, MPRIME.id}


def test_a_reference_by_digest_needs_no_other_pull(host: Host) -> None:
    host.registry[TAG] = MLUCAS
    settle(host, BY_TAG)
    host.images[PINNED] = MLUCAS
    settle(host, replace(BY_TAG, reference=PINNED, require_digest=True))
    assert host.did == [f"pull {TAG}"]


@pytest.mark.parametrize(("there", "given"), [(True, PINNED), (False, "mlucas@sha256:…")])
def test_a_tag_is_refused_where_a_digest_is_required(host: Host, there: bool, given: str) -> None:
    if there:
        host.images |= {TAG: MLUCAS, PINNED: MLUCAS, f"other/x@sha256:{'b' * 64}": MLUCAS}
    with pytest.raises(ImageError) as told:
        obtain(host.engine, replace(BY_TAG, require_digest=True), lambda _: None)
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
        obtain(host.engine, replace(BY_TAG, credentials=credentials), lambda _: None)
    assert str(told.value).startswith(f"image {TAG}: unauthorized: authentication required; ")
    assert advice in str(told.value)
    assert "secret " not in repr(credentials)


def test_the_login_goes_to_the_images_registry_alone(host: Host) -> None:
    login = Credentials("me", "secret")
    host.registry |= {TAG: MLUCAS, BASE_NAME: BASE}
    obtain(host.engine, replace(BY_TAG, credentials=login), lambda _: None)
    assert host.login == login
    obtain(host.engine, replace(SOURCES, credentials=login), lambda _: None)
    assert host.login is None


def test_a_proxy_that_the_engine_does_not_use_is_told_where_a_pull_fails(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("image.settle_proxies", lambda *_: "it does not use the proxies")
    with pytest.raises(ImageError, match=r"manifest unknown; it does not use the proxies$"):
        obtain(host.engine, BY_TAG, lambda _: None)
    host.registry[TAG] = MLUCAS
    assert obtain(host.engine, BY_TAG, lambda _: None) == MLUCAS


def test_an_archive_goes_first_is_loaded_once_and_leaves_with_its_unit(
    host: Host, archive: Source
) -> None:
    said: list[str] = []
    assert obtain(host.engine, archive, said.append).id == MLUCAS.id
    settle(host, replace(archive, require_digest=True))
    assert host.did == ["load"]
    assert said == ["loading the resource mprime-image"]
    assert archive.archive
    digest = hashlib.sha256(archive.archive.read_bytes()).hexdigest()
    assert f"docker.io/mprime-charm/archive:{digest}" in host.images
    leave(host, "mprime-0")
    assert host.images == {}


def test_an_archives_names_are_given_back_to_whom_they_belong(host: Host, archive: Source) -> None:
    theirs = replace(BASE, id="sha256:9")
    host.images["docker.io/library/mlucas:latest"] = theirs
    settle(host, archive)
    assert host.images["docker.io/library/mlucas:latest"] == theirs
    leave(host, "mprime-0")
    assert host.images == {"docker.io/library/mlucas:latest": theirs}


HOSTILE = {
    "./manifest.json": describe(BASE_NAME),
    "index.json": {"manifests": [{"annotations": {NAME: f"docker.io/library/{BASE_NAME}"}}]},
    "repositories": {"debian": {"trixie-slim": "1"}},
}


@pytest.mark.parametrize("member", HOSTILE)
def test_an_archive_gives_no_image_a_name_wherever_it_has_names(
    host: Host, tmp_path: Path, member: str
) -> None:
    theirs = {f"docker.io/library/{name}": BASE for name in (BASE_NAME, "mlucas:latest")}
    host.images |= theirs
    host.archive = MLUCAS
    file = write_archive(
        tmp_path / "image.tar", describe("mlucas:latest"), **{member: HOSTILE[member]}
    )
    # As a hook that is killed right afterwards leaves it.
    obtain(host.engine, replace(SOURCES, archive=file), lambda _: None)
    assert host.images.items() >= theirs.items()
    ours = [name for name, each in host.images.items() if each.id == MLUCAS.id]
    assert all("mprime-charm/" in name for name in ours)


def test_an_archive_is_handed_on_with_its_configuration_and_layers(tmp_path: Path) -> None:
    file = write_archive(tmp_path / "image.tar", describe("mlucas:latest"))
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
        patch.setattr(image, "_mark", lambda *_: None)
        obtain(host.engine, archive, lambda _: None)
    settle(host, archive)
    leave(host, "mprime-0")
    assert not [name for name in host.images if "mprime-charm" in name]


def test_an_empty_archive_counts_as_none(host: Host, tmp_path: Path) -> None:
    empty = tmp_path / "empty.tar"
    empty.touch()
    host.registry[TAG] = MLUCAS
    source = replace(BY_TAG, archive=empty)
    obtain(host.engine, source, lambda _: None)
    assert host.did == [f"pull {TAG}"]
    assert source.title == f"image {TAG}"


@pytest.mark.parametrize(
    "manifest", [[], [{}, {}], [{"Config": "x"}], {"RepoTags": []}, "x", 1, [1], [[]], [None]]
)
def test_an_archive_of_anything_but_one_image_is_refused(
    host: Host, tmp_path: Path, manifest: Any
) -> None:
    file = write_archive(tmp_path / "image.tar", manifest)
    with pytest.raises(ImageError, match=r"^resource mprime-image: .*attach what docker save"):
        obtain(host.engine, replace(SOURCES, archive=file), lambda _: None)
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
    with pytest.raises(ImageError, match=r"^resource mprime-image: unexpected EOF$"):
        obtain(host.engine, archive, lambda _: None)


@pytest.mark.parametrize(
    ("machine", "unbuildable", "built"),
    [("x86_64", "", "mprime"), ("x86_64", "mprime", "mlucas"), ("aarch64", "", "mlucas")],
)
def test_an_image_is_built_with_mprime_where_that_can_be_had(
    host: Host,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    machine: str,
    unbuildable: str,
    built: str,
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    host.registry[BASE_NAME] = BASE
    host.unbuildable = {unbuildable}
    with caplog.at_level(logging.WARNING):
        found = settle(host, SOURCES)
    assert found.labels["mersenne.engine"] == built
    told = ["there is no image with mprime: a build step ended with code 6"] if unbuildable else []
    assert [record.getMessage() for record in caplog.records] == told
    assert ids(host) == {found.id}, "the base that was pulled for it is of no more use"
    host.unbuildable = set()
    settle(host, SOURCES)
    assert host.did == [f"pull {BASE_NAME}", f"build {built}", "prune"]
    leave(host, "mprime-0")
    assert host.images == {}


@pytest.mark.parametrize("prefers", ["mlucas", "mprime"])
def test_a_program_whose_work_there_is_stays_the_one(host: Host, prefers: str) -> None:
    host.registry[BASE_NAME] = BASE
    source = replace(SOURCES, prefers=prefers)
    assert settle(host, source).labels["mersenne.engine"] == prefers
    host.unbuildable = {prefers}
    host.images.clear()
    with pytest.raises(ImageError, match=f"^no image can be built here: {prefers}: a build step"):
        obtain(host.engine, source, lambda _: None)


def test_a_base_that_was_here_before_is_neither_pulled_nor_removed(host: Host) -> None:
    host.images[f"docker.io/library/{BASE_NAME}"] = BASE
    settle(host, SOURCES)
    assert host.did == ["build mprime", "prune"]
    leave(host, "mprime-0")
    assert ids(host) == {BASE.id}


def test_a_build_gets_the_proxies(host: Host) -> None:
    host.registry[BASE_NAME] = BASE
    proxies = Proxies(http="http://proxy.example:3128")
    obtain(host.engine, replace(SOURCES, proxies=proxies), lambda _: None)
    assert host.build_arguments == proxies.build_arguments


def test_a_recipe_of_another_charm_revision_takes_another_build(
    host: Host, tmp_path: Path
) -> None:
    host.registry[BASE_NAME] = BASE
    for kind in ("mlucas", "mprime"):
        (tmp_path / kind).mkdir()
        (tmp_path / kind / "Dockerfile").write_text(f"ARG BASE={BASE_NAME}\n")
    source = replace(SOURCES, context=tmp_path, prefers="mlucas")
    settle(host, source)
    (tmp_path / "mlucas" / "Dockerfile").write_text(f"# New\nARG BASE={BASE_NAME}\n")
    settle(host, source)
    assert host.did.count("build mlucas") == 2


@pytest.mark.parametrize(
    ("source", "title"),
    [(BY_TAG, f"image {TAG}"), (SOURCES, "the image that was built here")],
)
def test_a_message_says_which_image_it_is_about(source: Source, title: str) -> None:
    assert source.title == title


def test_the_charm_attaches_the_resource_and_tells_of_it_by_name(
    host: Host, run: Callable[..., testing.State], archive: Source
) -> None:
    host.resource = archive.archive
    assert run(image=TAG).unit_status == testing.ActiveStatus("M110503: 0.0 %")
    assert "load" in host.did
    host.archive = replace(MPRIME, id="sha256:7", labels={})
    assert archive.archive
    write_archive(archive.archive, describe())
    status = run(image=TAG).unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert status.message.startswith("resource mprime-image: its label mersenne.engine is ''")
    assert host.containers["mprime-0"].image == MLUCAS.id


def test_a_resource_that_juju_can_no_longer_hand_out_blocks_and_the_search_goes_on(
    host: Host, run: Callable[..., testing.State], archive: Source
) -> None:
    host.registry[TAG] = MPRIME
    host.resource = archive.archive
    run(image=TAG)
    before = host.containers["mprime-0"]
    host.resource = None
    status = run(image=TAG).unit_status
    assert status == testing.BlockedStatus(
        "resource mprime-image: resource mprime-image not found; the next hook tries again"
    )
    assert host.containers["mprime-0"] is before


def test_a_neighbours_archive_is_no_reason_to_wait_for_one(host: Host, archive: Source) -> None:
    settle(host, replace(archive, owner="mprime-1"))
    host.registry[TAG] = MPRIME
    found = settle(host, replace(BY_TAG, no_archive="connection refused"))
    assert found.id == MPRIME.id


def test_the_models_proxies_reach_the_engine(
    host: Host, run: Callable[..., testing.State], monkeypatch: pytest.MonkeyPatch
) -> None:
    host.registry[TAG] = MLUCAS
    seen: list[Proxies] = []
    monkeypatch.setattr("image.settle_proxies", lambda _, proxies, __: seen.append(proxies) or "")
    monkeypatch.setenv("JUJU_CHARM_HTTP_PROXY", "http://one:1")
    monkeypatch.setenv("JUJU_CHARM_HTTPS_PROXY", "http://two:2")
    monkeypatch.setenv("JUJU_CHARM_NO_PROXY", "localhost")
    run("install", image=TAG)
    assert seen == [Proxies("http://one:1", "http://two:2", "localhost")]
