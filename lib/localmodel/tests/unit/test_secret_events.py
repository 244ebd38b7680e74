from __future__ import annotations

import pytest

from lib.localmodel.tests.unit.driver import World
from localmodel.operations.secrets import USER
from localmodel.state import Consumer, Revision, Secret


@pytest.fixture
def pair(world: World) -> World:
    world.deploy("web", units=2)
    world.run_until_idle()
    return world


def secret_of(world: World, owner: str) -> Secret:
    secret = Secret(uri="secret:x", owner=owner, label="token", latest=1)
    secret.revisions[1] = Revision({"key": "one"})
    world.model.secrets[secret.uri] = secret
    return secret


def test_a_consumer_is_told_once_of_each_new_revision(pair: World) -> None:
    secret = secret_of(pair, USER)
    secret.consumers["web/0"] = Consumer(1, "mine")
    assert pair.run_until_idle() == []
    secret.latest = 2
    secret.revisions[2] = Revision({"key": "two"})
    hook = pair.next(pair.model.units["web/0"])
    assert hook is not None
    assert (hook.name, hook.secret, hook.label, hook.revision) == (
        "secret-changed",
        "secret:x",
        "mine",
        2,
    )
    assert pair.run_until_idle() == [("web/0", "secret-changed")]
    assert pair.run_until_idle() == []


def test_a_consumer_that_has_refreshed_already_is_not_told(pair: World) -> None:
    secret = secret_of(pair, USER)
    secret.latest = 2
    secret.revisions[2] = Revision({"key": "two"})
    secret.consumers["web/0"] = Consumer(2)
    assert pair.run_until_idle() == []


def test_a_secret_rotates_in_its_period_on_its_owner(pair: World) -> None:
    secret = secret_of(pair, "web/1")
    secret.rotate, secret.rotates_at = "hourly", pair.now + 200
    assert pair.run_until_idle() == []
    pair.now += 200
    assert pair.run_until_idle() == [("web/1", "secret-rotate")]
    assert secret.rotates_at == pair.now + 3600


def test_an_applications_secret_expires_on_its_leader_only(pair: World) -> None:
    secret = secret_of(pair, "web")
    secret.revisions[1].expires = pair.now + 200
    pair.now += 200
    hook = pair.next(pair.model.units["web/0"])
    assert hook is not None
    assert (hook.name, hook.revision) == ("secret-expired", 1)
    assert pair.run_until_idle() == [("web/0", "secret-expired")]
    assert pair.run_until_idle() == []


def test_a_removed_unit_takes_its_own_secrets_along(pair: World) -> None:
    secret_of(pair, "web/0")
    pair.remove_unit("web/0")
    pair.run_until_idle()
    assert pair.model.secrets == {}


def test_a_removed_application_takes_its_secrets_along(pair: World) -> None:
    secret_of(pair, "web")
    pair.remove("web")
    pair.run_until_idle()
    assert pair.model.secrets == {}
