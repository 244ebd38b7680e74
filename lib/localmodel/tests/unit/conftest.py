from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from lib.localmodel.tests.unit.driver import World
from lib.localmodel.tests.unit.packing import CHARMS, pack
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


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    return Paths(home=tmp_path / "home", run=tmp_path / "run")


@pytest.fixture
def store(paths: Paths) -> Iterator[Store]:
    store = Store(paths)
    store.set("underlay", "172.30.0.0/16")
    yield store
    store.close()


@pytest.fixture
def model() -> Model:
    return Model(uuid=str(uuid.UUID(int=7)), name="m")


@pytest.fixture
def world(store: Store, model: Model, charms: Path) -> World:
    return World(store, model, charms)


@pytest.fixture
def related(world: World) -> World:
    """web/0 and web/1 related to db/0 and each with its search, idle."""
    world.deploy("web", units=2)
    world.deploy("db")
    world.deploy("search")
    world.integrate("web:database", "db:db")
    world.integrate("web", "search")
    world.settle()
    return world
