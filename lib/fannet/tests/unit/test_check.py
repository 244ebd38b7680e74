from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fannet import check, datapath, probes
from fannet.check import machine, peer
from fannet.check.findings import ADVICE
from fannet.cli import commands, main
from fannet.drops import DROPS
from fannet.fan import Fan, FanState
from fannet.machine import Address
from fannet.mapping import parse_mapping
from fannet.probes import Ping, Port

FAN = Fan(parse_mapping("250.0.0.0/8", "172.30.0.0/16"), IPv4Address("172.30.0.28"))
PEER = IPv4Address("172.30.0.27")


@dataclass
class Listener:
    """What listens on a device."""

    heard: int

    def count(self, _: int = 0) -> int:
        return self.heard


@dataclass
class Network:
    """What this machine sees of the network; the fields that tests change stand for faults."""

    answers: dict[str, int] = field(default_factory=dict)  # the largest packet, by target
    route: str | None = "172.30.0.28"
    route_inside: str | None = "250.0.28.1"
    port: Port = "silent"
    arrived: int = 0
    inside: int = 0
    arp: dict[str, list[str]] = field(default_factory=dict)
    drops: dict[str, int] = field(default_factory=dict)
    drops_while_asking: dict[str, int] = field(default_factory=dict)
    prefixlen: int = 16
    problems: tuple[str, ...] = ()
    device: str | None = "eth0"
    fans: tuple[Fan, ...] = (FAN,)
    mtus: dict[str, int] = field(
        default_factory=lambda: {"eth0": 1500, "fan-vx8472": 65485, "fan-ipip": 1480}
    )
    plugged: tuple[str, ...] = ()
    overlaps: list[str] = field(default_factory=list)

    def read(self) -> list[FanState]:
        drops = dict.fromkeys(DROPS, 0) | self.drops
        self.drops = {**self.drops, **self.drops_while_asking}
        return [
            FanState(fan, 1450, self.device, self.plugged, drops, self.problems)
            for fan in self.fans
        ]

    def ping(
        self,
        target: IPv4Address,
        source: IPv4Address,
        *,
        packet: int = 84,
        count: int = 3,
        **_: object,
    ) -> Ping:
        if packet > self.answers.get(str(target), 0):
            return Ping(0, None)
        return Ping(count, 0.25)

    @contextmanager
    def open_machine(self) -> Iterator[Network]:
        yield self

    def links(self) -> dict[str, SimpleNamespace]:
        return {name: SimpleNamespace(name=name, mtu=mtu) for name, mtu in self.mtus.items()}

    def find_source(self, host: IPv4Address) -> IPv4Address | None:
        route = self.route_inside if host in FAN.overlay else self.route
        return IPv4Address(route) if route else None

    def find(self, name: str) -> SimpleNamespace | None:
        return self.links().get(name)

    def find_overlaps(self, *_: object) -> list[str]:
        return self.overlaps

    @contextmanager
    def listen(self, *_: object) -> Iterator[Listener]:
        yield Listener(self.arrived)

    @contextmanager
    def listen_inside(self, *_: object) -> Iterator[Listener]:
        yield Listener(self.inside)


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Network:
    fake = Network()
    monkeypatch.setattr(datapath, "read", fake.read)
    monkeypatch.setattr(probes, "ping", fake.ping)
    monkeypatch.setattr(probes, "listen", fake.listen)
    monkeypatch.setattr(probes, "listen_inside", fake.listen_inside)
    monkeypatch.setattr(probes, "knock", lambda *_: fake.port)
    monkeypatch.setattr(probes, "find_source", fake.find_source)
    monkeypatch.setattr(probes, "ask_arp", lambda *words: fake.arp.get(str(words[-1]), []))
    monkeypatch.setattr(
        machine, "read_addresses", lambda: [Address("eth0", FAN.host, fake.prefixlen, False)]
    )
    (tmp_path / "ip_forward").write_text("1\n")
    monkeypatch.setattr(machine, "_FORWARDING", tmp_path / "ip_forward")
    for module in (machine, peer):
        monkeypatch.setattr(module, "open_machine", fake.open_machine)
    monkeypatch.setattr(machine, "_BRIDGED", tmp_path / "bridged")
    monkeypatch.setattr(commands.os, "geteuid", lambda: 0)
    return fake


def explain(peer: str = "172.30.0.27") -> str:
    """What is found about one peer, or about the host: one finding."""
    report = check.check_all([peer] if peer else [])
    found = [*report.findings, *report.fans[0].findings]
    for known in report.fans[0].peers:
        found += known.findings
    [finding] = found
    assert finding.next
    return f"{finding.level}: {finding.text}"


