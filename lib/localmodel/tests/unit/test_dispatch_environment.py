"""The table "One dispatch": the environment of each kind of event, and nothing else."""

from __future__ import annotations

import pytest

from lib.localmodel.tests.unit.driver import World
from lib.localmodel.tests.unit.hooks import Running
from localmodel.dispatch import make_environment
from localmodel.state import Hook
from localmodel.tasks import JUJU_EXEC, Task

ALWAYS = {
    "CHARM_DIR": "/var/lib/juju/agents/unit-search-0/charm",
    "JUJU_CHARM_DIR": "/var/lib/juju/agents/unit-search-0/charm",
    "JUJU_CONTEXT_ID": "search/0-x-0123",
    "JUJU_AGENT_SOCKET_ADDRESS": "/var/lib/juju/agents/unit-search-0/agent.socket",
    "JUJU_AGENT_SOCKET_NETWORK": "unix",
    "JUJU_UNIT_NAME": "search/0",
    "JUJU_MODEL_UUID": "00000000-0000-0000-0000-000000000007",
    "JUJU_MODEL_NAME": "m",
    "JUJU_API_ADDRESSES": "172.30.0.1:17070",
    "JUJU_MACHINE_ID": "0",
    "JUJU_PRINCIPAL_UNIT": "web/0",
    "JUJU_AVAILABILITY_ZONE": "",
    "JUJU_VERSION": "4.0.15",
    "CLOUD_API_VERSION": "",
    "JUJU_CHARM_HTTP_PROXY": "",
    "JUJU_CHARM_HTTPS_PROXY": "",
    "JUJU_CHARM_FTP_PROXY": "",
    "JUJU_CHARM_NO_PROXY": "127.0.0.1,localhost,::1",
    "JUJU_CHARM_TRACE_CONFIG_CA_CERT": "",
    "JUJU_CHARM_TRACE_CONFIG_GRPC": "",
    "JUJU_CHARM_TRACE_CONFIG_HTTP": "",
    "APT_LISTCHANGES_FRONTEND": "none",
    "DEBIAN_FRONTEND": "noninteractive",
    "LANG": "C.UTF-8",
    "TERM": "tmux-256color",
    "PATH": "/var/lib/juju/tools/unit-search-0:/usr/local/sbin:/usr/local/bin"
    ":/usr/sbin:/usr/bin:/sbin:/bin",
}


def found(world: World, unit: str, hook: Hook, task: Task | None = None) -> dict[str, str]:
    return make_environment(Running(world, unit, hook, task).context, world.model.config)


def plain(name: str) -> dict[str, str]:
    return {**ALWAYS, "JUJU_HOOK_NAME": name, "JUJU_DISPATCH_PATH": f"hooks/{name}"}


@pytest.mark.parametrize(
    "name",
    ["install", "config-changed", "start", "stop", "remove", "upgrade-charm", "leader-elected"],
)
def test_a_plain_event_has_nothing_more(related: World, name: str) -> None:
    hook = Hook(name, name, context="search/0-x-0123")
    assert found(related, "search/0", hook) == plain(name)


@pytest.mark.parametrize(
    ("kind", "unit"),
    [
        ("relation-created", ""),
        ("relation-joined", "web/0"),
        ("relation-changed", "web/0"),
        ("relation-changed", ""),
        ("relation-broken", ""),
    ],
)
def test_a_relation_event_names_the_relation_and_who_it_is_about(
    related: World, kind: str, unit: str
) -> None:
    name = f"juju-info-{kind}"
    hook = Hook(name, kind, 3, unit, "web", context="search/0-x-0123")
    assert found(related, "search/0", hook) == plain(name) | {
        "JUJU_RELATION": "juju-info",
        "JUJU_RELATION_ID": "juju-info:3",
        "JUJU_REMOTE_UNIT": unit,
        "JUJU_REMOTE_APP": "web",
    }


def test_a_departure_names_the_unit_that_departs(related: World) -> None:
    name = "juju-info-relation-departed"
    hook = Hook(
        name,
        "relation-departed",
        3,
        "web/0",
        "web",
        departing="search/0",
        context="search/0-x-0123",
    )
    assert found(related, "search/0", hook) == plain(name) | {
        "JUJU_RELATION": "juju-info",
        "JUJU_RELATION_ID": "juju-info:3",
        "JUJU_REMOTE_UNIT": "web/0",
        "JUJU_REMOTE_APP": "web",
        "JUJU_DEPARTING_UNIT": "search/0",
    }


def test_an_action_has_its_name_and_no_hook(related: World) -> None:
    hook = Hook("publish", "action", context="search/0-x-0123")
    task = Task("12", "search/0", "publish")
    assert found(related, "search/0", hook, task) == ALWAYS | {
        "JUJU_HOOK_NAME": "",
        "JUJU_DISPATCH_PATH": "actions/publish",
        "JUJU_ACTION_NAME": "publish",
        "JUJU_ACTION_UUID": "12",
        "JUJU_ACTION_TAG": "action-12",
    }


def test_a_command_is_an_action_that_dispatches_nothing(related: World) -> None:
    hook = Hook(JUJU_EXEC, "exec", context="search/0-x-0123")
    task = Task("12", "search/0", JUJU_EXEC)
    assert found(related, "search/0", hook, task) == ALWAYS | {
        "JUJU_HOOK_NAME": "",
        "JUJU_ACTION_NAME": "juju-exec",
        "JUJU_ACTION_UUID": "12",
        "JUJU_ACTION_TAG": "action-12",
    }


@pytest.mark.parametrize(
    ("name", "revision", "shown"),
    [("secret-changed", 2, "2"), ("secret-rotate", 0, ""), ("secret-expired", 3, "3")],
)
def test_a_secret_event_names_the_secret(
    related: World, name: str, revision: int, shown: str
) -> None:
    hook = Hook(
        name, name, secret="secret:x", label="l", revision=revision, context="search/0-x-0123"
    )
    assert found(related, "search/0", hook) == plain(name) | {
        "JUJU_SECRET_ID": "secret:x",
        "JUJU_SECRET_LABEL": "l",
        "JUJU_SECRET_REVISION": shown,
    }


def test_a_principal_has_no_principal(related: World) -> None:
    assert found(related, "web/1", Hook("start", "start"))["JUJU_PRINCIPAL_UNIT"] == ""


def test_the_models_proxies_are_handed_on(related: World) -> None:
    related.model.config = {
        "juju-http-proxy": "http://p:1",
        "juju-https-proxy": "http://p:2",
        "juju-ftp-proxy": "http://p:3",
        "juju-no-proxy": "10.0.0.0/8",
    }
    variables = found(related, "web/0", Hook("start", "start"))
    assert {k: v for k, v in variables.items() if k.endswith("_PROXY")} == {
        "JUJU_CHARM_HTTP_PROXY": "http://p:1",
        "JUJU_CHARM_HTTPS_PROXY": "http://p:2",
        "JUJU_CHARM_FTP_PROXY": "http://p:3",
        "JUJU_CHARM_NO_PROXY": "10.0.0.0/8",
    }
