"""What is done again and again, by people and by machines, is done with the same words."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pytest
import tomli
import yaml

import fannet

ROOT = Path(__file__).parents[2]


def test_git_hooks_run_what_lint_runs() -> None:
    settings = configparser.ConfigParser(interpolation=None)
    settings.read(ROOT / "tox.ini")
    lint = settings["testenv:lint"]["commands"].replace("{toxinidir}/", "").split("\n")
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    (repository,) = config["repos"]
    assert repository["repo"] == "local"
    assert {hook["entry"] for hook in repository["hooks"]} == {line for line in lint if line}
    assert all(hook["language"] == "system" for hook in repository["hooks"])


def test_the_changelog_tells_of_each_charm_and_of_fannet_in_their_versions() -> None:
    headings = re.findall(r"^## (\S+ \S+),", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    latest = {heading.split()[0]: heading for heading in reversed(headings)}
    expected = {"fannet": f"fannet {fannet.__version__}"}
    for file in ROOT.glob("charms/*/pyproject.toml"):
        version = tomli.loads(file.read_text())["project"]["version"]
        expected[file.parent.name] = f"{file.parent.name} {version}"
    assert latest == expected


def test_contributing_names_tests_that_there_are() -> None:
    named = set(re.findall(r"\b(test_\w+\.py)`", (ROOT / "CONTRIBUTING.md").read_text()))
    folders = [ROOT / name for name in ("charms", "lib", "tests")]
    assert named
    assert named <= {file.name for folder in folders for file in folder.rglob("test_*.py")}


@pytest.mark.parametrize(
    ("charm", "most"), [("mprime", 2300), ("golden-ratio", 400), ("spare", 250)]
)
def test_a_charm_on_harvest_stays_small(charm: str, most: int) -> None:
    sources = (ROOT / "charms" / charm / "src").rglob("*.py")
    assert sum(len(source.read_text().splitlines()) for source in sources) <= most
