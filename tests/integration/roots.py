"""Root file systems of the releases that users have, for what does not need their kernels.

They are kept in `.cache/roots`, and come from the mirror that this host's apt has, where the
archives of Debian and Ubuntu are beside each other.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import NamedTuple

from localmodel.machines.processes import run
from localmodel.machines.template import MORE_PACKAGES, read_host_release, read_host_sources
from tools import image
from tools.locks import hold_lock
from tools.pack import ROOT

CACHE = ROOT / ".cache" / "roots"
KEYRINGS = Path("/usr/share/keyrings")
COMPONENTS = {"debian": "main", "ubuntu": "main universe"}


class Release(NamedTuple):
    """A distribution's release; `name` is its code name."""

    distribution: str
    name: str


class Keyring(NamedTuple):
    """A package with the keys of a distribution's archive, and the SHA-256 of the file in it."""

    package: str
    release: Release
    sha256: str


# For a host of another distribution. Releases whose own archive changes no more.
FOREIGN_KEYS = {
    "debian": Keyring(
        "debian-archive-keyring",
        Release("ubuntu", "noble"),
        "0ae76038c1b1c9dd42647f0d71733523a7633b371d2f2ce9b7ea39b1a95e53ce",
    ),
    "ubuntu": Keyring(
        "ubuntu-keyring",
        Release("ubuntu", "jammy"),
        "1a4dd63e5c76728960a2edddae22e2e0fc53df8e8b87806deb971030ac704eb0",
    ),
}


def build_root(release: Release, *packages: str) -> Path:
    """Return a root file system with some packages and what they depend on.

    They are only unpacked, which takes seconds.

    Raises:
        LocalModelError: the mirror does not have them.
    """
    return _build(release, "extract", packages)


def build_minimal_root(release: Release, *packages: str, architecture: str | None = None) -> Path:
    """Return a release's root file system, set up, with apt and what no machine is without.

    Args:
        release: whose.
        packages: what else is installed there.
        architecture: dpkg's name of one whose programs run here, if not this machine's own.

    Raises:
        LocalModelError: the mirror does not have them.
    """
    more = MORE_PACKAGES.get(release.name, ())
    return _build(release, "minbase", ("apt", "systemd", *more, *packages), architecture)


def list_archives(release: Release) -> str:
    """Return what a release's own apt has as its sources: the release and its updates."""
    archive = f"{_find_mirror()}/{release.distribution}"
    suites = (release.name, f"{release.name}-updates")
    parts = COMPONENTS[release.distribution]
    return "".join(f"deb {archive} {suite} {parts}\n" for suite in suites)


def _build(
    release: Release, variant: str, packages: tuple[str, ...], architecture: str | None = None
) -> Path:
    recipe = hashlib.sha256(repr((release, variant, packages)).encode()).hexdigest()[:12]
    name = f"{release.name}-{architecture}" if architecture else release.name
    root = CACHE / f"{name}-{recipe}"
    with hold_lock(CACHE / "lock"):
        if not root.exists():
            keys = _find_keys(release)
            _make(root, release, variant, f"signed-by={keys}", packages, architecture)
    return root


def _make(
    root: Path,
    release: Release,
    variant: str,
    option: str,
    packages: tuple[str, ...],
    architecture: str | None = None,
) -> None:
    draft = root.with_suffix(".partial")
    shutil.rmtree(draft, ignore_errors=True)
    archive = f"{_find_mirror()}/{release.distribution}"
    run(
        *("/usr/bin/mmdebstrap", "--quiet", "--mode=root", f"--variant={variant}"),
        *image.choose_architecture(architecture),
        *(f"--include={','.join(packages)}", release.name, draft),
        f"deb [{option}] {archive} {release.name} {COMPONENTS[release.distribution]}",
    )
    draft.rename(root)


def _find_mirror() -> str:
    """Return where the host's own distribution has its archive, but for its last word."""
    distribution = read_host_release()[0]
    addresses = (source.split()[1].rstrip("/") for source in read_host_sources())
    return next(a for a in addresses if a.endswith(f"/{distribution}")).rpartition("/")[0]


def _find_keys(release: Release) -> Path:
    """Return the keys that a distribution signs its archive with."""
    distribution = release.distribution
    name = f"{distribution}-archive-keyring.gpg"
    if distribution == read_host_release()[0]:
        return KEYRINGS / name
    keyring = FOREIGN_KEYS[distribution]
    root = CACHE / keyring.package
    if not root.exists():
        # What comes with nothing to tell by whom it was signed is compared with what is known.
        _make(root, keyring.release, "extract", "trusted=yes", (keyring.package,))
    keys = root / KEYRINGS.relative_to("/") / name
    found = hashlib.sha256(keys.read_bytes()).hexdigest()
    assert found == keyring.sha256, f"{keys} has the SHA-256 {found}; remove it and try again"
    return keys
