"""What the field's linters find in the charms is what CONTRIBUTING.md explains, and no more."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.integration.roots import Release, build_root
from tools.pack import ROOT

BIN = Path(sys.executable).parent
CHARMS = sorted(charm.name for charm in ROOT.glob("charms/*"))
# It looks for observers and calls in a charm's own src, and those of all charms on harvest are in
# harvest.charm.
INHERITED = {
    ("ACTIONS-001", "pause"),
    ("ACTIONS-001", "resume"),
    ("ACTIONS-001", "logs"),
    ("ACTIONS-001", "adopt-work"),
    ("FEATURES-005", "set_workload_version()"),
}
# Operators know both by these names, from charms that use charmhelpers.
SOURCES = {("CHARMCRAFT-002", "install_sources"), ("CHARMCRAFT-002", "install_keys")}
# Of these, src/charm.py imports ops, and harvest.charm calls ops.main().
CALLED = {("CHARMCRAFT-006",)}
CHARMLINT = {
    "fan": SOURCES,
    "golden-ratio": SOURCES | INHERITED | CALLED,
    "mprime": SOURCES | INHERITED | CALLED,
    "spare": SOURCES | INHERITED,
}
# In the file dispatch that charmcraft's uv plugin writes, analyse does not know ${dispatch_path}:
# so it does not find src/charm.py, nor see that it is Python, with ops.
# And the names of the same two options are what it warns of.
ANALYSE = {
    ("entrypoint", "error"),
    ("framework", "unknown"),
    ("language", "unknown"),
    ("naming-conventions", "warning"),
    ("pip-check", "warning"),
}
# What each charm's pyproject.toml leaves out, and why, stands there.
LEFT_OUT = re.compile(r"requests \S+ requires charset-normalizer, which is not installed\.\n")
# In a mount namespace of its own, which ends with the program.
ENTER = """\
set -e
mkdir -p {root}/mnt {root}/srv
mount --bind {packages} {root}/mnt
mount --bind {repository} {root}/srv
export PYTHONPATH=/mnt PYTHONDONTWRITEBYTECODE=1
exec chroot {root} /usr/bin/python3 -m charmlint --format json /srv/charms/{charm}
"""


@pytest.fixture(scope="module")
def charmlint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with charmlint, whose other dependency the root file system has."""
    folder = tmp_path_factory.mktemp("charmlint")
    pins = ROOT / "requirements" / "charmlint.txt"
    install = [str(BIN / "uv"), "pip", "install", "--no-config", "--no-build", "--no-deps"]
    options = ["--require-hashes", "--python-version", "3.12", "--target", str(folder)]
    subprocess.run([*install, *options, "-r", str(pins)], check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("charm", CHARMS)
def test_charmlint_finds_nothing_that_is_not_explained(charm: str, charmlint: Path) -> None:
    root = build_root(Release("ubuntu", "noble"), "base-files", "python3", "python3-yaml")
    script = ENTER.format(packages=charmlint, root=root, repository=ROOT, charm=charm)
    command = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", script]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found = {
        # What it is about is the first word in quotes, if there is any.
        (each["rule_id"], *re.findall(r"['`](.+?)['`]", each["message"])[:1])
        for each in json.loads(done.stdout)["diagnostics"]
    }
    assert found == CHARMLINT[charm]


@pytest.mark.parametrize("charm", CHARMS)
def test_charmcraft_analyse_finds_nothing_that_is_not_explained(
    charm: str, charms: dict[str, Path], tmp_path: Path
) -> None:
    # Charmcraft keeps its logs in its home.
    homes = {f"XDG_{kind}": str(tmp_path) for kind in ("RUNTIME_DIR", "STATE_HOME")}
    done = subprocess.run(
        [str(BIN / "charmcraft"), "analyse", "--format", "json", str(charms[charm])],
        env={**os.environ, **homes, "HOME": str(tmp_path)},
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    findings = json.loads(done.stdout)
    found = {(each["name"], each["result"]) for each in findings}
    (missing,) = (each["text"] for each in findings if each["name"] == "pip-check")
    assert LEFT_OUT.fullmatch(missing)
    assert {each for each in found if each[1] not in ("ok", "nonapplicable")} == ANALYSE
