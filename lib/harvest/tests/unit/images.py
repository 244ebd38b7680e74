"""What the tests of images share: references, archives, and what a hook does with an image."""

from __future__ import annotations

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from dockerhost import Container, Image
from harvest.image import Source, ensure_image, remove_images
from harvest.unit import Unit
from lib.harvest.tests.unit.fake_host import Host

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
