"""Images that an operator attached as an archive."""

from __future__ import annotations

import hashlib
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerhost import ImageError
from harvest import image
from harvest.archive import rewrite
from harvest.image import Source, ensure_image
from lib.harvest.tests.unit.fake_host import BASE, LARGE, NAME, SMALL, Host, read_names
from lib.harvest.tests.unit.images import (
    BASE_NAME,
    BY_TAG,
    OTHER,
    SOURCES,
    TAG,
    describe,
    ensure,
    leave,
    write_archive,
)


@pytest.fixture
def archive(host: Host, tmp_path: Path) -> Source:
    """A source with an archive of the small image, named small:latest."""
    host.archive = SMALL
    file = write_archive(tmp_path / "image.tar", describe("small:latest"))
    return replace(BY_TAG, archive=file)


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


def test_a_neighbours_archive_is_no_reason_to_wait_for_one(host: Host, archive: Source) -> None:
    ensure(host, replace(archive, unit=OTHER))
    host.registry[TAG] = LARGE
    found = ensure(host, replace(BY_TAG, no_archive="connection refused"))
    assert found.id == LARGE.id
