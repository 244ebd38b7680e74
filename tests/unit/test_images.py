from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCKERFILES = sorted((Path(__file__).parents[2] / "images").glob("*/Dockerfile"))
PINNED = r"ARG BASE=debian:trixie-slim@sha256:[0-9a-f]{64}"


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.parent.name)
def test_an_image_begins_from_a_base_that_is_pinned_by_its_digest(file: Path) -> None:
    lines = file.read_text().splitlines()
    assert [bool(re.fullmatch(PINNED, x)) for x in lines if x.startswith("ARG BASE")] == [True]
    begins = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert {"${BASE}"} <= set(begins) <= {"${BASE}", "scratch"}


def test_all_images_begin_from_the_same_base() -> None:
    bases = {re.findall(PINNED, file.read_text())[0] for file in DOCKERFILES}
    assert len(bases) == 1
