"""Imports run down the floors only, and what knows nothing of Juju imports nothing of it."""

from __future__ import annotations

import pytest

from tests.unit.test_requirements import OURS, ROOT, find_imports

BENEATH = {
    "hostkit": set[str](),
    "dockerhost": {"hostkit"},
    "cosagent": {"hostkit"},
    "harvest": {"cosagent", "dockerhost", "hostkit"},
    "fannet": set[str](),
    "localmodel": set[str](),
}


def test_every_library_has_its_floor() -> None:
    assert set(BENEATH) == OURS


@pytest.mark.parametrize("library", BENEATH)
def test_a_library_imports_those_beneath_it_alone(library: str) -> None:
    assert find_imports(ROOT / "lib" / library) & OURS <= BENEATH[library]


@pytest.mark.parametrize("library", ["hostkit", "dockerhost", "fannet"])
def test_what_knows_nothing_of_juju_imports_no_ops(library: str) -> None:
    assert "ops" not in find_imports(ROOT / "lib" / library)


def test_charmhelpers_is_loaded_in_one_place_alone() -> None:
    sources = [*ROOT.glob("lib/*/src/**/*.py"), *ROOT.glob("charms/*/src/**/*.py")]
    loading = [source for source in sources if '"charmhelpers' in source.read_text()]
    assert [str(source.relative_to(ROOT)) for source in loading] == [
        "lib/hostkit/src/hostkit/charmhelp.py"
    ]
    projects = [*ROOT.glob("lib/*"), *ROOT.glob("charms/*")]
    assert not [each for each in projects if "charmhelpers" in find_imports(each)]
