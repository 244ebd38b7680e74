"""A host of a release with nothing installed: a root file system of its own with a clone of this
checkout, its own processes and mounts. Kernel, network and control groups are this machine's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from localmodel.machines.processes import run
from tests.integration.roots import Release, build_minimal_root, list_archives
from tools.pack import ROOT

# What this machine's administrator has set, for the network that it is in.
SETTINGS = ("/etc/resolv.conf", "/etc/pip.conf", "/usr/local/share/ca-certificates")
FOLDER = "/srv/prime-time"
# In mount and process namespaces of its own. What is mounted and started goes with them.
ENTER = """\
set -eu
cd "$1"
shift
mount --bind . .
cd .
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=755 tmpfs run
mount -t tmpfs tmpfs tmp
mkdir run/before run/lock
pivot_root . run/before
cd /
umount -l run/before
rmdir run/before
exec "$@"
"""


@dataclass
class StockHost:
    """A host of a release, with a clone of this checkout in it.

    Attributes:
        name: of the local model that it has, apart from this machine's own.
        log: all that was printed on it.
    """

    root: Path
    name: str
    log: Path

    def run(self, *words: str) -> str:
        """Run a program in the clone, and return what it printed; a failure fails the test."""
        settings = {
            "HOME": "/root",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LOCALMODEL_NAME": self.name,
            "SUITE_NAME": self.name,
            **{k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")},
        }
        namespaces = ("/usr/bin/unshare", "--mount", "--pid", "--ipc", "--fork", "--kill-child")
        enter = ("/bin/sh", "-c", ENTER, "enter", self.root)
        chdir = ("/usr/bin/env", f"--chdir={FOLDER}")
        with self.log.open("a+", errors="replace") as log:
            start = log.tell()
            done = subprocess.run(
                [*namespaces, *enter, *chdir, *words],
                env=settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
            log.seek(start)
            printed = log.read()
        assert done.returncode == 0, f"{' '.join(words)}: {printed[-8000:]}"
        return printed


@contextmanager
def stock_host(
    release: Release, folder: Path, architecture: str | None = None
) -> Iterator[StockHost]:
    """A host for as long as the block runs; it ends with `./run clean`.

    Args:
        release: what it runs.
        folder: where it has its files.
        architecture: dpkg's name of one whose programs run here, if not this machine's own.
    """
    name = "-".join(filter(None, (release.name, architecture)))
    root = folder / name
    source = build_minimal_root(release, architecture=architecture)
    run("/usr/bin/cp", "--archive", source, root)
    (root / "etc/apt/sources.list").write_text(list_archives(release))
    for path in filter(os.path.exists, SETTINGS):
        copy_setting(Path(path), root / path.lstrip("/"))
    run("/usr/bin/git", "clone", "--quiet", ROOT, root / FOLDER.lstrip("/"))
    host = StockHost(root, f"host-{name}", folder / "log")
    try:
        yield host
    finally:
        host.run("./run", "clean")
        shutil.rmtree(root)


def copy_setting(source: Path, target: Path) -> None:
    """Copy a file or a folder in place of what is there, such as systemd's link to resolv.conf."""
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        target.unlink(missing_ok=True)
        shutil.copyfile(source, target)
