"""The order of events, and what a charm finds when it is run: one life of a model, journalled."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jubilant
import pytest

from lib.localmodel.tests.integration.probe import Run, environment, events, journal, pack

PEERS = {"cluster": {"interface": "cluster"}}


class Story(NamedTuple):
    """What ran on machines 0 and 1, by chapter, and some environments."""

    runs: dict[str, tuple[list[Run], list[Run]]]
    environments: dict[str, dict[str, str]]
    before_integrate: jubilant.Status
    log: str
    files: str

    def events(self, chapter: str, unit: str) -> list[str]:
        zero, one = self.runs[chapter]
        return events(zero, unit) or events(one, unit)


@pytest.fixture(scope="module")
def story(juju: jubilant.Juju, charms: Path) -> Story:
    runs: dict[str, tuple[list[Run], list[Run]]] = {}
    environments: dict[str, dict[str, str]] = {}
    seen = [0, 0]

    def chapter(name: str, step: Callable[[], object]) -> None:
        step()
        found = [journal(juju, machine) for machine in (0, 1)]
        runs[name] = found[0][seen[0] :], found[1][seen[1] :]
        seen[:] = [len(f) for f in found]

    def keep(name: str, unit: str, hook: str) -> None:
        environments[name] = environment(juju, unit, hook)

    web = {"web": {"interface": "http"}}
    keeper = pack(charms, "keeper", provides=web)
    host = pack(
        charms,
        "host",
        {"install": "echo spoken; echo complained >&2; echo data >made-by-unit"},
        config={"colour": {"type": "string", "default": "red"}, "size": {"type": "int"}},
        actions={"look": {}},
        files={"only-in-the-first": "1", "in-both": "1"},
        requires=web,
        peers=PEERS,
    )
    sub = pack(
        charms,
        "sub",
        subordinate=True,
        requires={"juju-info": {"interface": "juju-info", "scope": "container"}},
        peers=PEERS,
    )
    chapter("keeper", lambda: juju.deploy(keeper, num_units=2))
    chapter("principal", lambda: juju.deploy(host, num_units=2, to=["0", "1"]))
    keep("install", "host/0", "install")
    chapter("subordinate", lambda: juju.deploy(sub))
    before_integrate = juju.status()
    chapter("juju-info", lambda: juju.integrate("sub", "host"))
    keep("subordinate", "sub/0", "install")
    keep("joined", "sub/0", "juju-info-relation-joined")
    keep("created", "sub/0", "juju-info-relation-created")
    chapter("global relation", lambda: juju.integrate("host", "keeper"))
    chapter("third unit", lambda: juju.add_unit("host", to="0"))
    chapter("configuration", lambda: juju.config("host", {"colour": "blue", "size": 3}))
    chapter("same configuration", lambda: juju.config("host", {"colour": "blue"}))
    chapter("action", lambda: juju.cli("run", "host/0", "look"))
    keep("action", "host/0", "look")
    folder = charms / "second"
    folder.mkdir()
    second = pack(folder, "host", files={"in-both": "2"}, requires=web, peers=PEERS)
    chapter("refresh", lambda: juju.refresh("host", path=second))
    files = juju.exec("head -n 1 made-by-unit in-both; ls", unit="host/0").stdout
    chapter("unit removed", lambda: juju.remove_unit("host/2"))
    chapter("relation removed", lambda: juju.remove_relation("sub", "host"))
    keep("departed", "sub/0", "juju-info-relation-departed")
    chapter("again", lambda: juju.integrate("sub", "host"))
    chapter("application removed", lambda: juju.remove_application("host"))
    return Story(runs, environments, before_integrate, juju.debug_log(), files)


def test_a_principal_is_installed_and_started_before_it_meets_its_peers(story: Story) -> None:
    first = ["install", "cluster-relation-created"]
    rest = ["config-changed", "start"]
    assert story.events("principal", "host/0") == [
        *first,
        "leader-elected",
        *rest,
        "cluster-relation-joined host/1",
        "cluster-relation-changed host/1",
    ]
    assert story.events("principal", "host/1") == [
        *first,
        *rest,
        "cluster-relation-joined host/0",
        "cluster-relation-changed host/0",
    ]


def without_principals_of_others(events: list[str], principal: str) -> list[str]:
    """Leave out what is about other principals: when it comes depends on their machines."""
    about_principals = ("juju-info-relation-joined", "juju-info-relation-changed")
    about_principals += ("juju-info-relation-departed",)
    return [e for e in events if not e.startswith(about_principals) or e.endswith(principal)]


def test_a_subordinate_gets_hooks_for_principals_on_other_machines_too(story: Story) -> None:
    for unit, other in (("sub/0", "host/1"), ("sub/1", "host/0")):
        assert f"juju-info-relation-joined {other}" in story.events("juju-info", unit)


def test_a_subordinate_has_no_unit_until_it_is_related(story: Story) -> None:
    assert story.runs["subordinate"] == ([], [])
    assert story.before_integrate.apps["sub"].units == {}
    assert not story.before_integrate.apps["host"].units["host/0"].subordinates


def test_a_subordinate_meets_its_own_principal_first_and_its_peers_last(story: Story) -> None:
    first = ["install", "juju-info-relation-created", "cluster-relation-created"]
    for unit, principal, peer in (("sub/0", "host/0", "sub/1"), ("sub/1", "host/1", "sub/0")):
        assert without_principals_of_others(story.events("juju-info", unit), principal) == [
            *first,
            *(["leader-elected"] if unit == "sub/0" else []),
            "config-changed",
            "start",
            f"juju-info-relation-joined {principal}",
            f"juju-info-relation-changed {principal}",
            f"cluster-relation-joined {peer}",
            f"cluster-relation-changed {peer}",
        ]


def test_the_principal_gets_no_hook_for_its_implicit_endpoint(story: Story) -> None:
    assert story.events("juju-info", "host/0") == story.events("juju-info", "host/1") == []


def test_each_remote_unit_of_a_new_relation_joins_and_changes(story: Story) -> None:
    remote = [f"web-relation-{what} host/{n}" for n in (0, 1) for what in ("joined", "changed")]
    assert story.events("global relation", "keeper/0") == ["web-relation-created", *remote]


def test_a_later_unit_is_told_of_every_relation_before_it_starts(story: Story) -> None:
    assert story.events("third unit", "host/2") == [
        "install",
        "web-relation-created",
        "cluster-relation-created",
        "config-changed",
        "start",
        "web-relation-joined keeper/0",
        "web-relation-changed keeper/0",
        "web-relation-joined keeper/1",
        "web-relation-changed keeper/1",
        "cluster-relation-joined host/0",
        "cluster-relation-changed host/0",
        "cluster-relation-joined host/1",
        "cluster-relation-changed host/1",
    ]
    machine = story.runs["third unit"][0]
    names = [(r.unit, r.name) for r in machine]
    assert names.index(("host/2", "install")) < names.index(("sub/2", "install"))


def test_one_change_of_configuration_is_two_config_changed(story: Story) -> None:
    for unit in ("host/0", "host/1", "host/2"):
        assert story.events("configuration", unit) == ["config-changed"] * 2
    assert story.runs["same configuration"] == ([], [])


def test_refresh_replaces_the_charms_files_and_keeps_the_units_own(story: Story) -> None:
    for unit in ("host/0", "host/1", "host/2"):
        assert story.events("refresh", unit) == ["upgrade-charm", "config-changed"]
    assert "==> made-by-unit <==\ndata\n\n==> in-both <==\n2" in story.files
    assert "only-in-the-first" not in story.files


def test_a_removed_unit_takes_its_subordinate_along_and_survivors_see_it_depart(
    story: Story,
) -> None:
    assert without_principals_of_others(story.events("unit removed", "sub/2"), "host/2") == [
        "juju-info-relation-departed host/2",
        "juju-info-relation-broken",
        "cluster-relation-departed sub/0",
        "cluster-relation-departed sub/1",
        "stop",
        "remove",
    ]
    assert story.events("unit removed", "host/2")[-2:] == ["stop", "remove"]
    for unit, gone in (("host/0", "host/2"), ("host/1", "host/2"), ("sub/0", "sub/2")):
        seen = without_principals_of_others(story.events("unit removed", unit), "none")
        assert seen == [f"cluster-relation-departed {gone}"]
    assert story.events("unit removed", "keeper/0") == ["web-relation-departed host/2"]


def test_a_removed_relation_ends_its_subordinates(story: Story) -> None:
    for unit, principal in (("sub/0", "host/0"), ("sub/1", "host/1")):
        seen = without_principals_of_others(story.events("relation removed", unit), principal)
        # The other one's departure shows only if it has not gone before.
        peers = [e for e in seen if e.startswith("cluster-relation-departed")]
        assert [e for e in seen if e not in peers] == [
            f"juju-info-relation-departed {principal}",
            "juju-info-relation-broken",
            "stop",
            "remove",
        ]
        assert len(peers) <= 1
    assert story.environments["departed"]["JUJU_DEPARTING_UNIT"] == "sub/0"
    assert story.events("relation removed", "host/0") == []


def test_a_removed_application_ends_with_its_relations_and_subordinates(story: Story) -> None:
    for unit, principal in (("sub/3", "host/0"), ("sub/4", "host/1")):
        seen = without_principals_of_others(story.events("application removed", unit), principal)
        assert seen[:2] == [
            f"juju-info-relation-departed {principal}",
            "juju-info-relation-broken",
        ]
        assert seen[-2:] == ["stop", "remove"]
        assert story.events("application removed", principal)[-2:] == ["stop", "remove"]
    assert "web-relation-broken" in story.events("application removed", "keeper/0")
    assert "web-relation-broken" in story.events("application removed", "host/0")


def test_one_hook_runs_at_a_time_on_a_machine(story: Story) -> None:
    for chapter in story.runs.values():
        assert all(run.ended and run.alone for machine in chapter for run in machine)


def test_a_charm_runs_as_root_in_its_folder_without_input(story: Story) -> None:
    for chapter in story.runs.values():
        for run in (*chapter[0], *chapter[1]):
            tag = run.unit.replace("/", "-")
            assert run.folder == f"/var/lib/juju/agents/unit-{tag}/charm"
            assert (run.user, run.stdin) == ("root", "/dev/null")


ALWAYS = """
CHARM_DIR JUJU_CHARM_DIR JUJU_CONTEXT_ID JUJU_HOOK_NAME JUJU_DISPATCH_PATH
JUJU_AGENT_SOCKET_ADDRESS JUJU_AGENT_SOCKET_NETWORK JUJU_UNIT_NAME JUJU_MODEL_UUID
JUJU_MODEL_NAME JUJU_API_ADDRESSES JUJU_MACHINE_ID JUJU_PRINCIPAL_UNIT JUJU_AVAILABILITY_ZONE
JUJU_VERSION CLOUD_API_VERSION JUJU_CHARM_HTTP_PROXY JUJU_CHARM_HTTPS_PROXY
JUJU_CHARM_FTP_PROXY JUJU_CHARM_NO_PROXY APT_LISTCHANGES_FRONTEND DEBIAN_FRONTEND LANG TERM PATH
JUJU_CHARM_TRACE_CONFIG_CA_CERT JUJU_CHARM_TRACE_CONFIG_GRPC JUJU_CHARM_TRACE_CONFIG_HTTP
"""
RELATION = ["JUJU_RELATION", "JUJU_RELATION_ID", "JUJU_REMOTE_UNIT", "JUJU_REMOTE_APP"]
ACTION = ["JUJU_ACTION_NAME", "JUJU_ACTION_UUID", "JUJU_ACTION_TAG"]


@pytest.mark.parametrize(
    ("run", "extra"),
    [
        ("install", []),
        ("subordinate", []),
        ("created", RELATION),
        ("joined", RELATION),
        ("departed", [*RELATION, "JUJU_DEPARTING_UNIT"]),
        ("action", ACTION),
    ],
)
def test_a_charms_environment_is_exactly_the_agents(
    story: Story, run: str, extra: list[str]
) -> None:
    assert set(story.environments[run]) == {*ALWAYS.split(), *extra}


def test_a_charms_environment_says_who_it_is_and_what_happens(
    story: Story, juju: jubilant.Juju
) -> None:
    install, joined = story.environments["install"], story.environments["joined"]
    folder = "/var/lib/juju/agents/unit-host-0/charm"
    expected = {
        "CHARM_DIR": folder,
        "JUJU_CHARM_DIR": folder,
        "JUJU_HOOK_NAME": "install",
        "JUJU_DISPATCH_PATH": "hooks/install",
        "JUJU_AGENT_SOCKET_NETWORK": "unix",
        "JUJU_UNIT_NAME": "host/0",
        "JUJU_MODEL_NAME": juju.model,
        "JUJU_MODEL_UUID": juju.show_model().model_uuid,
        "JUJU_MACHINE_ID": "0",
        "JUJU_PRINCIPAL_UNIT": "",
        "APT_LISTCHANGES_FRONTEND": "none",
        "DEBIAN_FRONTEND": "noninteractive",
        "LANG": "C.UTF-8",
        "TERM": "tmux-256color",
    }
    assert {k: install[k] for k in expected} == expected
    assert install["PATH"].startswith("/var/lib/juju/tools/unit-host-0:")
    unit, hook, token = install["JUJU_CONTEXT_ID"].rsplit("-", 2)
    assert (unit, hook, len(bytes.fromhex(token))) == ("host/0", "install", 16)
    assert joined["JUJU_REMOTE_UNIT"] in ("host/0", "host/1")
    assert {k: joined[k] for k in RELATION if k != "JUJU_REMOTE_UNIT"} == {
        "JUJU_RELATION": "juju-info",
        "JUJU_RELATION_ID": "juju-info:2",
        "JUJU_REMOTE_APP": "host",
    }
    assert joined["JUJU_PRINCIPAL_UNIT"] == "host/0"
    assert story.environments["created"]["JUJU_REMOTE_UNIT"] == ""
    action = story.environments["action"]
    assert (action["JUJU_HOOK_NAME"], action["JUJU_ACTION_NAME"]) == ("", "look")
    assert action["JUJU_DISPATCH_PATH"] == "actions/look"
    assert action["JUJU_ACTION_TAG"] == f"action-{action['JUJU_ACTION_UUID']}"


def test_what_a_hook_prints_is_logged_as_debug_and_warning(story: Story) -> None:
    lines = [line for line in story.log.splitlines() if line.startswith("unit-host-0: ")]
    assert any(" DEBUG " in line and line.endswith("spoken") for line in lines)
    assert any(" WARNING " in line and line.endswith("complained") for line in lines)
