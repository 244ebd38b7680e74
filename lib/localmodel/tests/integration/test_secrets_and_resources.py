"""Secrets of operators and charms, and resources, through jubilant and a charm's hook tools."""

from __future__ import annotations

from pathlib import Path

import jubilant
import pytest

from lib.localmodel.tests.integration.probe import as_root, environment, events, journal, pack

READ_SECRET = """\
uri=$(config-get pin)
if [ -n "$uri" ]; then secret-get "$uri" pin >$probe/pin 2>$probe/refusal || true; fi
"""
SECRET_CHANGED = """\
secret-get "$JUJU_SECRET_ID" pin >$probe/old
secret-get "$JUJU_SECRET_ID" pin --refresh >$probe/new
"""


@pytest.fixture(scope="module")
def reader(juju: jubilant.Juju, charms: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    charm = pack(
        charms,
        "reader",
        {
            "install": "cp $(resource-get model) $probe/at-install",
            "config-changed": READ_SECRET,
            "secret-changed": SECRET_CHANGED,
            "upgrade-charm": "cp $(resource-get model) $probe/at-upgrade",
        },
        config={"pin": {"type": "secret"}},
        resources={
            "model": {"type": "file", "filename": "model.bin"},
            "spare": {"type": "file", "filename": "spare.txt"},
        },
    )
    first = tmp_path_factory.mktemp("resources") / "first"
    first.write_text("first")
    juju.deploy(charm, resources={"model": str(first)})
    return "reader/0"


def probe(juju: jubilant.Juju, name: str) -> str:
    return as_root(juju, 0, f"cat /var/lib/probe/{name}").strip()


def test_a_secret_is_read_only_by_those_it_was_granted_to(
    juju: jubilant.Juju, reader: str
) -> None:
    uri = juju.add_secret("granted", {"pin": "1234"}, info="A pin")
    juju.config("reader", {"pin": uri})
    assert probe(juju, "pin") == ""
    assert "permission denied" in probe(juju, "refusal")
    juju.grant_secret("granted", "reader")
    juju.exec(f"secret-get {uri} pin >/var/lib/probe/pin", unit=reader)
    assert probe(juju, "pin") == "1234"
    juju.config("reader", reset="pin")
    juju.remove_secret(uri)


def test_who_tracks_a_secret_is_told_of_its_next_revision(
    juju: jubilant.Juju, reader: str
) -> None:
    uri = juju.add_secret("rolling", {"pin": "old"})
    juju.grant_secret(uri, "reader")
    juju.config("reader", {"pin": uri})
    ran = len(journal(juju))
    juju.update_secret("rolling", {"pin": "new"}, info="Rolled")
    assert events(journal(juju)[ran:], reader) == ["secret-changed"]
    assert (probe(juju, "old"), probe(juju, "new")) == ("old", "new")
    shown = environment(juju, reader, "secret-changed")
    assert (shown["JUJU_SECRET_ID"], shown["JUJU_SECRET_REVISION"]) == (uri, "2")
    assert "JUJU_SECRET_LABEL" in shown
    juju.remove_secret(uri)


def test_an_operator_sees_secrets_and_their_content_only_when_revealed(
    juju: jubilant.Juju,
) -> None:
    uri = juju.add_secret("seen", {"user": "me", "word": "open sesame"}, info="A login")
    (listed,) = [s for s in juju.secrets() if s.name == "seen"]
    assert (listed.uri.unique_identifier, listed.revision) == (uri.unique_identifier, 1)
    shown = juju.show_secret("seen")
    assert (shown.description, shown.owner) == ("A login", "<model>")
    assert not isinstance(shown, jubilant.RevealedSecret)
    revealed = juju.show_secret(uri, reveal=True)
    assert revealed.content == {"user": "me", "word": "open sesame"}
    juju.update_secret(uri, {"user": "you"}, name="renamed")
    first = juju.show_secret("renamed", reveal=True, revision=1)
    assert first.content["user"] == "me"
    history = juju.show_secret("renamed", revisions=True).revisions
    assert history is not None
    assert [r.revision for r in history] == [1, 2]
    juju.remove_secret("renamed", revision=1)
    juju.remove_secret("renamed")
    assert [s for s in juju.secrets() if s.name == "renamed"] == []


def test_an_unused_revision_goes_where_it_is_asked_for(juju: jubilant.Juju) -> None:
    uri = juju.add_secret("pruned", {"pin": "1"})
    juju.update_secret(uri, {"pin": "2"}, auto_prune=True)
    assert juju.show_secret(uri, reveal=True).content == {"pin": "2"}
    juju.remove_secret(uri)


def test_a_resource_is_there_at_install_and_a_new_one_brings_upgrade_charm(
    juju: jubilant.Juju, reader: str, tmp_path: Path
) -> None:
    assert probe(juju, "at-install") == "first"
    second = tmp_path / "second"
    second.write_text("second")
    ran = len(journal(juju))
    juju.cli("attach-resource", "reader", f"model={second}")
    assert events(journal(juju)[ran:], reader) == ["upgrade-charm", "config-changed"]
    assert probe(juju, "at-upgrade") == "second"
    path = juju.exec("resource-get model", unit=reader).stdout.strip()
    assert path == "/var/lib/juju/agents/unit-reader-0/resources/model.bin"
    with pytest.raises(jubilant.TaskError, match="could not download resource"):
        juju.exec("resource-get spare", unit=reader)


def test_a_resource_can_come_with_a_refresh(
    juju: jubilant.Juju, reader: str, charms: Path, tmp_path: Path
) -> None:
    third = tmp_path / "third"
    third.write_text("third")
    juju.refresh("reader", path=charms / "reader.charm", resources={"model": str(third)})
    assert probe(juju, "at-upgrade") == "third"
    assert "model" in juju.cli("resources", "reader")
