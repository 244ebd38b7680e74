"""The program that every hook tool is a link to, run by perl as a charm runs it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from pathlib import Path

import pytest

from lib.localmodel.tests.unit.driver import World
from lib.localmodel.tests.unit.hooks import Running
from localmodel.dispatch import serve
from localmodel.errors import LocalModelError
from localmodel.hooktools import list_tools
from localmodel.state import Hook

HOOK = Hook("config-changed", "config-changed", context="token")


class Charm:
    """A charm's process, as far as its hook tools can tell."""

    def __init__(self, running: Running, tools: Path, socket: Path) -> None:
        self.running = running
        self.tools = tools
        source = resources.files("localmodel").joinpath("hook-tool.pl").read_bytes()
        (tools / "hook-tool").write_bytes(source)
        for name in list_tools():
            (tools / name).symlink_to("hook-tool")
        self.environment = {
            "JUJU_AGENT_SOCKET_ADDRESS": str(socket),
            "JUJU_CONTEXT_ID": "token",
            "LANG": "C.UTF-8",
        }

    def call(
        self, name: str, *argv: str | bytes, stdin: bytes = b""
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            ["/usr/bin/perl", str(self.tools / name), *argv],
            input=stdin,
            capture_output=True,
            env=self.environment,
            check=False,
            timeout=20,
        )


@pytest.fixture
def charm(related: World, tmp_path: Path) -> Iterator[Charm]:
    tools = tmp_path / "tools"
    tools.mkdir()
    running = Running(related, "web/0", HOOK)
    socket = tmp_path / "s"
    with serve(running.context, socket):
        yield Charm(running, tools, socket)
    assert not socket.exists()


def test_an_answer_comes_back_on_standard_output(charm: Charm) -> None:
    done = charm.call("config-get", "--format=json")
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["port"] == 80


def test_a_refusal_comes_back_on_standard_error_with_its_exit_code(charm: Charm) -> None:
    done = charm.call("relation-list", "--format=json", "-r", "x:99")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.startswith(b"ERROR ")
    assert b"relation not found" in done.stderr
    assert charm.call("action-get").returncode == 1


def test_standard_input_is_handed_on_where_a_tool_reads_it(charm: Charm) -> None:
    data = {"ä\n": "💡 = 'x'", "plain": "1"}
    done = charm.call("state-set", "--file", "-", stdin=json.dumps(data).encode())
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    raw = json.dumps({"raw": "ä💡"}, ensure_ascii=False).encode()
    assert charm.call("state-set", "--file", "-", stdin=raw).returncode == 0
    found = json.loads(charm.call("state-get", "--format=json").stdout)
    assert found == data | {"raw": "ä💡"}


def test_standard_input_is_left_alone_where_a_tool_does_not_read_it(charm: Charm) -> None:
    done = charm.call("state-set", "a=1", stdin=b"b: 2")
    assert done.returncode == 0
    assert json.loads(charm.call("state-get", "--format=json").stdout) == {"a": "1"}


def test_arguments_pass_as_they_are(charm: Charm) -> None:
    message = "--a 'b' \"c\" $d `e` \\ 💡 ä\tend"
    assert charm.call("status-set", "--application=False", "active", "--", message).returncode == 0
    assert charm.running.unit.workload.message == message
    assert charm.call("config-get", "title").stdout == b"hello\n"


def test_bytes_that_are_no_utf_8_do_no_harm(charm: Charm) -> None:
    assert charm.call("juju-log", "--", b"\xff\xfe!").returncode == 0
    store = charm.running.world.store
    assert store.logs(charm.running.world.model)[-1].message.endswith("!")


def test_a_large_answer_arrives_whole(charm: Charm) -> None:
    big = "é" * 3_000_000
    body = json.dumps({"big": big}, ensure_ascii=False).encode()
    assert charm.call("state-set", "--file", "-", stdin=body).returncode == 0
    assert json.loads(charm.call("state-get", "--format=json", "big").stdout) == big


def test_parallel_calls_each_get_their_own_answer(charm: Charm) -> None:
    def keep(number: int) -> int:
        return charm.call("state-set", f"key{number}={number}").returncode

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(keep, range(24))) == {0}
        answers = list(pool.map(lambda n: charm.call("state-get", f"key{n}").stdout, range(24)))
    assert answers == [f"{n}\n".encode() for n in range(24)]


def test_a_tool_of_another_hook_is_refused(charm: Charm) -> None:
    charm.environment["JUJU_CONTEXT_ID"] = "yesterday"
    done = charm.call("state-set", "a=1")
    assert (done.returncode, done.stderr) == (1, b"ERROR state-set: this hook has ended\n")
    assert charm.running.context.kept() == {}


def test_a_tool_outside_of_a_hook_says_so(charm: Charm) -> None:
    charm.environment["JUJU_AGENT_SOCKET_ADDRESS"] += "-gone"
    done = charm.call("is-leader")
    assert done.returncode != 0
    assert b"ERROR is-leader: no agent at" in done.stderr
    del charm.environment["JUJU_AGENT_SOCKET_ADDRESS"]
    done = charm.call("is-leader")
    assert done.returncode != 0
    assert b"ERROR is-leader runs in a hook only" in done.stderr


def test_a_reboot_now_stops_the_charm(related: World, tmp_path: Path) -> None:
    running = Running(related, "web/0", HOOK)
    stopped: list[str] = []
    with serve(running.context, tmp_path / "s") as stop_now:
        stop_now.append(lambda: stopped.append("now"))
        charm = Charm(running, tmp_path, tmp_path / "s")
        charm.call("juju-reboot")
        assert stopped == []
        charm.call("juju-reboot", "--now")
    assert stopped == ["now"]


def test_only_root_may_talk_to_the_socket(charm: Charm) -> None:
    socket = charm.environment["JUJU_AGENT_SOCKET_ADDRESS"]
    assert Path(socket).stat().st_mode & 0o777 == 0o600


def test_a_folder_too_deep_for_a_socket_is_named(related: World, tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 90) / "s"
    with (
        pytest.raises(LocalModelError, match="too long for a socket: set LOCALMODEL_RUN"),
        serve(Running(related, "web/0", HOOK).context, deep),
    ):
        pass
