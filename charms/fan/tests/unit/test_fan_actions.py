from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from dataclasses import MISSING, fields
from ipaddress import IPv4Address
from pathlib import Path
from types import ModuleType
from typing import Any

import ops
import pytest
import yaml
from ops import testing

from charms.fan.tests.unit.conftest import SOURCE
from charms.fan.tests.unit.fake_host import Host
from charms.fan.tests.unit.test_fan_charm import PEERS, make_peer_data
from fan.throughput import Throughput

Run = Callable[..., testing.State]
Context = testing.Context[ops.CharmBase]
Act = Callable[..., dict[str, Any]]
FLOOD = """\
PING 250.0.27.1 (250.0.27.1) from 250.0.28.1 : 1422(1450) bytes of data.

--- 250.0.27.1 ping statistics ---
{sent} packets transmitted, {received} received, 0% packet loss, time 5000ms
rtt min/avg/max/mdev = 0.059/0.186/8.107/0.079 ms, pipe 64, ipg/ewma 0.037/0.209 ms
"""


@pytest.fixture
def act(context: Context) -> Act:
    """Runs an action of fan/0, and returns its results."""

    def act(action: str, peers: Any = None, **params: str | int) -> dict[str, Any]:
        told = testing.PeerRelation("hosts", peers_data={**(peers or {})})
        state = testing.State(relations={told})
        context.run(context.on.action(action, params=params), state)
        return dict(context.action_results or {})

    return act


