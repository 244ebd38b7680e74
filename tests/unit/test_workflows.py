"""What GitHub's workflows name is there; their form and safety are zizmor's, which lint runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHARMS = sorted(file.parent.name for file in ROOT.glob("charms/*/charmcraft.yaml"))
RUNNERS = {
    "ubuntu@22.04:amd64": "ubuntu-22.04",
    "ubuntu@22.04:arm64": "ubuntu-22.04-arm",
    "ubuntu@24.04:amd64": "ubuntu-24.04",
    "ubuntu@24.04:arm64": "ubuntu-24.04-arm",
}


def load(workflow: str) -> dict[Any, Any]:
    return yaml.safe_load((ROOT / ".github" / "workflows" / f"{workflow}.yaml").read_text())


def test_every_charm_can_be_released_and_promoted() -> None:
    # To YAML 1.1, `on` is a boolean.
    assert load("release")[True]["push"]["tags"] == [f"{charm}/v*" for charm in CHARMS]
    assert load("promote")[True]["workflow_dispatch"]["inputs"]["charm"]["options"] == CHARMS


def test_charms_are_packed_on_each_platform_that_they_are_for() -> None:
    runners = load("ci")["jobs"]["pack"]["strategy"]["matrix"]["system"]
    for charm in CHARMS:
        metadata = yaml.safe_load((ROOT / "charms" / charm / "charmcraft.yaml").read_text())
        assert sorted(RUNNERS[platform] for platform in metadata["platforms"]) == sorted(runners)
