from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from lib.localmodel.tests.unit.commandline import CommandLine
from lib.localmodel.tests.unit.driver import World
from lib.localmodel.tests.unit.packing import CHARMS, pack
from localmodel.agent import Agent
from localmodel.charms import store_charm
from localmodel.machines.instance import Instance
from localmodel.paths import Paths
from localmodel.state import Model
from localmodel.store import Store


@pytest.fixture(scope="session")
def charms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that stands in for Charmhub."""
    folder = tmp_path_factory.mktemp("charms")
    for name in CHARMS:
        pack(folder, name)
    return folder


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all stores: charms in it are named by their content, and read once."""
    home = tmp_path_factory.mktemp("home")
    (home / "charms").mkdir()
    return home


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("empty")
    store = Store(Paths(folder, folder))
    store.set("underlay", "172.30.0.0/16")
    store.close()
    return store.paths.database.read_bytes()


@pytest.fixture
def paths(home: Path) -> Iterator[Paths]:
    """Where a store is to be, which is not there yet."""
    for file in home.glob("state.db*"):
        file.unlink()
    # The folder of a test can be too long for a socket.
    with tempfile.TemporaryDirectory(dir="/tmp") as run:
        yield Paths(home=home, run=Path(run))


@pytest.fixture
def store(paths: Paths, empty_database: bytes) -> Iterator[Store]:
    paths.database.write_bytes(empty_database)
    store = Store(paths)
    yield store
    store.close()


@pytest.fixture
def model() -> Model:
    return Model(uuid=str(uuid.UUID(int=7)), name="m")


@pytest.fixture
def world(store: Store, model: Model, charms: Path) -> World:
    return World(store, model, charms)


@pytest.fixture
def attached(world: World) -> World:
    """web/0 with search/0 attached, idle."""
    world.deploy("web")
    world.deploy("search")
    world.integrate("web", "search")
    world.run_until_idle()
    return world


@pytest.fixture
def pair(world: World) -> World:
    """Two units of web, each with its search, idle."""
    world.deploy("web", units=2)
    world.deploy("search")
    world.integrate("web", "search")
    world.run_until_idle()
    return world


@pytest.fixture(scope="session")
def related_model(charms: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The model of `related`, which takes a hundred hooks to make."""
    folder = tmp_path_factory.mktemp("related")
    store = Store(Paths(folder / "home", folder / "run"))
    store.set("underlay", "172.30.0.0/16")
    world = World(store, Model(uuid=str(uuid.UUID(int=7)), name="m"), charms)
    world.deploy("web", units=2)
    world.deploy("db")
    world.deploy("search")
    world.integrate("web:database", "db:db")
    world.integrate("web", "search")
    world.run_until_idle()
    store.close()
    return msgspec.json.encode(world.model)


@pytest.fixture
def related(world: World, related_model: bytes) -> World:
    """web/0 and web/1 related to db/0 and each with its search, idle."""
    for name in ("web", "db", "search"):
        store_charm(world.store.paths, world.charms / f"{name}.charm")
    world.model = msgspec.json.decode(related_model, type=Model)
    return world


@pytest.fixture
def cli(
    paths: Paths,
    charms: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[CommandLine]:
    """The command line juju, with a store of its own and no machines under it."""

    command_line = CommandLine(paths, monkeypatch, capsys)
    stores: list[Store] = []

    def open_store(paths: Paths) -> Store:
        # A process that ends closes its files; these end with the test.
        stores.append(Store(paths))
        return stores[-1]

    def run_until_idle(agent: Agent) -> None:
        command_line.events += World(agent.store, agent.model, charms).run_until_idle()
        agent.save()

    monkeypatch.setenv("LOCALMODEL_HOME", str(paths.home))
    monkeypatch.setenv("LOCALMODEL_RUN", str(paths.run))
    monkeypatch.setenv("LOCALMODEL_CHARMS", str(charms))
    monkeypatch.delenv("JUJU_MODEL", raising=False)
    monkeypatch.setattr("localmodel.cli.session.os.geteuid", lambda: 0)
    monkeypatch.setattr("localmodel.cli.session.Store", open_store)
    monkeypatch.setattr(Instance, "boot_id", lambda instance: "boot")
    monkeypatch.setattr(Agent, "run_until_idle", run_until_idle)
    monkeypatch.chdir(tmp_path)
    yield command_line
    for store in stores:
        store.close()
