"""This machine's address: from what netlink tells, and the boot that waits for it."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from types import TracebackType
from typing import Any

import pytest
from pyroute2.netlink.exceptions import NetlinkError

import fannet
from charms.fan.tests.unit.fake_host import Host
from fan import host as machine
from fan.claims import Claim, write_claim
from fan.config import Config
from fan.underlay import UnderlayError, find_host


class Message(dict[str, Any]):
    """A netlink message, whose attributes are there by their short names."""


class Netlink:
    """Stands in for pyroute2's IPRoute."""

    def __init__(self) -> None:
        self.addresses = [
            Message(index=1, local="127.0.0.1", scope=254, flags=128),
            Message(index=2, local="172.30.0.28", scope=0, flags=128),
            Message(index=2, local="172.30.0.99", scope=0, flags=128 | 1),
            Message(index=3, local="10.5.0.7", scope=0, flags=128),
        ]
        self.routes = [
            Message(oif=3, priority=200),
            Message(oif=2, priority=100),
        ]
        self.fault: Exception | None = None

    def __enter__(self) -> Netlink:
        if self.fault:
            raise self.fault
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        return None

    def get_addr(self, **_: Any) -> list[Message]:
        return self.addresses

    def get_default_routes(self, **_: Any) -> list[Message]:
        return self.routes

    def get_links(self, index: int) -> list[Message]:
        return [Message(mtu={1: 65536, 2: 1500, 3: 9000}[index])]


@pytest.fixture
def netlink(monkeypatch: pytest.MonkeyPatch) -> Netlink:
    netlink = Netlink()
    monkeypatch.setattr("fan.underlay.IPRoute", lambda: netlink)
    return netlink


def find(underlay: str = "") -> tuple[str, str, int]:
    found = find_host(IPv4Network(underlay) if underlay else None)
    return str(found.address), str(found.underlay), found.mtu


def test_the_best_default_routes_address_is_the_machines(netlink: Netlink) -> None:
    assert find() == ("172.30.0.28", "172.30.0.0/16", 1500)


def test_the_address_that_the_route_prefers_wins(netlink: Netlink) -> None:
    netlink.addresses.append(Message(index=2, local="172.31.0.5", scope=0, flags=128))
    netlink.routes[1]["prefsrc"] = "172.31.0.5"
    assert find() == ("172.31.0.5", "172.31.0.0/16", 1500)


def test_the_address_that_the_route_prefers_can_be_the_devices_second_one(
    netlink: Netlink,
) -> None:
    netlink.routes[1]["prefsrc"] = "172.30.0.99"
    assert find()[0] == "172.30.0.99"


def test_an_underlay_picks_the_address_in_it(netlink: Netlink) -> None:
    assert find("10.0.0.0/8") == ("10.5.0.7", "10.0.0.0/8", 9000)


def test_an_underlay_s_address_can_be_on_the_loopback_device(netlink: Netlink) -> None:
    netlink.addresses.insert(0, Message(index=1, local="10.9.0.1", scope=0, flags=128))
    assert find("10.9.0.0/16")[0] == "10.9.0.1"
    assert find("10.0.0.0/8")[0] == "10.5.0.7"


def test_an_underlay_that_the_machine_is_not_in_is_told_with_what_there_is(
    netlink: Netlink,
) -> None:
    with pytest.raises(
        UnderlayError, match=r"in 192\.168\.0\.0/16; it has: 172\.30\.0\.28, 172\."
    ):
        find("192.168.0.0/16")


def test_a_machine_without_a_default_route_is_told_to_name_its_underlay(netlink: Netlink) -> None:
    netlink.routes.clear()
    with pytest.raises(UnderlayError, match=r"no default route .* set the option underlay"):
        find()


def test_what_netlink_refuses_is_told(netlink: Netlink) -> None:
    netlink.fault = NetlinkError(1, "Operation not permitted")
    with pytest.raises(UnderlayError, match=r"addresses can't be read: .*not permitted"):
        find()


def test_a_boot_brings_up_what_was_there(host: Host) -> None:
    write_claim(Claim("fan/0", IPv4Network("250.0.0.0/8"), Config(mtu=1400)))
    machine.restore("fan/0")
    (fan,) = host.fans.values()
    assert (fan.host, fan.mtu) == (IPv4Address("172.30.0.28"), 1400)
    assert host.networks == {}


@pytest.mark.parametrize("config", [None, Config()])
def test_a_boot_of_a_unit_without_a_fan_brings_nothing_up(
    host: Host, config: Config | None
) -> None:
    if config is None:
        write_claim(Claim("fan/0", IPv4Network("250.0.0.0/8"), None))
    machine.restore("fan/0")
    assert host.fans == {}


def test_a_boot_waits_for_the_machines_address(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_claim(Claim("fan/0", IPv4Network("250.0.0.0/8"), Config()))
    host.address = None
    monkeypatch.setattr("time.sleep", lambda _: setattr(host, "address", "172.30.0.28"))
    machine.restore("fan/0")
    assert len(host.fans) == 1


def test_a_boot_does_not_wait_for_ever(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    write_claim(Claim("fan/0", IPv4Network("250.0.0.0/8"), Config()))
    host.address = None
    moments = iter(range(0, 1000, 25))
    monkeypatch.setattr("time.monotonic", lambda: float(next(moments)))
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(UnderlayError):
        machine.restore("fan/0")


def test_what_is_no_lack_of_an_address_ends_a_boot_at_once(host: Host) -> None:
    write_claim(Claim("fan/0", IPv4Network("250.0.0.0/8"), Config()))
    host.refusal = "UDP port 8472 is in use"
    with pytest.raises(fannet.ConflictError):
        machine.restore("fan/0")
