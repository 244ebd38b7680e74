"""What Charmhub shows of a charm, and what Juju is told of it, is there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import tomli
import yaml

ROOT = Path(__file__).parents[2]
CHARMS = sorted(ROOT.glob("charms/*"))
SOURCE = tomli.loads((ROOT / "pyproject.toml").read_text())["project"]["urls"]["source"]
pytestmark = pytest.mark.parametrize("charm", CHARMS, ids=lambda charm: charm.name)


def read_metadata(charm: Path) -> dict[str, Any]:
    return yaml.safe_load((charm / "charmcraft.yaml").read_text())


def test_a_charms_links_lead_to_the_one_address_of_the_project(charm: Path) -> None:
    links = read_metadata(charm)["links"]
    assert links.pop("website").startswith("https://")
    assert links == {
        "contact": f"{SOURCE}/discussions",
        "documentation": f"{SOURCE}/blob/main/charms/{charm.name}/README.md",
        "issues": f"{SOURCE}/issues",
        "source": f"{SOURCE}/tree/main/charms/{charm.name}",
    }


def test_a_charm_is_listed_with_title_summary_and_description(charm: Path) -> None:
    metadata = read_metadata(charm)
    assert metadata["name"] == charm.name
    assert metadata["title"]
    # Charmcraft and Charmhub cut longer ones.
    assert 0 < len(metadata["summary"]) <= 78
    assert metadata["description"].count("\n\n") >= 1


def test_a_charm_says_which_juju_releases_and_architectures_it_is_for(charm: Path) -> None:
    metadata = read_metadata(charm)
    assert metadata["subordinate"] is True
    assert metadata["assumes"] == ["juju >= 3.6"]
    releases, architectures = ("ubuntu@22.04", "ubuntu@24.04"), ("amd64", "arm64")
    assert set(metadata["platforms"]) == {
        f"{release}:{architecture}" for release in releases for architecture in architectures
    }


def test_each_endpoint_says_whether_it_is_optional(charm: Path) -> None:
    metadata = read_metadata(charm)
    endpoints: Mapping[str, Any] = {
        name: endpoint
        for role in ("requires", "provides", "peers")
        for name, endpoint in metadata.get(role, {}).items()
    }
    assert [name for name, each in endpoints.items() if not each["optional"]] == ["juju-info"]


def test_each_action_refuses_parameters_that_it_does_not_have(charm: Path) -> None:
    for action in read_metadata(charm)["actions"].values():
        assert action["additionalProperties"] is False
        assert action["description"]


def test_each_option_has_a_default_and_a_description(charm: Path) -> None:
    for name, option in read_metadata(charm)["config"]["options"].items():
        # A secret is an operator's own; there is none to begin with.
        assert ("default" in option) == (option["type"] != "secret"), name
        assert option["description"]


def test_each_resource_is_described(charm: Path) -> None:
    for resource in read_metadata(charm).get("resources", {}).values():
        assert resource["type"] == "file"
        assert resource["description"]


def test_a_charm_has_its_icon_licence_and_page_beside_it_and_packs_them(charm: Path) -> None:
    icon = ElementTree.parse(charm / "icon.svg").getroot()  # noqa: S314 - our own file
    assert (icon.get("width"), icon.get("height")) == ("100", "100")
    assert (charm / "LICENSE").read_text() == (ROOT / "LICENSE").read_text()
    assert (charm / "README.md").read_text().startswith("# ")
    parts = read_metadata(charm)["parts"]
    assert parts["listing"]["stage"] == ["README.md", "icon.svg"]
    assert (charm / parts["license"]["source"]).resolve() == ROOT / "LICENSE"
