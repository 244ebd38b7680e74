"""Images that are built on the machine."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from dockerhost import ImageError, Proxies
from harvest.image import ensure_image
from lib.harvest.tests.unit.fake_host import BASE, Host
from lib.harvest.tests.unit.images import (
    BASE_NAME,
    BASE_TAG,
    SOURCES,
    ensure,
    ids,
    leave,
)


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
