"""The program of the image golden-ratio, compiled from what a release has, on this kernel."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tests.integration.roots import CACHE, Release, build_root
from tools.image import IMAGES
from tools.locks import hold_lock

PACKAGES = ("base-files", "dash", "gcc", "libc6-dev", "libflint-dev")
SOURCES = IMAGES / "golden-ratio"


TRIXIE, NOBLE = Release("debian", "trixie"), Release("ubuntu", "noble")


def compile_program(release: Release = TRIXIE) -> list[str]:
    """Return the words that run the program; it is compiled as its Dockerfile does, once."""
    root = build_root(release, *PACKAGES)
    digest = hashlib.sha256()
    for file in sorted(p for p in SOURCES.rglob("*") if p.suffix in (".c", ".h", "")):
        if file.is_file():
            digest.update(file.read_bytes())
    name = f"golden-ratio-{digest.hexdigest()[:12]}"
    folder = root / name
    with hold_lock(CACHE / f"{root.name}.lock"):
        if not (folder / "program").exists():
            shutil.rmtree(folder, ignore_errors=True)
            shutil.copytree(SOURCES, folder)
            words = ["/bin/sh", f"/{name}/build", f"/{name}/src", f"/{name}/draft"]
            subprocess.run(["/usr/sbin/chroot", root, *words], check=True)
            (folder / "draft").rename(folder / "program")
    (loader,) = root.glob("usr/lib/*/ld-linux-*.so.*")
    return [str(loader), "--library-path", str(loader.parent), str(folder / "program")]


class Golden:
    """The program with a work directory of its own."""

    def __init__(self, program: list[str], work: Path):
        self.program = program
        self.work = work
        self.digits_file = work / "phi.txt"

    def environment(self, **variables: object) -> dict[str, str]:
        names = ("DIGITS", "THREADS", "VERIFY")
        kept = {name: value for name, value in os.environ.items() if name not in names}
        return kept | {"WORK": str(self.work)} | {k: str(v) for k, v in variables.items()}

    def run(self, *words: object, **variables: object) -> subprocess.CompletedProcess[str]:
        """Run it to its end."""
        return subprocess.run(
            [*self.program, *map(str, words)],
            check=False,
            capture_output=True,
            text=True,
            env=self.environment(**variables),
        )

    def start(self, **variables: object) -> subprocess.Popen[str]:
        """Start a computation whose lines can be read."""
        return subprocess.Popen(
            self.program,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.environment(**variables),
        )

    def compute(self, digits: int, **variables: object) -> str:
        """Compute digits, and return what it said."""
        done = self.run(DIGITS=digits, **variables)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def state(self) -> dict[str, Any]:
        return json.loads((self.work / "state.json").read_text())

    def decimals(self) -> str:
        """The decimals that the file has."""
        text = self.digits_file.read_text()
        assert text.startswith("1.")
        assert text.endswith("\n")
        return text[2:-1]
