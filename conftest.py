"""What all tests of the repository share."""

from __future__ import annotations

import gc
import subprocess
from pathlib import Path

import pytest
import yaml
from hypothesis import settings

# ops.testing reads a charm's YAML for each test and writes it for each event: a fifth of the unit
# tests' time with PyYAML's own parser, and next to nothing with libyaml's, which it comes with.
yaml.SafeLoader = yaml.CSafeLoader  # pyright: ignore
yaml.SafeDumper = yaml.CSafeDumper  # pyright: ignore

# To look for garbage, again and again, among all that was imported and collected took a seventh of
# the unit tests' time.
gc.disable()

# How long an example may take depends on the machine, and no test here is about that.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    """Begin to look for garbage, in a process that runs tests, and only among what they make."""
    gc.freeze()
    gc.enable()


ROOT = Path(__file__).parent
_MOUNTS = pytest.StashKey[set[str]]()


def list_mounts() -> set[str]:
    """Return what is mounted within this checkout, as `./run clean` finds it."""
    command = ("/usr/bin/findmnt", "--list", "--noheadings", "--output", "TARGET")
    found = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {target for target in found.splitlines() if target.startswith(f"{ROOT}/")}


def pytest_sessionstart(session: pytest.Session) -> None:
    session.config.stash[_MOUNTS] = list_mounts()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail if a mount is left: who removes the checkout would remove what is in there, too."""
    if hasattr(session.config, "workerinput"):
        return  # another worker may be in the middle of a test
    left = list_mounts() - session.config.stash[_MOUNTS]
    if left:
        print("\nleft mounted by the tests:", *sorted(left), sep="\n")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
