"""Builds an image of `images/` on a machine of a model, without any registry to begin from.

The base image that its Dockerfile asks for is made of the distribution's own packages, and the
result is kept as a `docker save` archive in `.cache/images`.
"""

from __future__ import annotations

import hashlib
import platform
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from tools.locks import hold_lock
from tools.pack import ROOT

IMAGES = ROOT / "images"
CACHE = ROOT / ".cache" / "images"
# The first releases that have what images are made of, Mlucas 20 and FLINT 3: suite, components.
SUITES = {"debian": ("trixie", "main"), "ubuntu": ("noble", "main universe")}

# Runs on the machine as root: what is copied there is $1/base.tar and $1/context.
BUILD = """
set -eu
cd "$1"
if ! command -v docker >/dev/null; then
    apt-get update -q
    apt-get install -q -y --no-install-recommends docker.io
fi
docker import base.tar localhost/base:latest
docker build --quiet --build-arg BASE=localhost/base:latest --tag "$2" context
docker save --output image.tar "$2"
docker image rm "$2" localhost/base:latest
chmod 644 image.tar
"""

# Runs `juju` with these arguments and returns what it printed.
Juju = Callable[..., str]


class ImageError(Exception):
    """An image could not be built; the text says why."""


def find_archive(name: str) -> Path:
    """Return where the archive of an image lies, or will: its name changes with its recipe."""
    digest = hashlib.sha256(f"{SUITES} {platform.machine()}\0".encode())
    for file in sorted(p for p in (IMAGES / name).rglob("*") if p.is_file()):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(IMAGES)} {content}\0".encode())
    return CACHE / f"{name}-{digest.hexdigest()[:12]}.tar"


def build_base() -> Path:
    """Make the base image's file system; about 15 s, once.

    Raises:
        ImageError: the distribution's archive is not configured, or not reachable.
    """
    uri, suite, components = _choose_source()
    base = CACHE / f"base-{suite}.tar"
    with hold_lock(base.with_suffix(".lock")):
        if not base.exists():
            draft = base.with_suffix(".partial.tar")
            source = f"deb {uri} {suite} {components}"
            command = ["/usr/bin/mmdebstrap", "--mode=root", "--variant=apt"]
            _run([*command, suite, str(draft), source])
            draft.replace(base)
    return base


def build_image(name: str, unit: str, juju: Juju) -> Path:
    """Build an image on a unit's machine and return its archive; nothing to do if it is there.

    Raises:
        ImageError: it can't be built.
    """
    archive = find_archive(name)
    with hold_lock(archive.with_suffix(".lock")):
        if not archive.exists():
            _build(name, build_base(), archive, unit, juju)
    return archive


def choose_architecture(architecture: str | None) -> tuple[str, ...]:
    """Return what tells mmdebstrap whose packages to take, if not the machine's own.

    Whether their programs run here is its caller's concern: its own look at that needs arch-test.
    """
    if architecture is None:
        return ()
    return (f"--architectures={architecture}", "--skip=check/qemu")


def _build(name: str, base: Path, archive: Path, unit: str, juju: Juju) -> None:
    # A folder that an ordinary user can write to: on Juju, ssh and scp are one's.
    folder = f"/tmp/image-{name}"  # noqa: S108
    juju("ssh", unit, f"rm -rf {folder} && mkdir -p {folder}")
    juju("scp", str(base), f"{unit}:{folder}/base.tar")
    juju("scp", "-r", str(IMAGES / name), f"{unit}:{folder}/context")
    juju("ssh", unit, f"sudo sh -c '{BUILD}' build {folder} {name}:latest >&2")
    draft = archive.with_suffix(".partial.tar")
    juju("scp", f"{unit}:{folder}/image.tar", str(draft))
    juju("ssh", unit, f"sudo rm -rf {folder}")
    draft.replace(archive)


def _choose_source() -> tuple[str, str, str]:
    """Return address, suite and components of the archive that the base is made from.

    It is that which this machine's own apt uses, which has newer suites, too.
    """
    release = platform.freedesktop_os_release()
    fields = "$(ORIGIN)|$(REPO_URI)|$(RELEASE)"
    listing = _run(
        ["/usr/bin/apt-get", "indextargets", "--format", fields, "Created-By: Packages"]
    )
    for line in listing.splitlines():
        origin, uri, suite = line.split("|")
        if origin.lower() == release["ID"] and suite == release["VERSION_CODENAME"]:
            return uri, *SUITES[release["ID"]]
    raise ImageError(f"apt knows no archive of {release['PRETTY_NAME']}: run apt-get update")


def _run(command: list[str]) -> str:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        words = re.findall(r"^E: (.*)$", done.stderr, re.MULTILINE) or [done.stderr.strip()]
        raise ImageError(f"{Path(command[0]).name}: {words[0]}")
    return done.stdout