@pytest.fixture
def flood(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Stands in for ping, and keeps how it was called."""
    called: list[list[str]] = []

    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        called.append(command)
        received = 125000 if "250.0.27.1" in command else 0
        said = FLOOD.format(sent=125064, received=received)
        return subprocess.CompletedProcess(command, 0, said, "")

    def refuse(*_: object) -> None:
        raise ConnectionRefusedError

    monkeypatch.setattr("subprocess.run", run)
    monkeypatch.setattr("fan.throughput.send", refuse)
    return called


@pytest.mark.parametrize(
    ("action", "name"), [("measure", "MeasureParams"), ("listen", "ListenParams")]
)
def test_an_actions_parameters_are_those_that_the_charm_reads(
    charm_module: ModuleType, action: str, name: str
) -> None:
    metadata = yaml.safe_load((SOURCE.parent / "charmcraft.yaml").read_text())
    told = metadata["actions"][action]
    read = {field.name: field.default for field in fields(getattr(charm_module, name))}
    assert set(told["params"]) == set(read)
    for parameter, default in read.items():
        assert told["params"][parameter].get("default", MISSING) == default
        assert (parameter in told.get("required", ())) == (default is MISSING)


def test_every_action_that_is_declared_is_handled(charm_module: ModuleType) -> None:
    metadata = yaml.safe_load((SOURCE.parent / "charmcraft.yaml").read_text())
    for action in metadata["actions"]:
        assert hasattr(charm_module.FanCharm, f"_on_{action}")


@pytest.mark.parametrize("action", ["show", "verify", "listen", "drops"])
def test_without_a_fan_an_action_says_so(host: Host, act: Act, action: str) -> None:
    with pytest.raises(testing.ActionFailed, match="no fan on this machine yet"):
        act(action)


def test_show_lists_what_there_is(host: Host, run: Run, act: Act) -> None:
    run()
    assert act("show") == {
        "bridge": "fan-250",
        "overlay": "250.0.0.0/8",
        "underlay": "172.30.0.28/16",
        "slice": "250.0.28.0/24",
        "gateway": "250.0.28.1",
        "encapsulation": "vxlan, VNI 16384000, UDP port 8472",
        "mtu": 1450,
        "masquerade": "true",
        "shortcuts": "true",
        "device": "eth0",
        "plugged": "veth1",
        "problems": "none",
    }


def test_the_short_ways_go_by_their_option(host: Host, run: Run, act: Act) -> None:
    run()
    run(shortcuts=False)
    assert act("show")["shortcuts"] == "false"


def test_an_action_shows_the_fan_that_is_while_the_options_are_wrong(
    host: Host, run: Run, act: Act
) -> None:
    run()
    run(overlay="nonsense")
    assert act("show")["overlay"] == "250.0.0.0/8"


def test_verify_returns_a_table_of_round_trips(host: Host, run: Run, act: Act) -> None:
    run()
    results = act("verify", PEERS)
    assert results["peers"].splitlines() == [
        "UNIT   HOST         GATEWAY     ROUND TRIP  LARGEST PACKET",
        "fan/1  172.30.0.27  250.0.27.1  0.210 ms    1450 bytes",
        "fan/2  172.30.0.29  250.0.29.1  0.210 ms    1450 bytes",
        "fan/3  172.30.1.30  250.1.30.1  0.210 ms    1450 bytes",
    ]
    assert results["findings"] == "none"
    assert [peer["rtt-ms"] for peer in json.loads(results["json"])["peers"]] == [0.21] * 3


def test_verify_without_peers_says_so(host: Host, run: Run, act: Act) -> None:
    run()
    assert act("verify")["peers"] == "no peers yet"


def test_verify_fails_with_names_and_explains(
    host: Host, run: Run, act: Act, context: Context
) -> None:
    run()
    host.silent = {"250.0.27.1"}
    with pytest.raises(testing.ActionFailed, match="no answer from fan/1; the findings say why"):
        act("verify", PEERS)
    results = context.action_results or {}
    assert "172.30.0.27  250.0.27.1  no answer" in results["peers"]
    assert results["findings"] == "problem: 172.30.0.27 refuses UDP port 8472; allow it"


def test_verify_fails_for_peers_that_do_not_go_together(host: Host, run: Run, act: Act) -> None:
    run()
    with pytest.raises(testing.ActionFailed, match=r"fan/1 has the address 172\.30\.0\.28 too"):
        act("verify", {1: make_peer_data("172.30.0.28")})


def test_measure_sends_over_tcp_to_a_peer_that_listens(
    host: Host, run: Run, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()

    def send(source: IPv4Address, target: IPv4Address, seconds: int) -> Throughput:
        assert (str(source), str(target)) == ("250.0.28.1", "250.0.27.1")
        return Throughput("tcp", seconds * 8_000_000_000, seconds)

    monkeypatch.setattr("fan.throughput.send", send)
    assert act("measure", PEERS, unit="fan/1") == {
        "mbits-per-second": 8000.0,
        "seconds": 5,
        "method": "tcp",
    }


def test_measure_sends_full_size_packets_to_a_peer_that_does_not_listen(
    host: Host, run: Run, act: Act, flood: list[list[str]]
) -> None:
    run()
    results = act("measure", PEERS, unit="fan/1")
    assert (results["mbits-per-second"], results["method"]) == (290.0, "ping")
    assert results["lost"] == 64
    assert "first run the action listen of fan/1" in results["note"]
    ((*words, target),) = flood
    assert target == "250.0.27.1"
    assert words[words.index("-s") + 1] == "1422"
    assert words[words.index("-w") + 1] == "5"


def test_measure_tells_of_a_peer_that_does_not_answer(
    host: Host, run: Run, act: Act, flood: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    with pytest.raises(testing.ActionFailed, match=r"fan/2 does not answer at 250\.0\.29\.1"):
        act("measure", PEERS, unit="fan/2", seconds=1)

    def time_out(*_: object) -> None:
        raise TimeoutError("timed out")

    monkeypatch.setattr("fan.throughput.send", time_out)
    with pytest.raises(
        testing.ActionFailed, match=r"timed out.*run the action verify to find out why"
    ):
        act("measure", PEERS, unit="fan/2")


@pytest.mark.parametrize(
    ("script", "told"),
    [("", "No such file or directory"), ("#!/bin/sh\nexec sleep 60", "did not end within 0.1 s")],
    ids=["missing", "hanging"],
)
def test_measure_tells_why_ping_measures_nothing(
    script: str,
    told: str,
    host: Host,
    run: Run,
    act: Act,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object) -> None:
        raise ConnectionRefusedError

    run()
    ping = tmp_path / "ping"
    if script:
        ping.write_text(script)
        ping.chmod(0o755)
    monkeypatch.setattr("fan.throughput.send", refuse)
    monkeypatch.setattr("fan.throughput._TIMEOUT", 0.1)
    monkeypatch.setattr("fannet.probes.PING", ping)
    with pytest.raises(testing.ActionFailed, match=f"{ping}: {told}"):
        act("measure", PEERS, unit="fan/1", seconds=0)


def test_measure_names_the_units_that_can_be_measured(host: Host, run: Run, act: Act) -> None:
    run()
    with pytest.raises(testing.ActionFailed, match="there are: fan/1, fan/2, fan/3"):
        act("measure", PEERS, unit="fan/0")


def test_drops_counts_by_reason_and_explains(host: Host, run: Run, act: Act) -> None:
    run()
    host.drops = {"rx_source": 3, "tx_ipv6": 8}
    assert act("drops") == {
        "total": 11,
        "rx-source": "3: the packet its source address does not belong to the host that sent it",
        "tx-ipv6": "8: the packet is IPv6",
    }


def test_listen_starts_a_service_without_rights_that_ends_by_itself(
    host: Host, run: Run, act: Act, monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    called: list[tuple[str, ...]] = []

    def start(command: tuple[str, ...], **_: Any) -> subprocess.CompletedProcess[str]:
        called.append(tuple(command))
        failed = len(called) > 1
        return subprocess.CompletedProcess(command, int(failed), "", "Job failed\n")

    monkeypatch.setattr("subprocess.run", start)
    results = act("listen", seconds=30)
    assert results == {"listens": "on 250.0.28.1, port 8473, for 30 s"}
    (words,) = called
    assert "--property=RuntimeMaxSec=30" in words
    assert "--property=CapabilityBoundingSet=" in words
    assert words[-3:] == ("250.0.28.1", "250.0.0.0/8", "172.30.0.0/16")
    with pytest.raises(testing.ActionFailed, match=r"nothing listens on 250\.0\.28\.1, .*failed"):
        act("listen")
