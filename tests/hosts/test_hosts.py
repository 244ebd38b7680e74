"""The suite on a host of each release that users have, with nothing installed: minutes to hours.

`./run test -e hosts` runs the demo on each; with `-- -k suite`, all tests. A host is a root file
system of its own with a clone of this checkout, its own processes and mounts; kernel, network and
control groups are this machine's.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from localmodel.machines.processes import run
from tests.integration.roots import Release, build_minimal_root, list_archives
from tools.pack import ROOT

RELEASES = [Release("debian", "bookworm"), Release("ubuntu", "jammy"), Release("ubuntu", "noble")]
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
        log: what was printed on it.
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
        with self.log.open("w+") as log:
            done = subprocess.run(
                [*namespaces, *enter, *chdir, *words],
                env=settings,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        printed = self.log.read_text(errors="replace")
        assert done.returncode == 0, f"{' '.join(words)}: {printed[-8000:]}"
        return printed


@pytest.fixture(params=RELEASES, ids=lambda release: release.name)
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[StockHost]:
    release: Release = request.param
    root = tmp_path / release.name
    run("/usr/bin/cp", "--archive", build_minimal_root(release), root)
    (root / "etc/apt/sources.list").write_text(list_archives(release))
    for path in filter(os.path.exists, SETTINGS):
        copy_setting(Path(path), root / path.lstrip("/"))
    run("/usr/bin/git", "clone", "--quiet", ROOT, root / FOLDER.lstrip("/"))
    host = StockHost(root, f"host-{release.name}", tmp_path / "log")
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


def test_the_demo_of_a_clone_ends_with_a_prime_and_clean_leaves_nothing(host: StockHost) -> None:
    printed = host.run("./run", "demo")
    assert printed.splitlines()[-1] == "mprime/0 on apache2/0's machine: M110503 is prime"
    host.run("./run", "clean")
    assert list_left(host) == []


def test_the_suite_of_a_clone_passes(host: StockHost) -> None:
    host.run("./run", "test")


def list_left(host: StockHost) -> list[Path]:
    """Return the folders and control groups that a host's local model has outside of the clone."""
    folders = host.root.glob(f"var/lib/{host.name}*")
    return [*folders, *Path("/sys/fs/cgroup").glob(f"*/{host.name}*")]
