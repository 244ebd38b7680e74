"""`./run clean` in a checkout that something is still mounted in."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from tools.pack import ROOT

# In mounts of its own, which end with it.
MOUNT_AND_CLEAN = """\
set -eu
mount -t tmpfs tmpfs "$1/.cache/mounted here"
touch "$1/.cache/mounted here/kept"
status=0
"$1/run" clean || status=$?
ls "$1/.cache/mounted here"
exit "$status"
"""


def run(*command: str | Path, home: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "LOCALMODEL_HOME": str(home)}
    return subprocess.run(command, check=False, capture_output=True, text=True, env=environment)


def test_clean_reaches_into_nothing_that_is_mounted_and_names_it(tmp_path: Path) -> None:
    checkout, home = tmp_path / "a checkout", tmp_path / "none"
    (checkout / ".cache" / "mounted here").mkdir(parents=True)
    shutil.copy(ROOT / "run", checkout)
    unshare = ("/usr/bin/unshare", "--mount", "/bin/sh", "-c", MOUNT_AND_CLEAN, "sh")
    done = run(*unshare, checkout, home=home)
    assert done.returncode == 1
    assert f"\n{checkout}/.cache/mounted here\n" in done.stderr
    assert "umount --recursive" in done.stderr
    assert done.stdout == "kept\n"

    done = run(checkout / "run", "clean", home=home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"removed {checkout}/.cache (")
    assert not (checkout / ".cache").exists()
