"""Root file systems of the releases that users have, for what does not need their kernels.

Only unpacked, so that it takes seconds; they are kept in `.cache/roots`. They come from the mirror
that this host's apt has, where the archives of Debian and Ubuntu are beside each other.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import NamedTuple

from localmodel.machines.processes import run
from localmodel.machines.template import host_release, host_sources
from tools.locks import hold
from tools.pack import ROOT

CACHE = ROOT / ".cache" / "roots"
KEYRINGS = Path("/usr/share/keyrings")
COMPONENTS = {"debian": "main", "ubuntu": "main universe"}
# Debian 12 has no package with Ubuntu's keys; that of Ubuntu 22.04 has this file.
UBUNTU_KEYS = "1a4dd63e5c76728960a2edddae22e2e0fc53df8e8b87806deb971030ac704eb0"


class Release(NamedTuple):
    """A distribution's release; `name` is its code name."""

    distribution: str
    name: str


def build_root(release: Release, *packages: str) -> Path:
    """Return a root file system with some packages and what they depend on.

    Raises:
        LocalModelError: the mirror does not have them.
    """
    recipe = hashlib.sha256(repr((release, packages)).encode()).hexdigest()[:12]
    root = CACHE / f"{release.name}-{recipe}"
    with hold(CACHE / "lock"):
        if not root.exists():
            keys = _find_keys(release)
            _unpack(root, release, f"signed-by={keys}", packages)
    return root


def _unpack(root: Path, release: Release, option: str, packages: tuple[str, ...]) -> None:
    draft = root.with_suffix(".partial")
    shutil.rmtree(draft, ignore_errors=True)
    archive = f"{_find_mirror()}/{release.distribution}"
    run(
        *("/usr/bin/mmdebstrap", "--quiet", "--mode=root", "--variant=extract"),
        *(f"--include={','.join(packages)}", release.name, draft),
        f"deb [{option}] {archive} {release.name} {COMPONENTS[release.distribution]}",
    )
    draft.rename(root)


def _find_mirror() -> str:
    """Return where the host's own distribution has its archive, but for its last word."""
    distribution = host_release()[0]
    addresses = (source.split()[1].rstrip("/") for source in host_sources())
    return next(a for a in addresses if a.endswith(f"/{distribution}")).rpartition("/")[0]


def _find_keys(release: Release) -> Path:
    """Return the keys that a distribution signs its archive with."""
    name = f"{release.distribution}-archive-keyring.gpg"
    if (KEYRINGS / name).exists() or release.distribution != "ubuntu":
        return KEYRINGS / name
    root = CACHE / "ubuntu-keyring"
    if not root.exists():
        # What comes with nothing to tell by whom it was signed is compared with what is known.
        _unpack(root, Release("ubuntu", "jammy"), "trusted=yes", ("ubuntu-keyring",))
    keys = root / KEYRINGS.relative_to("/") / name
    found = hashlib.sha256(keys.read_bytes()).hexdigest()
    assert found == UBUNTU_KEYS, f"{keys} has the SHA-256 {found}; remove it and try again"
    return keys
