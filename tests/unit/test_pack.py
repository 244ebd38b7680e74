from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import tomli
import yaml

from tools import pack


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with the charm `web`, which uses the library `own`, which uses `base`."""
    files = {
        "charms/web/charmcraft.yaml": "name: web\nplatforms: {ubuntu@24.04:amd64: }\n"
        "parts:\n"
        "  charm: {plugin: uv, source: ../.., build-snaps: [astral-uv]}\n"
        "  images: {plugin: dump, source: ../../images}\n",
        "images/one/Dockerfile": "",
        "charms/web/pyproject.toml": '[project]\nname = "web"\n'
        "[tool.uv]\noverride-dependencies = [\"x; python_version < '3'\"]\n"
        '[tool.uv.sources]\nown = {path = "../../lib/own"}\n',
        "charms/web/src/charm.py": "",
        "charms/web/tests/unit/test_charm.py": "",
        "charms/web/src/__pycache__/charm.pyc": "",
        "lib/own/pyproject.toml": '[tool.uv.sources]\nbase = {path = "../base"}\n',
        "lib/own/own.py": "",
        "lib/base/pyproject.toml": "",
        "lib/other/other.py": "",
        "requirements/dev.txt": "ops==3.9.0 \\\n    --hash=sha256:aa\n"
        "tomli==2.4.0 ; python_full_version < '3.11' \\\n    --hash=sha256:bb\n",
        "LICENSE": "",
        ".gitignore": "__pycache__/\n",
    }
    for name, text in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.setattr(pack, "ROOT", tmp_path)
    monkeypatch.setattr(pack, "DIST", tmp_path / "dist")
    monkeypatch.setattr(pack, "WORK", tmp_path / ".cache" / "pack")
    monkeypatch.setattr(pack, "PINS", tmp_path / "requirements" / "dev.txt")
    return tmp_path


def list_inputs(repository: Path) -> list[str]:
    files = pack.find_inputs(repository / "charms" / "web")
    return [str(file.relative_to(repository)) for file in files]


EXPECTED = [
    "LICENSE",
    "charms/web/charmcraft.yaml",
    "charms/web/pyproject.toml",
    "charms/web/src/charm.py",
    "images/one/Dockerfile",
    "lib/base/pyproject.toml",
    "lib/own/own.py",
    "lib/own/pyproject.toml",
]


def test_a_charms_inputs_are_its_files_libraries_and_sources_but_no_tests(
    repository: Path,
) -> None:
    subprocess.run(["/usr/bin/git", "init", "-q", str(repository)], check=True)
    assert list_inputs(repository) == EXPECTED


def test_a_checkout_without_git_packs_the_same_files(repository: Path) -> None:
    assert list_inputs(repository) == EXPECTED


def test_a_file_deleted_but_still_known_to_git_is_no_input(repository: Path) -> None:
    subprocess.run(["/usr/bin/git", "init", "-q", str(repository)], check=True)
    subprocess.run(["/usr/bin/git", "-C", str(repository), "add", "lib"], check=True)
    (repository / "lib" / "own" / "own.py").unlink()
    assert list_inputs(repository) == [name for name in EXPECTED if name != "lib/own/own.py"]


@pytest.mark.parametrize(
    "changed", ["lib/base/pyproject.toml", "charms/web/src/charm.py", "requirements/dev.txt"]
)
def test_whatever_goes_into_a_charm_changes_its_digest(changed: str, repository: Path) -> None:
    charm = repository / "charms" / "web"
    before = pack.digest_inputs(pack.find_inputs(charm))
    with (repository / changed).open("a") as file:
        file.write("# changed\n")
    assert pack.digest_inputs(pack.find_inputs(charm)) != before


def test_a_lost_executable_bit_changes_the_digest(repository: Path) -> None:
    charm = repository / "charms" / "web"
    before = pack.digest_inputs(pack.find_inputs(charm))
    (charm / "src" / "charm.py").chmod(0o755)
    assert pack.digest_inputs(pack.find_inputs(charm)) != before


def test_the_copy_gets_this_machines_platform_the_pinned_versions_and_built_libraries(
    repository: Path,
) -> None:
    charm = repository / "charms" / "web"
    own, base = repository / "lib" / "own", repository / "lib" / "base"
    wheels = {own: own / "own-1-py3-none-any.whl", base: base / "base-2-py3-none-any.whl"}
    pack._fit_to_host(charm, wheels)
    metadata = yaml.safe_load((charm / "charmcraft.yaml").read_text())
    assert metadata["platforms"] == {pack.host_platform(): None}
    assert metadata["parts"]["charm"] == {"plugin": "uv", "source": "../.."}
    settings = tomli.loads((charm / "pyproject.toml").read_text())["tool"]["uv"]
    assert settings["constraint-dependencies"] == [
        "ops==3.9.0",
        "tomli==2.4.0 ; python_full_version < '3.11'",
    ]
    assert settings["sources"] == {
        "own": {"path": "../../lib/own/own-1-py3-none-any.whl"},
        "base": {"path": "../../lib/base/base-2-py3-none-any.whl"},
    }
    # What the charm overrides, and the library that it does not name itself.
    assert settings["override-dependencies"] == ["x; python_version < '3'", "base"]


def test_an_unknown_name_is_refused_with_those_that_there_are(repository: Path) -> None:
    with pytest.raises(pack.UnknownCharmError, match="no charm is called wob; there are: web"):
        pack.pack(["wob"])


def test_a_charm_without_a_project_file_is_refused_by_name(repository: Path) -> None:
    (repository / "charms" / "web" / "pyproject.toml").unlink()
    with pytest.raises(pack.PackError, match="charms/web has no pyproject"):
        pack.pack(["web"])


@pytest.mark.parametrize("text", ["name: [", "- web"])
def test_an_unreadable_charmcraft_file_is_named(text: str, repository: Path) -> None:
    (repository / "charms" / "web" / "charmcraft.yaml").write_text(text)
    with pytest.raises(pack.PackError, match="web/charmcraft"):
        pack.pack(["web"])


def test_a_build_does_not_see_the_callers_python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("VIRTUAL_ENV", "/elsewhere")
    home = Path(os.path.devnull).parent
    environment = pack.build_environment(home)
    assert "/elsewhere" not in environment.values()
    assert environment["XDG_STATE_HOME"] == str(home)


def test_a_build_builds_no_package_whose_build_backend_nothing_pins() -> None:
    assert pack.build_environment(Path(os.path.devnull).parent)["UV_NO_BUILD"] == "true"


@pytest.mark.parametrize("name", ["web.charm", "web_ubuntu@22.04-amd64.charm"])
def test_charms_that_were_packed_elsewhere_are_found_by_name(
    repository: Path, tmp_path: Path, name: str
) -> None:
    packed = tmp_path / "packed"
    packed.mkdir()
    (packed / "webcam.charm").touch()
    (packed / name).touch()
    assert pack.find_packed(packed) == {"web": packed / name}


@pytest.mark.parametrize(
    ("names", "has"),
    [([], "has: none"), (["web.charm", "web_a.charm"], "has: web.charm, web_a.charm")],
)
def test_a_folder_without_the_one_packed_charm_is_refused(
    repository: Path, tmp_path: Path, names: list[str], has: str
) -> None:
    for name in names:
        (tmp_path / name).touch()
    with pytest.raises(
        pack.PackError, match=f"must have one packed charm web, but {has}; pack it"
    ):
        pack.find_packed(tmp_path)