@pytest.mark.parametrize("peer", ["172.30.0.27", "250.0.27.1"])
def test_a_peer_that_answers_at_full_size_is_well(network: Network, peer: str) -> None:
    network.answers = {"250.0.27.1": 1450}
    report = check.check_all([peer])
    assert not report.has_problems
    [found] = report.fans[0].peers
    assert (found.host, found.answered, found.rtt, found.mtu) == (PEER, True, 0.25, 1450)


def test_a_peer_may_be_named_by_its_host_name(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = [(socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("172.30.0.27", 0))]
    monkeypatch.setattr(check.socket, "getaddrinfo", lambda *_: known)
    network.answers = {"250.0.27.1": 1450}
    [found] = check.check_all(["other"]).fans[0].peers
    assert (found.peer, found.host, found.answered) == ("other", PEER, True)


def test_a_container_is_asked_itself(network: Network) -> None:
    network.answers = {"250.0.27.9": 1450}
    [found] = check.check_all(["250.0.27.9"]).fans[0].peers
    assert found.answered


@given(st.integers(100, 1449))
def test_the_largest_packet_that_passes_is_found(size: int) -> None:
    fake = Network(answers={"250.0.27.1": size})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probes, "ping", fake.ping)
        found = probes.find_mtu(IPv4Address("250.0.27.1"), FAN.host, 84, 1450)
    assert found == size


def test_packets_lost_for_their_size_are_a_problem_with_the_mtu_to_set(network: Network) -> None:
    network.answers = {"250.0.27.1": 1350}
    assert explain().startswith("problem: 172.30.0.27 answers packets of up to 1350 bytes")


def test_causes_of_silence_are_told_apart(network: Network) -> None:
    for inside in ("172.30.0.28", None):
        network.route_inside = inside
        assert "250.0.27.1 do not go into the fan" in explain()
    network.route_inside = "250.0.28.1"
    network.route = None
    assert "no route to 172.30.0.27" in explain()
    network.route = "172.30.9.9"
    assert "leave with the address 172.30.9.9" in explain()
    network.route = "172.30.0.28"
    network.port = "blocked"
    assert "own firewall drops UDP port 8472 on the way out" in explain()
    network.port = "silent"
    network.arrived = 2
    assert "this machine's firewall drops them" in explain()
    network.inside = 2
    assert "does not answer on the underlay either" in explain()
    network.arp = {"250.0.27.1": ["02:fa:fa:00:1b:01"]}
    assert "answers ARP through the fan, but not ping" in explain()
    network.arrived = network.inside = 0
    network.port = "refused"
    assert "refuses UDP port 8472" in explain()
    network.port = "silent"
    assert "does not answer on the underlay either" in explain()
    network.answers = {"172.30.0.27": 1500}
    assert "a firewall there or on the way" in explain()


@pytest.mark.parametrize("reason", sorted(ADVICE))
def test_what_is_dropped_while_asking_explains_the_silence(network: Network, reason: str) -> None:
    network.drops_while_asking = {reason: 3}
    told = explain()
    assert "this machine drops it" in told
    assert f"3 for {reason} ({DROPS[reason]})" in told


def test_what_was_dropped_before_is_a_warning(network: Network) -> None:
    network.drops = {"rx_source": 7, "tx_ipv6": 9, "rx_broadcast": 2}
    assert explain("").startswith("warning: packets were dropped: 7 for rx_source")


def test_faults_of_this_host_need_no_peer(network: Network, tmp_path: Path) -> None:
    (tmp_path / "ip_forward").write_text("0\n")
    assert "net.ipv4.ip_forward is 0" in explain("")
    (tmp_path / "ip_forward").write_text("1\n")
    network.mtus["eth0"] = 1400
    assert "packets of 1450 bytes need 1500 on eth0, which takes 1400" in explain("")
    network.mtus["eth0"] = 1500
    network.arp = {"172.30.0.28": ["02:00:00:00:00:01"]}
    assert "another host on eth0 has the address 172.30.0.28 too" in explain("")
    network.arp = {}
    network.prefixlen = 12
    assert explain("").startswith("warning: eth0 is on a /12")
    network.prefixlen = 24  # the fan may be wider than the link
    network.problems = ("its filter is lost",)
    assert explain("") == "problem: its filter is lost"
    network.problems = ()
    network.device = None
    assert "no device of this machine has the address" in explain("")


