"""The root file system of a release that is not this host's: Ubuntu 22.04's."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

import pytest
from aptsources.distinfo import DistInfo

from localmodel.machines import template

RELEASE = ("ubuntu", "22.04", "jammy")

# Whom its archive is signed by; the package never changes, and Debian has none of that name.
KEYRING = "ubuntu-keyring"
KEYRING_SHA256 = "0d0e7ed6b112f5d03eabf3c7eb01ebdacf9c57714b279e90495cfc58c8c4520f"


@pytest.fixture(scope="module")
def archive() -> str:
    """The address of Ubuntu's archive, as python-apt knows it."""
    templates = [t for t in DistInfo(dist="Ubuntu").templates if t.name == RELEASE[2]]
    return next(t.base_uri for t in templates if t.base_uri and t.base_uri.startswith("http"))


@pytest.fixture(scope="module")
def keyring(archive: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ubuntu's keys, out of a package that is known by its hash."""
    folder = tmp_path_factory.mktemp("apt")
    for name in ("state/lists/partial", "cache/archives/partial", "parts"):
        (folder / name).mkdir(parents=True)
    sources = folder / "sources.list"
    sources.write_text(f"deb [allow-insecure=yes] {archive} {RELEASE[2]} main\n")
    (folder / "status").touch()
    settings = {
        "Dir::Etc::SourceList": sources,
        "Dir::Etc::SourceParts": folder / "parts",
        "Dir::State": folder / "state",
        "Dir::State::Status": folder / "status",
        "Dir::Cache": folder / "cache",
        "APT::Sandbox::User": "root",
    }
    apt = ["/usr/bin/apt-get", "-q", *(f"-o{key}={value}" for key, value in settings.items())]
    run(*apt, "update", folder=folder)
    run(*apt, "--allow-unauthenticated", "download", KEYRING, folder=folder)
    (package,) = folder.glob("*.deb")
    assert hashlib.sha256(package.read_bytes()).hexdigest() == KEYRING_SHA256
    run("/usr/bin/dpkg-deb", "--extract", str(package), "keys", folder=folder)
    return folder / "keys/usr/share/keyrings/ubuntu-archive-keyring.gpg"


def run(*argv: str, folder: Path) -> None:
    subprocess.run(argv, check=True, capture_output=True, cwd=folder)


def test_the_root_of_ubuntu_22_04_has_its_programs_where_machines_look_for_them(
    archive: str, keyring: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Without the engine, which takes most of the time; sudo has the folder of its rules.
    monkeypatch.setattr(template, "PACKAGES", ("sudo", "systemd", "systemd-sysv"))
    root = tmp_path / "jammy"
    sources = [f"deb [signed-by={keyring}] {archive} {RELEASE[2]} main universe"]
    template.build_root(root, RELEASE, sources, lambda what, share: None)
    assert (root / "usr/bin/systemctl").is_file()
    assert {name: (root / name).readlink() for name in ("bin", "sbin", "lib")} == {
        "bin": Path("usr/bin"),
        "sbin": Path("usr/sbin"),
        "lib": Path("usr/lib"),
    }
    enabled = root / "etc/systemd/system/sysinit.target.wants/localmodel-host.service"
    assert enabled.is_symlink()
