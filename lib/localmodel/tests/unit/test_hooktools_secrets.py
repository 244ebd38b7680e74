from __future__ import annotations

import time
from pathlib import Path

import pytest

from lib.localmodel.tests.unit.driver import World
from lib.localmodel.tests.unit.hooks import Running
from localmodel.state import Grant


def database(world: World) -> int:
    return next(r.id for r in world.model.relations_of("db"))


@pytest.fixture
def leader(related: World) -> Running:
    return Running(related, "web/0")


def add(running: Running, *argv: str) -> str:
    answer = running.call("secret-add", *argv)
    assert answer.code == 0, answer.stderr
    running.end()
    return answer.stdout.strip()


def test_content_is_read_from_the_machines_files(leader: Running, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("line\nä=1\n")
    uri = add(leader, f"key#file={tmp_path}/key", "plain=x")
    assert leader.json("secret-get", uri) == {"key": "line\nä=1\n", "plain": "x"}
    assert leader.json("secret-get", uri, "plain") == "x"


def test_a_file_that_is_not_there_is_named(leader: Running, tmp_path: Path) -> None:
    assert f"cannot read {tmp_path}/no" in leader.refusal("secret-add", f"key#file={tmp_path}/no")


def test_a_binary_file_is_refused(leader: Running, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"\xff\xfe")
    assert "cannot read" in leader.refusal("secret-add", f"key#file={tmp_path}/key")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "pairs"),
        (["novalue"], 'expected "key=value", got "novalue"'),
        (["a=x"], 'key "a" not valid'),
        (["--rotate", "sometimes", "key=x"], "sometimes"),
        (["--owner", "model", "key=x"], "model"),
        (["--expire", "soon", "key=x"], 'invalid expiry "soon"'),
        (["--expire", "10", "key=x"], 'invalid expiry "10"'),
        (["--expire", "99999999999h", "key=x"], 'invalid expiry "99999999999h"'),
    ],
)
def test_a_secret_that_cannot_be_is_refused(leader: Running, argv: list[str], says: str) -> None:
    assert says in leader.refusal("secret-add", *argv)
    leader.end()
    assert leader.world.model.secrets == {}


def test_a_label_is_given_once_for_each_owner(leader: Running) -> None:
    add(leader, "--label", "login", "key=x")
    says = leader.refusal("secret-add", "--label", "login", "key=y")
    assert 'label "login" already exists' in says


def test_a_secret_is_found_by_the_label_of_its_owner(leader: Running) -> None:
    uri = add(leader, "--label", "login", "key=x")
    assert leader.json("secret-get", "--label", "login") == {"key": "x"}
    assert list(leader.json("secret-info-get", "--label", "login")) == [
        uri.removeprefix("secret:")
    ]


def test_a_uri_may_hold_the_models_uuid(leader: Running) -> None:
    uri = add(leader, "key=x")
    identifier = uri.removeprefix("secret:")
    long = f"secret://{leader.world.model.uuid}/{identifier}"
    assert leader.json("secret-get", long) == {"key": "x"}
    assert leader.json("secret-get", identifier) == {"key": "x"}


@pytest.mark.parametrize("argv", [["secret:9m4e2mr0ui3e8a215n4g"], ["--label", "none"]])
def test_a_secret_that_is_not_there_is_said_so_that_ops_knows(
    leader: Running, argv: list[str]
) -> None:
    assert "not found" in leader.refusal("secret-get", *argv)
    assert "not found" in leader.refusal("secret-info-get", *argv)


def test_neither_uri_nor_label_is_refused(leader: Running) -> None:
    assert "either a secret URI or label" in leader.refusal("secret-get")


def test_strangers_may_not_read_and_consumers_may_not_change(related: World) -> None:
    uri = add(Running(related, "web/0"), "key=x")
    stranger = Running(related, "db/0")
    assert "permission denied" in stranger.refusal("secret-get", uri)
    related.model.secrets[uri].grants.append(Grant("db"))
    stranger = Running(related, "db/0")
    assert stranger.json("secret-get", uri) == {"key": "x"}
    for call in (
        ["secret-set", uri, "key=y"],
        ["secret-remove", uri],
        ["secret-info-get", uri],
        ["secret-grant", "--relation", str(database(related)), uri],
    ):
        assert "permission denied" in stranger.refusal(*call)
    stranger.end()
    assert related.model.secrets[uri].latest == 1


def test_a_follower_reads_its_applications_secret_but_does_not_own_it(related: World) -> None:
    uri = add(Running(related, "web/0"), "key=x")
    follower = Running(related, "web/1")
    assert follower.json("secret-get", uri) == {"key": "x"}
    assert follower.json("secret-ids") is None
    assert "permission denied" in follower.refusal("secret-set", uri, "key=y")


