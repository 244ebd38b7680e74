"""The ground that the integration tests stand on: a `juju`, packed charms, a registry.

By default that is a local model of the tests' own, one for each process that runs them, which is
gone when they end; SUITE_NAME names it, for several runs at a time. With JUJU_REAL=1 it is the
controller of the `juju` on the PATH. CHARM_PATH names a folder of packed charms to take instead.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import jubilant
import pytest

from tests.integration.steps import REAL
from tools import pack
from tools.instance import Published, own_instance, private_registry, publish

# The demo is the local model's, and so are packed charms that go by their names, machines whose
# only device can be renamed, and machines whose networks can be entered.
LOCAL = ["test_demo.py", "test_docs_commands.py", "test_fan_forgeries.py", "test_fanctl.py"]
collect_ignore = LOCAL if REAL else []

# By far the longest: begun last, they would leave one of two processes idle for minutes. The
# second measures shares of the processor, so it must not run beside the first, which takes all.
LONGEST = ("test_fan_kernels.py", "test_spare_cpu.py")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one of two processes begin with the longest files; see xdist's LoadScopeScheduling.

    In the beginning each process takes a file, and then the first one, whose file has few tests,
    takes the third to come after it.
    """
    files = list(dict.fromkeys(item.path for item in items))
    longest = [file for name in LONGEST for file in files if file.name == name]
    others = [file for file in files if file not in longest]
    order = [*longest[:1], *others[:1], *longest[1:], *others[1:]]
    items.sort(key=lambda item: order.index(item.path))


@pytest.fixture(scope="session")
def ground() -> Iterator[None]:
    """A `juju` on the PATH."""
    if REAL:
        yield
    else:
        name = os.environ.get("SUITE_NAME", "localmodel-suite")
        with own_instance(f"{name}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"):
            yield


@pytest.fixture(scope="session")
def charms() -> dict[str, Path]:
    """Every charm of the repository, packed; a controller takes none for this machine's Debian."""
    if folder := os.environ.get("CHARM_PATH"):
        return pack.find_packed(Path(folder))
    return pack.pack()


@pytest.fixture
def juju(ground: None, request: pytest.FixtureRequest) -> Iterator[jubilant.Juju]:
    """A model that is gone after the test; its log is printed if the test fails."""
    yield from _new_model(request)


@pytest.fixture(scope="module")
def shared_juju(ground: None, request: pytest.FixtureRequest) -> Iterator[jubilant.Juju]:
    """A model that a module's tests use one after the other."""
    yield from _new_model(request)


def _new_model(request: pytest.FixtureRequest) -> Iterator[jubilant.Juju]:
    before = request.session.testsfailed
    # As Juju 4 has it, with Docker's bridge among a machine's addresses.
    with jubilant.temp_model(config={"ignore-machine-addresses": False}) as juju:
        juju.wait_timeout = 300
        yield juju
        if request.session.testsfailed > before:
            print(juju.debug_log(limit=200))


@pytest.fixture(scope="session")
def registry(ground: None, charms: dict[str, Path]) -> Iterator[jubilant.Juju]:
    """A model with a private registry in it, `registry/0`."""
    with private_registry(charms["registry"]) as juju:
        yield juju


@pytest.fixture(scope="session")
def published(registry: jubilant.Juju) -> Published:
    """The mlucas image, built from the distribution's packages and pushed to the registry."""
    return publish(registry, "mlucas")
