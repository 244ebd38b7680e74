from __future__ import annotations

import subprocess
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fannet import dhcp
from fannet.errors import FanError, KernelError
from fannet.fan import Fan
from fannet.mapping import parse_mapping

FAN = Fan(parse_mapping("250.0.0.0/8", "172.30.0.0/16"), IPv4Address("172.30.0.28"))


class Systemd:
    """Units that run, and the commands that systemd was given."""

    def __init__(self) -> None:
        self.active: set[str] = set()
        self.commands: list[list[str]] = []
        self.refuses = False

    def run(self, command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        verb = Path(command[0]).name if command[0] == dhcp.SYSTEMD_RUN else command[1]
        unit = command[-1]
        code = 0
        if verb == "is-active":
            code = 0 if unit in self.active else 3
        elif verb == "stop":
            code = 0 if unit in self.active else 5
            self.active.discard(unit)
        elif self.refuses:
            code = 1
        else:
            [unit] = [w.removeprefix("--unit=") for w in command if w.startswith("--unit=")]
            self.active.add(unit)
        if verb != "is-active":
            self.commands.append(command)
        return subprocess.CompletedProcess(command, code, "", "no such thing\n" if code else "")


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    fake = Systemd()
    for name in ("SYSTEMD", "LEASES"):
        (tmp_path / name).mkdir()
        monkeypatch.setattr(dhcp, name, tmp_path / name)
    (tmp_path / "dnsmasq").touch()
    monkeypatch.setattr(dhcp, "DNSMASQ", tmp_path / "dnsmasq")
    monkeypatch.setattr(dhcp, "FOLDER", tmp_path / "run")
    monkeypatch.setattr(dhcp.subprocess, "run", fake.run)
    return fake


@pytest.mark.parametrize(
    ("reserve", "first"), [(1, "250.0.28.2"), (5, "250.0.28.6"), (253, "250.0.28.254")]
)
def test_what_the_host_reserves_is_left_out_of_the_range(reserve: int, first: str) -> None:
    assert dhcp.plan_range(FAN, reserve) == (IPv4Address(first), IPv4Address("250.0.28.254"))


@pytest.mark.parametrize("reserve", [0, 254, 100000])
def test_a_reserve_that_leaves_nothing_is_refused(reserve: int) -> None:
    with pytest.raises(FanError, match=rf"host-reserve {reserve} .*from 1, .* to 253"):
        dhcp.plan_range(FAN, reserve)


@given(st.integers(10, 28), st.data())
def test_the_range_is_in_the_slice_without_gateway_and_broadcast(
    n: int, data: st.DataObject
) -> None:
    mapping = parse_mapping(f"99.0.0.0/{n}", f"10.64.0.0/{data.draw(st.integers(n + 2, 30))}")
    host = mapping.underlay[data.draw(st.integers(1, mapping.underlay.num_addresses - 2))]
    fan = Fan(mapping, host)
    reserve = data.draw(st.integers(1, fan.slice.num_addresses - 3)) if n else 1
    first, last = dhcp.plan_range(fan, reserve)
    assert first in fan.slice
    assert last in fan.slice
    assert fan.gateway.ip < first <= last < fan.slice.broadcast_address
    assert int(first) - int(fan.slice.network_address) == 1 + reserve


def test_dhcp_serves_one_bridge_alone_and_no_dns(systemd: Systemd) -> None:
    [step] = dhcp.ensure_dhcp(FAN, 1450, 1, again=False)
    assert "250.0.28.2 to 250.0.28.254" in step
    config = (dhcp.FOLDER / "fan-250.conf").read_text().splitlines()
    for line in (
        "interface=fan-250",
        "bind-interfaces",
        "port=0",
        "dhcp-range=250.0.28.2,250.0.28.254,255.0.0.0,1h",
        "dhcp-option=option:router,250.0.28.1",
        "dhcp-option=option:mtu,1450",
    ):
        assert line in config
    assert systemd.active == {"fanctl-dhcp@fan-250.service"}
    assert dhcp.read_dhcp("fan-250") == 1


def test_dhcp_that_runs_as_it_should_is_left_alone(systemd: Systemd) -> None:
    dhcp.ensure_dhcp(FAN, 1450, 1, again=False)
    before = len(systemd.commands)
    assert dhcp.ensure_dhcp(FAN, 1450, 1, again=False) == []
    assert len(systemd.commands) == before


@pytest.mark.parametrize("change", ["mtu", "reserve", "bridge", "dead"])
def test_dhcp_starts_anew_after_a_change(systemd: Systemd, change: str) -> None:
    dhcp.ensure_dhcp(FAN, 1450, 1, again=False)
    if change == "dead":
        systemd.active.clear()
    mtu = 1400 if change == "mtu" else 1450
    reserve = 2 if change == "reserve" else 1
    assert dhcp.ensure_dhcp(FAN, mtu, reserve, again=change == "bridge")
    assert systemd.active == {"fanctl-dhcp@fan-250.service"}
    assert dhcp.read_dhcp("fan-250") == reserve


def test_leases_outlive_a_change_but_not_a_move_of_the_slice(systemd: Systemd) -> None:
    leases = dhcp.LEASES / "fanctl-fan-250.leases"
    dhcp.ensure_dhcp(FAN, 1450, 1, again=False)
    leases.touch()
    dhcp.ensure_dhcp(FAN, 1400, 1, again=False)
    assert leases.exists()
    moved = Fan(FAN.mapping, IPv4Address("172.30.0.29"))
    dhcp.ensure_dhcp(moved, 1400, 1, again=False)
    assert not leases.exists()


def test_stopping_leaves_nothing_behind(systemd: Systemd) -> None:
    dhcp.ensure_dhcp(FAN, 1450, 1, again=False)
    (dhcp.LEASES / "fanctl-fan-250.leases").touch()
    assert dhcp.remove_dhcp("fan-250") == ["stopped DHCP on fan-250"]
    assert not systemd.active
    assert not dhcp.FOLDER.exists()
    assert not list(dhcp.LEASES.iterdir())
    assert dhcp.remove_dhcp("fan-250") == []


def test_the_folder_stays_while_another_fan_needs_it(systemd: Systemd) -> None:
    other = Fan(parse_mapping("251.0.0.0/8", "172.30.0.0/16"), FAN.host)
    dhcp.ensure_dhcp(FAN, 1450, 1, again=False)
    dhcp.ensure_dhcp(other, 1450, 1, again=False)
    dhcp.remove_dhcp("fan-250")
    assert dhcp.read_dhcp("fan-251") == 1
    assert systemd.active == {"fanctl-dhcp@fan-251.service"}


def test_a_dead_server_is_a_problem(systemd: Systemd) -> None:
    assert dhcp.find_dhcp_problems("fan-250") == []
    dhcp.ensure_dhcp(FAN, 1450, 1, again=False)
    assert dhcp.find_dhcp_problems("fan-250") == []
    systemd.active.clear()
    [problem] = dhcp.find_dhcp_problems("fan-250")
    assert "journalctl -u fanctl-dhcp@fan-250.service" in problem


def test_without_systemd_or_dnsmasq_dhcp_is_refused_with_the_reason(systemd: Systemd) -> None:
    dhcp.DNSMASQ.unlink()
    with pytest.raises(FanError, match="install the package dnsmasq-base"):
        dhcp.check_dhcp(FAN, 1)
    dhcp.SYSTEMD.rmdir()
    with pytest.raises(FanError, match="systemd, which is not running here"):
        dhcp.check_dhcp(FAN, 1)


def test_a_bridge_of_someone_else_gets_no_dhcp_of_ours(systemd: Systemd) -> None:
    foreign = Fan(FAN.mapping, FAN.host, bridge="lxdbr0", own_bridge=False)
    with pytest.raises(FanError, match="the owner of lxdbr0 provides DHCP"):
        dhcp.check_dhcp(foreign, 1)


def test_a_refusal_of_systemds_is_told_in_one_line(systemd: Systemd) -> None:
    systemd.refuses = True
    with pytest.raises(KernelError, match="no such thing"):
        dhcp.ensure_dhcp(FAN, 1450, 1, again=False)
