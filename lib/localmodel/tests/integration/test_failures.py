"""What a hook that fails leaves behind, and how its unit gets on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import jubilant
import pytest

from lib.localmodel.tests.integration.probe import (
    as_root,
    command,
    events,
    journal,
    pack,
    remove,
    touch,
)

# Changes everything that can be, and then fails if a test asks for that.
CONFIG_CHANGED = """\
relation-set -r "$(relation-ids cluster)" colour="$(config-get colour)"
if [ "$(is-leader)" = True ]; then
    relation-set -r "$(relation-ids cluster)" --app colour="$(config-get colour)"
fi
state-set colour="$(config-get colour)"
if [ "$(config-get colour)" = open ]; then
    open-port 80/tcp
    # The second config-changed of the same change finds it there.
    secret-get --label pin >/dev/null 2>&1 || secret-add --owner unit --label pin pin=1234
fi
status-set active "$(config-get colour)"
[ ! -e $probe/fail ] || exit 1
"""


@pytest.fixture(scope="module")
def fragile(juju: jubilant.Juju, charms: Path) -> str:
    charm = pack(
        charms,
        "fragile",
        {
            "config-changed": CONFIG_CHANGED,
            "good": "state-set good=done; action-set a.b=c; echo out; echo err >&2",
            "bad": "state-set bad=done; exit 3",
            "rude": "action-fail 'not today'",
        },
        config={"colour": {"type": "string", "default": "red"}},
        actions={"good": {}, "bad": {}, "rude": {}},
        peers={"cluster": {"interface": "cluster"}},
    )
    juju.deploy(charm, num_units=2)
    return "fragile/0"


@pytest.fixture
def failing(juju: jubilant.Juju, fragile: str) -> Iterator[str]:
    """The first unit fails from now on; in the end it is repaired."""
    touch(juju, "fail")
    yield fragile
    as_root(juju, "0", "rm -f /var/lib/probe/fail")
    if not jubilant.all_active(juju.status()):
        juju.cli("resolved", fragile)
    assert jubilant.all_active(juju.status())


def state(juju: jubilant.Juju, unit: str, key: str) -> str:
    return juju.exec(f"state-get {key}", unit=unit).stdout.strip()


def shown_by(juju: jubilant.Juju, unit: str, entity: str) -> str | None:
    """The colour that a unit or an application shows to its peers."""
    script = f"relation-get -r $(relation-ids cluster) - {entity} --format=json"
    words = juju.exec(script, unit=unit).stdout
    return json.loads(words).get("colour")


def test_a_failed_hook_puts_its_unit_in_error(juju: jubilant.Juju, failing: str) -> None:
    juju.config("fragile", {"colour": "green"})
    status = juju.status()
    unit = status.apps["fragile"].units[failing]
    assert (unit.workload_status.current, unit.workload_status.message) == (
        "error",
        'hook failed: "config-changed"',
    )
    assert jubilant.any_error(status, "fragile")
    assert status.apps["fragile"].app_status.current == "error"
    assert status.apps["fragile"].units["fragile/1"].is_active
    assert 'hook "config-changed" failed' in juju.debug_log()


def test_a_failed_hook_leaves_nothing_but_its_status_and_its_retry_lands_it_all(
    juju: jubilant.Juju, failing: str
) -> None:
    ran = len(journal(juju))
    juju.config("fragile", {"colour": "open"})
    assert state(juju, failing, "colour") != "open"
    assert shown_by(juju, failing, failing) != "open"
    assert shown_by(juju, failing, "fragile") != "open"
    assert juju.secrets(owner=failing) == []
    assert not juju.status().apps["fragile"].units[failing].open_ports
    told = juju.exec("status-get --include-data --format=json", unit=failing).stdout
    assert json.loads(told)["message"] == "open"

    remove(juju, "fail")
    juju.cli("resolved", failing)

    assert events(journal(juju)[ran:], failing)[:2] == ["config-changed"] * 2
    assert state(juju, failing, "colour") == "open"
    assert shown_by(juju, failing, failing) == "open"
    assert shown_by(juju, "fragile/1", failing) == "open"
    assert shown_by(juju, failing, "fragile") == "open"
    assert juju.status().apps["fragile"].units[failing].open_ports == ["80/tcp"]
    (secret,) = juju.secrets(owner=failing)
    assert secret.label == "pin"


def test_a_hook_that_was_resolved_without_retry_is_not_run_again(
    juju: jubilant.Juju, failing: str
) -> None:
    juju.config("fragile", {"colour": "violet"})
    ran = len(journal(juju))
    juju.cli("resolved", "--no-retry", failing)
    assert jubilant.all_active(juju.status())
    assert state(juju, failing, "colour") != "violet"
    assert "config-changed" not in events(journal(juju)[ran:], failing)


def test_a_failed_hook_is_run_again_by_a_later_status(juju: jubilant.Juju, failing: str) -> None:
    juju.config("fragile", {"colour": "brown"})
    # On a slow machine this status is the first that runs it again; it goes on to fail.
    assert jubilant.any_error(juju.status())
    ran = len(journal(juju))
    remove(juju, "fail")
    juju.wait(jubilant.all_active, delay=0.2, successes=1)
    assert "config-changed" in events(journal(juju)[ran:], failing)
    assert state(juju, failing, "colour") == "brown"


def test_an_action_runs_while_a_hook_is_in_error(juju: jubilant.Juju, failing: str) -> None:
    juju.config("fragile", {"colour": "black"})
    task = juju.run(failing, "good")
    assert (task.results, task.stdout, task.stderr) == ({"a": {"b": "c"}}, "out\n", "err\n")
    assert state(juju, failing, "good") == "done"
    assert jubilant.any_error(juju.status())


def test_an_action_that_fails_changes_nothing_and_leaves_its_unit_well(
    juju: jubilant.Juju, fragile: str
) -> None:
    with pytest.raises(jubilant.TaskError) as failure:
        juju.run(fragile, "bad")
    assert (failure.value.task.status, failure.value.task.return_code) == ("failed", 3)
    assert state(juju, fragile, "bad") == ""
    with pytest.raises(jubilant.TaskError, match="not today"):
        juju.run(fragile, "rude")
    assert jubilant.all_active(juju.status())


def test_only_a_unit_in_error_can_be_resolved(juju: jubilant.Juju, fragile: str) -> None:
    with pytest.raises(jubilant.CLIError) as failure:
        juju.cli("resolved", fragile)
    assert 'unit "fragile/0" is not in an error state' in failure.value.stderr


def test_a_failed_hook_is_not_retried_where_the_model_says_so(
    juju: jubilant.Juju, failing: str
) -> None:
    juju.model_config({"automatically-retry-hooks": False})
    juju.config("fragile", {"colour": "white"})
    ran = len(journal(juju))
    juju.model_config(reset="automatically-retry-hooks")
    command("localmodel", "tick", "--model", str(juju.model))
    assert "config-changed" not in events(journal(juju)[ran:], failing)
    assert jubilant.any_error(juju.status())
