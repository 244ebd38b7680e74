from __future__ import annotations

import ast
import re
import sys
from collections.abc import Mapping
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import tomli

ROOT = Path(__file__).parents[2]
KINDS = ("lib", "charms", "snaps", "tests/charms")
PROJECTS = sorted(file.parent for kind in KINDS for file in ROOT.glob(f"{kind}/*/pyproject.toml"))
BUILT = [*PROJECTS, ROOT / "tools" / "charmhelpers"]
OURS = {project.name for project in ROOT.glob("lib/*")}


def normalize(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match.group()).lower()


def read_lines(*files: str) -> list[str]:
    texts = ((ROOT / "requirements" / file).read_text() for file in files)
    return [line for text in texts for line in text.splitlines()]


def read_pins() -> set[str]:
    return {normalize(line) for line in read_lines("dev.txt", "sdist.txt") if "==" in line}


def read_dependencies(project: Path) -> set[str]:
    settings = tomli.loads((project / "pyproject.toml").read_text())
    return {normalize(name) for name in settings["project"].get("dependencies", [])}


def find_imports(project: Path) -> set[str]:
    """Return the top-level modules that a project's sources import and don't hold."""
    sources = [*(project / "src").rglob("*.py")]
    found: set[str] = set()
    for source in sources:
        for node in ast.walk(ast.parse(source.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                found.add(node.module.split(".")[0])
    # A snap takes the package of the charm whose name it has.
    own = {part.stem for part in (project / "src").iterdir()} | {project.name}
    return found - own - set(sys.stdlib_module_names)


@pytest.mark.parametrize("project", BUILT, ids=lambda project: project.name)
def test_what_a_project_depends_on_is_pinned(project: Path) -> None:
    assert read_dependencies(project) - OURS <= read_pins()


@pytest.fixture(scope="module")
def providers() -> Mapping[str, list[str]]:
    """The distributions that have each module; to find that out reads all that is installed."""
    return packages_distributions()


@pytest.mark.parametrize("project", PROJECTS, ids=lambda project: project.name)
def test_what_a_project_imports_it_depends_on(
    project: Path, providers: Mapping[str, list[str]]
) -> None:
    missing = {
        module
        for module in find_imports(project)
        if not {normalize(name) for name in providers.get(module, [module])}
        & read_dependencies(project)
    }
    assert not missing, f"add to {project.name}/pyproject.toml: {', '.join(sorted(missing))}"


@pytest.mark.parametrize("project", BUILT, ids=lambda project: project.name)
def test_what_builds_a_project_is_pinned(project: Path) -> None:
    settings = tomli.loads((project / "pyproject.toml").read_text())
    wanted = {normalize(name) for name in settings.get("build-system", {}).get("requires", [])}
    assert wanted <= read_pins()


def test_charmhelpers_is_packed_in_the_version_whose_source_is_pinned_by_its_hash() -> None:
    settings = tomli.loads((ROOT / "tools" / "charmhelpers" / "pyproject.toml").read_text())
    wanted = f"charmhelpers=={settings['project']['version']}"
    version, *hashes = read_lines("sdist.txt")
    assert version.split() == [wanted, "\\"]
    assert [each.split("=")[0].strip() for each in hashes] == ["--hash"]
    assert wanted in settings["build-system"]["requires"]


def test_run_fetches_no_build_backend_and_nothing_without_a_hash() -> None:
    script = (ROOT / "run").read_text().replace("\\\n", " ")
    installs = [line for line in script.splitlines() if " pip install " in line]
    assert len(installs) == 5
    ours = [line for line in installs if "--no-deps" in line and "-r " not in line]
    assert len(ours) == 1
    for line in installs:
        assert line in ours or "--require-hashes" in line
        # What is built is built by what is there already.
        ready_made = "--no-build " in line or "--only-binary :all:" in line
        assert ready_made or "--no-build-isolation" in line


def test_requirements_name_no_download_address() -> None:
    for file in (ROOT / "requirements").iterdir():
        assert "://" not in file.read_text()
        assert "--index" not in file.read_text()
