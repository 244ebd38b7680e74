"""Every charm that installs packages has the two options that operators know for that."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CHARMS = [file.parent.name for file in sorted(ROOT.glob("charms/*/charmcraft.yaml"))]
NAMES = ("install_sources", "install_keys")


def read_options(charm: str) -> dict[str, Any]:
    listed = yaml.safe_load((ROOT / "charms" / charm / "charmcraft.yaml").read_text())
    return {name: listed["config"]["options"][name] for name in NAMES}


@pytest.mark.parametrize("charm", CHARMS)
def test_a_charm_has_both_options_empty_unless_somebody_sets_them(charm: str) -> None:
    for option in read_options(charm).values():
        assert (option["type"], option["default"]) == ("string", "")


@pytest.mark.parametrize("charm", CHARMS)
def test_a_charms_readme_names_both_options(charm: str) -> None:
    readme = (ROOT / "charms" / charm / "README.md").read_text()
    for name in NAMES:
        assert f"`{name}`" in readme


def test_they_are_explained_alike_in_all_charms() -> None:
    options = [read_options(charm) for charm in CHARMS]
    assert all(each == options[0] for each in options)
