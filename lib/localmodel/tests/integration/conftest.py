"""An instance of the local model for these tests alone, beside the one that people work with."""

from __future__ import annotations

import fcntl
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jubilant
import pytest

from lib.localmodel.tests.integration import probe

# As with the suite's own models, SUITE_NAME keeps several runs at a time apart.
SUITE = os.environ.get("SUITE_NAME", "localmodel")
NAME = f"{SUITE}-test-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"


@contextmanager
def _private_instance(name: str) -> Iterator[None]:
    """Everything under another name, but for the root file system, which is the same for all."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOCALMODEL_NAME", name)
        for variable in ("LOCALMODEL_HOME", "LOCALMODEL_RUN", "JUJU_MODEL"):
            patch.delenv(variable, raising=False)
        probe.command("localmodel", "down", "--purge")
        templates = Path("/var/lib/localmodel/templates")
        templates.mkdir(parents=True, exist_ok=True)
        probe.home().mkdir()
        (probe.home() / "templates").symlink_to(templates)
        try:
            yield
        finally:
            probe.command("localmodel", "down", "--purge")


# Not for a whole session: it sets variables that the same process's other tests read too.
@pytest.fixture(scope="module", autouse=True)
def instance() -> Iterator[None]:
    if os.geteuid() != 0:
        pytest.fail("machines take root: run these tests as root")
    with Path(f"/run/lock/{NAME}").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        # One at a time; the kernel gives the lock back even if the tests are killed.
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Commands started in the background ignore interrupts, and so would all that they start.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        patch.setenv("PATH", str(probe.SHIM), prepend=os.pathsep)
        with _private_instance(NAME):
            yield


@pytest.fixture
def other_instance() -> Iterator[None]:
    """Another one, for tests that take it down as a whole."""
    with _private_instance(f"{NAME}-2"):
        yield


@pytest.fixture(scope="module")
def juju() -> Iterator[jubilant.Juju]:
    """A model that the tests of a module share."""
    with jubilant.temp_model() as juju:
        juju.wait_timeout = 60
        yield juju


@pytest.fixture(scope="module")
def charms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to pack charms into."""
    return tmp_path_factory.mktemp("charms")
