from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ops import testing

from charms.mprime.tests.unit.fake_host import MLUCAS, MPRIME, Host
from dockerhost import Proxies
from harvest.workdir import WorkDirectory
from lib.harvest.tests.unit.images import describe, write_archive
from mprime.search import SEARCH

TAG = "172.30.0.3:5000/mlucas:1"


@pytest.fixture
def archive(host: Host, tmp_path: Path) -> Path:
    """An archive of the mlucas image, named mlucas:latest."""
    host.archive = MLUCAS
    return write_archive(tmp_path / "image.tar", describe("mlucas:latest"))


@pytest.mark.parametrize(
    ("machine", "recipes"), [("x86_64", ("mprime", "mlucas")), ("aarch64", ("mlucas",))]
)
def test_an_image_is_built_with_mprime_where_that_can_be_had(
    host: Host, monkeypatch: pytest.MonkeyPatch, machine: str, recipes: tuple[str, ...]
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert SEARCH.choose_recipes(WorkDirectory(host.directory)) == recipes


@pytest.mark.parametrize(("name", "list_"), [("mlucas", "worktodo.ini"), ("mprime", "prime.txt")])
def test_a_program_whose_work_there_is_stays_the_one(host: Host, name: str, list_: str) -> None:
    host.directory.mkdir(parents=True)
    (host.directory / list_).touch()
    assert SEARCH.choose_recipes(WorkDirectory(host.directory)) == (name,)


def test_the_charm_attaches_the_resource_and_tells_of_it_by_name(
    host: Host, run: Callable[..., testing.State], archive: Path
) -> None:
    host.resource = archive
    assert run(image=TAG).unit_status == testing.ActiveStatus("M110503: 0.0 %")
    assert "load" in host.did
    host.archive = replace(MPRIME, id="sha256:7", labels={})
    write_archive(archive, describe())
    status = run(image=TAG).unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert status.message.startswith("resource mprime-image: its label mersenne.engine is ''")
    assert host.containers["mprime-0"].image == MLUCAS.id


def test_a_resource_that_juju_can_no_longer_hand_out_blocks_and_the_search_goes_on(
    host: Host, run: Callable[..., testing.State], archive: Path
) -> None:
    host.registry[TAG] = MPRIME
    host.resource = archive
    run(image=TAG)
    before = host.containers["mprime-0"]
    host.resource = None
    status = run(image=TAG).unit_status
    assert status == testing.BlockedStatus(
        "resource mprime-image: resource mprime-image not found; the next hook tries again"
    )
    assert host.containers["mprime-0"] is before


def test_the_models_proxies_reach_the_engine(
    host: Host, run: Callable[..., testing.State], monkeypatch: pytest.MonkeyPatch
) -> None:
    host.registry[TAG] = MLUCAS
    seen: list[Proxies] = []
    monkeypatch.setattr(
        "harvest.image.ensure_proxies", lambda _, proxies, __: seen.append(proxies) or ""
    )
    monkeypatch.setenv("JUJU_CHARM_HTTP_PROXY", "http://one:1")
    monkeypatch.setenv("JUJU_CHARM_HTTPS_PROXY", "http://two:2")
    monkeypatch.setenv("JUJU_CHARM_NO_PROXY", "localhost")
    run("install", image=TAG)
    assert seen == [Proxies("http://one:1", "http://two:2", "localhost")]