def test_a_unit_owns_its_own_secret_whoever_leads(related: World) -> None:
    follower = Running(related, "web/1")
    uri = add(follower, "--owner", "unit", "key=x")
    assert related.model.secrets[uri].owner == "web/1"
    info = follower.json("secret-info-get", uri)[uri.removeprefix("secret:")]
    assert info["owner"] == "unit"


def test_the_same_content_makes_no_revision(leader: Running) -> None:
    uri = add(leader, "key=x")
    leader.call("secret-set", uri, "key=x")
    leader.call("secret-set", "--description", "new words", uri)
    leader.end()
    secret = leader.world.model.secrets[uri]
    assert (secret.latest, secret.description) == (1, "new words")


def test_a_change_is_only_seen_elsewhere_once_the_hook_has_ended(related: World) -> None:
    owner = Running(related, "web/0")
    uri = add(owner, "--owner", "unit", "key=x")
    related.model.secrets[uri].grants.append(Grant("db"))
    owner = Running(related, "web/0")
    owner.call("secret-set", uri, "key=y")
    assert owner.json("secret-get", uri, "--peek") == {"key": "y"}
    reader = Running(related, "db/0")
    assert reader.json("secret-get", uri, "--peek") == {"key": "x"}
    reader.end()
    owner.end()
    assert Running(related, "db/0").json("secret-get", uri, "--refresh") == {"key": "y"}


def test_a_readers_tracking_survives_its_owners_commit(related: World) -> None:
    uri = add(Running(related, "web/0"), "--owner", "unit", "key=x")
    related.model.secrets[uri].grants.append(Grant("db"))
    owner = Running(related, "web/0")
    owner.call("secret-set", uri, "key=y")
    reader = Running(related, "db/0")
    reader.json("secret-get", uri, "--label", "mine")
    reader.end()
    owner.end()
    consumer = related.model.secrets[uri].consumers["db/0"]
    assert (consumer.revision, consumer.label) == (1, "mine")
    assert related.run_until_idle() == [("db/0", "secret-changed")]


def test_a_grant_ends_with_its_relation(related: World) -> None:
    owner = Running(related, "web/0")
    uri = add(owner, "key=x")
    owner.call("secret-grant", "--relation", str(database(related)), uri)
    owner.end()
    assert related.model.secrets[uri].grants == [Grant("db", database(related))]
    related.unrelate("web", "db")
    related.run_until_idle()
    assert related.model.secrets[uri].grants == []


def test_a_grant_needs_a_relation_that_is_there(leader: Running) -> None:
    uri = add(leader, "key=x")
    assert "relation not found" in leader.refusal("secret-grant", "--relation", "99", uri)
    assert "no relation id" in leader.refusal("secret-grant", uri)
    assert "no relation id" in leader.refusal("secret-grant", "--relation", "database:²", uri)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("1h30m", 5400), ("2030-01-01T00:00:00Z", None)]
)
def test_an_expiry_is_a_moment_or_a_span(leader: Running, text: str, seconds: int | None) -> None:
    before = time.time()
    uri = add(leader, "--expire", text, "key=x")
    expires = leader.world.model.secrets[uri].revisions[1].expires
    assert expires is not None
    if seconds is None:
        assert expires == 1893456000
    else:
        assert before + seconds <= expires <= time.time() + seconds


def test_removing_the_newest_revision_leaves_the_ones_before_it(leader: Running) -> None:
    uri = add(leader, "key=one")
    leader.call("secret-set", uri, "key=two")
    leader.end()
    assert leader.call("secret-remove", uri, "--revision", "2").code == 0
    leader.end()
    again = Running(leader.world, "web/0")
    assert again.json("secret-get", uri, "--refresh") == {"key": "one"}
    assert again.json("secret-info-get", uri)[uri.removeprefix("secret:")]["revision"] == 1
    assert again.call("secret-set", uri, "key=three").code == 0
    again.end()
    assert again.json("secret-get", uri, "--refresh") == {"key": "three"}


def test_a_revision_that_is_not_there_is_named(leader: Running) -> None:
    uri = add(leader, "key=x")
    assert "has no revision 7" in leader.refusal("secret-remove", uri, "--revision", "7")


def test_removing_the_only_revision_removes_the_secret(leader: Running) -> None:
    uri = add(leader, "key=x")
    assert leader.call("secret-remove", uri, "--revision", "1").code == 0
    leader.end()
    assert leader.world.model.secrets == {}


def test_a_removed_secret_is_there_until_the_hook_has_ended(leader: Running) -> None:
    uri = add(leader, "key=x")
    assert leader.call("secret-remove", uri).code == 0
    assert uri in leader.world.model.secrets
    leader.end()
    assert leader.world.model.secrets == {}
    assert "not found" in Running(leader.world, "web/0").refusal("secret-get", uri)
