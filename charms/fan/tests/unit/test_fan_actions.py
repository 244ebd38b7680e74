from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import ops
import pytest
from ops import testing

from charms.fan.tests.unit.fake_host import Host
from charms.fan.tests.unit.test_fan_charm import PEERS, tell

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

    monkeypatch.setattr("subprocess.run", run)
    return called


@pytest.mark.parametrize("action", ["show", "verify", "drops"])
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
        "device": "eth0",
        "plugged": "veth1",
        "problems": "none",
    }


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
    with pytest.raises(testing.ActionFailed, match="no answer from fan/1; the findings tell why"):
        act("verify", PEERS)
    results = context.action_results or {}
    assert "172.30.0.27  250.0.27.1  no answer" in results["peers"]
    assert results["findings"] == "problem: 172.30.0.27 refuses UDP port 8472; allow it"


def test_verify_fails_for_peers_that_do_not_go_together(host: Host, run: Run, act: Act) -> None:
    run()
    with pytest.raises(testing.ActionFailed, match=r"fan/1 has the address 172\.30\.0\.28 too"):
        act("verify", {1: tell("172.30.0.28")})


def test_measure_sends_full_size_packets_to_one_peer(
    host: Host, run: Run, act: Act, flood: list[list[str]]
) -> None:
    run()
    results = act("measure", PEERS, unit="fan/1")
    assert (results["mbits-per-second"], results["packets-per-second"]) == (290.0, 25000)
    assert results["lost"] == "64 of 125064"
    ((*words, target),) = flood
    assert target == "250.0.27.1"
    assert words[words.index("-s") + 1] == "1422"
    assert words[words.index("-w") + 1] == "5"


def test_measure_tells_of_a_peer_that_does_not_answer(
    host: Host, run: Run, act: Act, flood: list[list[str]]
) -> None:
    run()
    with pytest.raises(testing.ActionFailed, match=r"fan/2 does not answer at 250\.0\.29\.1"):
        act("measure", PEERS, unit="fan/2", seconds=1)


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
