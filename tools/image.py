"""Builds an image of `images/` on a machine of a model, without any registry to begin from.

The base image that its Dockerfile asks for is made of the distribution's own packages, and the
result is kept as a `docker save` archive in `.cache/images`. An image of another architecture can
be built where its programs run, as with qemu.
"""

from __future__ import annotations

import hashlib
import platform
import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

from tools.locks import hold_lock
from tools.pack import ROOT

IMAGES = ROOT / "images"
CACHE = ROOT / ".cache" / "images"
# The first releases that have what images are made of, Mlucas 20 and FLINT 3: suite, components.
SUITES = {"debian": ("trixie", "main"), "ubuntu": ("noble", "main universe")}

# Runs on the machine as root: what is copied there is $1/base.tar and $1/context. Only BuildKit
# knows, of an image that begins with nothing, which architecture it is for.
BUILD = """
set -eu
cd "$1"
if [ -n "${3-}" ]; then
    export DOCKER_BUILDKIT=1 DOCKER_DEFAULT_PLATFORM="linux/$3"
fi
if ! command -v docker >/dev/null; then
    apt-get update -q
    apt-get install -q -y --no-install-recommends docker.io
fi
mkdir base
mv base.tar base
printf 'FROM scratch\\nADD base.tar /\\n' >base/Dockerfile
docker build --quiet --tag localhost/base:latest base
docker build --quiet --build-arg BASE=localhost/base:latest --tag "$2" context
docker save --output image.tar "$2"
docker image rm "$2" localhost/base:latest >/dev/null
chmod 644 image.tar
"""

# Runs `juju` with these arguments and returns what it printed.
Juju = Callable[..., str]


class ImageError(Exception):
    """An image could not be built; the text says why."""


def find_archive(name: str, architecture: str | None = None) -> Path:
    """Return where the archive of an image lies, or will: its name changes with its recipe."""
    digest = hashlib.sha256(f"{SUITES} {architecture or platform.machine()}\0".encode())
    for file in sorted(p for p in (IMAGES / name).rglob("*") if p.is_file()):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(IMAGES)} {content}\0".encode())
    return CACHE / f"{name}-{digest.hexdigest()[:12]}.tar"


def build_base(architecture: str | None = None) -> Path:
    """Make the base image's file system; about 15 s, once.

    Args:
        architecture: dpkg's name of one whose programs run here, if not this machine's own.

    Raises:
        ImageError: the distribution's archive is not configured, or not reachable.
    """
    uri, suite, components = _choose_source()
    base = CACHE / f"{'-'.join(filter(None, ('base', suite, architecture)))}.tar"
    with hold_lock(base.with_suffix(".lock")):
        if not base.exists():
            draft = base.with_suffix(".partial.tar")
            source = f"deb {uri} {suite} {components}"
            command = ["/usr/bin/mmdebstrap", "--mode=root", "--variant=apt"]
            _run([*command, *choose_architecture(architecture), suite, str(draft), source])
            draft.replace(base)
    return base


def build_image(name: str, unit: str, juju: Juju, architecture: str | None = None) -> Path:
    """Build an image on a machine and return its archive; nothing to do if it is there.

    Args:
        name: of its folder.
        unit: whose machine it is, or the machine's own number.
        juju: runs the commands.
        architecture: dpkg's name of one whose programs run there, if not the machine's own.

    Raises:
        ImageError: it can't be built.
    """
    archive = find_archive(name, architecture)
    with hold_lock(archive.with_suffix(".lock")):
        if not archive.exists():
            base = build_base(architecture)
            _build(name, base, archive, unit, juju, architecture or "")
    return archive


def choose_architecture(architecture: str | None) -> tuple[str, ...]:
    """Return what tells mmdebstrap whose packages to take, if not the machine's own.

    Whether their programs run here is its caller's concern: its own look at that needs arch-test.
    """
    if architecture is None:
        return ()
    return (f"--architectures={architecture}", "--skip=check/qemu")


def _build(name: str, base: Path, archive: Path, unit: str, juju: Juju, architecture: str) -> None:
    # A folder that an ordinary user can write to: on Juju, ssh and scp are one's.
    folder = f"/tmp/image-{name}"  # noqa: S108
    juju("ssh", unit, f"rm -rf {folder} && mkdir -p {folder}")
    juju("scp", str(base), f"{unit}:{folder}/base.tar")
    juju("scp", "-r", str(IMAGES / name), f"{unit}:{folder}/context")
    build = f"sudo sh -c {shlex.quote(BUILD)}"
    juju("ssh", unit, f"{build} build {folder} {name}:latest {architecture} >&2")
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
