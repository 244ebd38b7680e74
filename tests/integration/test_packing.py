"""Real packing, with charmcraft."""

from __future__ import annotations

import platform
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools import pack
from tools.building import BuildError


@pytest.fixture(scope="module")
def packed() -> dict[str, Path]:
    return pack.pack()


def test_every_charm_is_packed_with_its_dependencies(packed: dict[str, Path]) -> None:
    assert set(packed) >= {"apache2", "registry"}
    major, minor, _ = platform.python_version_tuple()
    for file in packed.values():
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
        assert {"metadata.yaml", "manifest.yaml", "dispatch", "src/charm.py"} <= {*names}
        assert f"venv/lib/python{major}.{minor}/site-packages/ops/__init__.py" in names


def test_byte_code_is_valid_whatever_times_juju_gives_to_files(packed: dict[str, Path]) -> None:
    """Else each unit's first hook would compile what it imports; see PEP 552 for the flags."""
    for charm in packed.values():
        with zipfile.ZipFile(charm) as archive:
            compiled = [name for name in archive.namelist() if name.endswith(".pyc")]
            flags = {archive.read(name)[4] for name in compiled}
        assert "venv/lib/python" in compiled[0]
        assert flags == {0b11}, charm.name  # by contents, and checked


def test_libraries_of_the_repository_are_packed_as_files_not_as_links(
    packed: dict[str, Path],
) -> None:
    for name, charm in pack.find_charms().items():
        with zipfile.ZipFile(packed[name]) as archive:
            names = archive.namelist()
        for library in pack.find_libraries(charm):
            assert [n for n in names if n.endswith(f"/site-packages/{library.name}/__init__.py")]
        assert not [n for n in names if n.endswith(".pth")]


def test_a_charm_without_tables_of_encodings_loads_the_engines_client_in_silence(
    packed: dict[str, Path], tmp_path: Path
) -> None:
    with zipfile.ZipFile(packed["spare"]) as archive:
        archive.extractall(tmp_path)
    (packages,) = tmp_path.glob("venv/lib/python3*/site-packages")
    assert (packages / "requests").is_dir()
    assert not (packages / "charset_normalizer").exists()
    # As a hook does it: without this environment's packages.
    load = [sys.executable, "-S", "-c", "import dockerhost"]
    path = {"PYTHONPATH": str(packages)}
    done = subprocess.run(load, env=path, check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_packing_builds_nothing_with_what_it_would_have_to_fetch_for_that(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "DIST", tmp_path / "dist")
    monkeypatch.setattr(pack, "WORK", tmp_path / "work")
    fit = pack._fit_to_host
    # As it would be with the libraries' sources in the place of their wheels.
    monkeypatch.setattr(pack, "_fit_to_host", lambda project, wheels: fit(project, {}))
    with pytest.raises(BuildError) as failure:
        pack.pack(["mprime"])
    assert "marked as `--no-build`" in failure.value.output


def test_an_unchanged_charm_is_not_packed_again(packed: dict[str, Path]) -> None:
    before = {file: file.stat().st_mtime_ns for file in packed.values()}
    assert {file: file.stat().st_mtime_ns for file in pack.pack().values()} == before


def test_a_file_put_in_a_packed_charms_place_is_packed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In folders of its own: tests that run at the same time deploy what lies in dist/.
    monkeypatch.setattr(pack, "DIST", tmp_path / "dist")
    monkeypatch.setattr(pack, "WORK", tmp_path / "work")
    file = pack.pack(["apache2"])["apache2"]
    file.write_bytes(b"not a charm")
    pack.pack(["apache2"])
    assert zipfile.is_zipfile(file)


def test_a_snap_has_the_same_bytes_wherever_and_whenever_it_is_packed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[bytes] = []
    for folder in (tmp_path / "one", tmp_path / "two"):
        monkeypatch.setattr(pack, "DIST", folder / "dist")
        monkeypatch.setattr(pack, "WORK", folder / "work")
        made.append(pack.pack(["snaps/mprime"])["snaps/mprime"].read_bytes())
    assert made[0] == made[1]
