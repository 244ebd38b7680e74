"""Builds fannet for hosts without Juju into `dist/`: a Debian package, and a wheel.

The Debian package is built by Debian's own tools, which apt has verified, and is the same for all
releases: it holds Python, and BPF programs that no host compiles. Nothing is fetched meanwhile.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from tools import pack
from tools.building import run_tool
from tools.locks import hold_lock

NAME = "fannet"


def build() -> list[Path]:
    """Return the Debian package, then the wheel; they are built only when their sources changed.

    Raises:
        BuildError: a tool failed, or one is missing.
    """
    library = pack.ROOT / "lib" / NAME
    files = pack.list_files(library)
    stamp = pack.WORK / f"{NAME}.stamp"
    with hold_lock(pack.WORK / f"{NAME}.lock"):
        wanted = pack.digest_inputs([*files, Path(__file__).resolve()])  # and this recipe
        made = _find_made()
        if stamp.exists() and stamp.read_text() == _vouch(wanted, made):
            return made
        work = pack.WORK / NAME
        shutil.rmtree(work, ignore_errors=True)
        _copy(files, library, work / "deb" / NAME)
        _copy(files, library, work / "wheel")
        pack.DIST.mkdir(exist_ok=True)
        new = _build_deb(work / "deb" / NAME), _build_wheel(work / "wheel")
        for file in made:
            file.unlink()  # it may be another version's
        made = [file.replace(pack.DIST / file.name) for file in new]
        stamp.write_text(_vouch(wanted, made))
        shutil.rmtree(work)
        return made


def _find_made() -> list[Path]:
    return [*pack.DIST.glob(f"{NAME}_*_all.deb"), *pack.DIST.glob(f"{NAME}-*.whl")]


def _copy(files: list[Path], library: Path, target: Path) -> None:
    for file in files:
        copy = target / file.relative_to(library)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, copy)  # as of now: later than the changelog, whose time all files get


def _build_deb(source: Path) -> Path:
    environment = pack.build_environment(pack.WORK / f"{NAME}.home")
    # Debian's Python and its modules, and none that stand before them on somebody's PATH.
    environment["PATH"] = "/usr/sbin:/usr/bin:/sbin:/bin"
    command = ["/usr/bin/dpkg-buildpackage", "--build=all", "--no-sign"]
    run_tool(command, source, environment, f"{NAME}'s Debian package")
    (deb,) = source.parent.glob("*.deb")
    return deb


def _build_wheel(source: Path) -> Path:
    return pack.build_wheel(source, pack.build_environment(pack.WORK / f"{NAME}.home"), NAME)


def _vouch(inputs: str, made: list[Path]) -> str:
    digests = (hashlib.sha256(file.read_bytes()).hexdigest() for file in made)
    return " ".join([inputs, *digests])