@pytest.mark.parametrize(
    ("mtu", "told"),
    [
        (1500, "problem: tap0 in fan-250 sends packets of up to 1500 bytes"),
        (1400, "warning: tap0 in fan-250 takes packets of up to 1400 bytes, and the fan 1450"),
    ],
)
def test_a_plugged_device_with_another_mtu_than_the_fan_s_is_told(
    network: Network, mtu: int, told: str
) -> None:
    network.plugged = ("tap0",)
    network.mtus["tap0"] = 1450
    assert check.check_all().fans[0].findings == ()
    network.mtus["tap0"] = mtu
    assert explain("").startswith(told)


def test_what_the_host_reaches_elsewhere_in_the_overlay_is_told(network: Network) -> None:
    network.overlaps = ["250.3.0.0/16 on eth1"]
    assert explain("").startswith("warning: this machine reaches 250.3.0.0/16 on eth1")


DOCKER = "-P FORWARD DROP\n-N DOCKER-USER\n-A FORWARD -j DOCKER-USER\n"


def test_iptables_that_drop_bridged_packets_are_told(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = DOCKER
    program = tmp_path / "iptables"
    program.touch()
    monkeypatch.setattr(machine, "_IPTABLES", program)

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        return subprocess.CompletedProcess(command, 0, rules, "")

    monkeypatch.setattr(machine.subprocess, "run", run)
    assert check.check_all().fans[0].findings == ()
    (tmp_path / "bridged").write_text("1\n")
    assert "in fan-250, only Docker's containers reach other hosts" in explain("")
    rules = DOCKER + "-A DOCKER-FORWARD -i docker0 -j ACCEPT\n-A DOCKER ! -i fan-250 -j DROP\n"
    assert "in fan-250, only Docker's containers reach other hosts" in explain("")
    for rule in ("DOCKER-USER -i fan-250 -o fan-250", "DOCKER-FORWARD -i fan-250"):
        rules = f"{DOCKER}-A {rule} -j ACCEPT\n"
        assert check.check_all().fans[0].findings == ()
    rules = DOCKER.replace("DROP", "ACCEPT")
    assert check.check_all().fans[0].findings == ()


@pytest.mark.parametrize(
    ("peer", "told"),
    [
        ("172.30.0.28", "is this machine itself"),
        ("250.0.28.9", "is this machine itself"),
        ("172.31.0.27", "is in no fan of this machine; there are: fan-250"),
        ("172.30.255.255", "is in no fan of this machine"),
    ],
)
def test_a_peer_that_cannot_be_one_is_a_problem(network: Network, peer: str, told: str) -> None:
    assert told in explain(peer)


def test_an_unknown_name_is_a_problem(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(check.socket, "getaddrinfo", fail)
    assert "neither an address nor a host name" in explain("nobody")


def test_a_peer_is_asked_through_each_fan_that_it_is_in(network: Network) -> None:
    other = Fan(parse_mapping("251.0.0.0/8", "172.30.0.0/16"), FAN.host)
    third = Fan(parse_mapping("252.0.0.0/8", "10.0.0.0/16"), IPv4Address("10.0.0.1"))
    network.fans = (FAN, other, third)
    network.answers = {"250.0.27.1": 1450, "251.0.27.1": 1450}
    report = check.check_all(["172.30.0.27"])
    assert [len(fan.peers) for fan in report.fans] == [1, 1, 0]


def test_without_a_fan_the_check_fails(network: Network) -> None:
    network.fans = ()
    [finding] = check.check_all(["172.30.0.27"]).findings
    assert "no fan is up" in finding.text


def test_the_exit_code_tells_problems_from_warnings(
    network: Network, capsys: pytest.CaptureFixture[str]
) -> None:
    network.drops = {"rx_source": 7}
    assert main(["check"]) == 0
    assert "warning" in capsys.readouterr().out
    network.problems = ("its filter is lost",)
    assert main(["check"]) == 1
    assert "next: fanctl up 250.0.0.0/8 172.30.0.28/16" in capsys.readouterr().out


def test_the_report_as_json(network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    network.answers = {"250.0.27.1": 1350}
    assert main(["check", "172.30.0.27", "--format", "json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert not told["ok"]
    [peer] = told["fans"][0]["peers"]
    assert (peer["host"], peer["target"], peer["mtu"]) == ("172.30.0.27", "250.0.27.1", 1350)
    assert peer["findings"][0]["level"] == "problem"


def test_an_ipip_fan_has_no_port_to_knock_at(network: Network) -> None:
    network.fans = (replace(FAN, encapsulation="ipip"),)
    network.port = "refused"
    network.answers = {"172.30.0.27": 1500}
    assert "but not on its IP protocol 4 (ipip)" in explain()
