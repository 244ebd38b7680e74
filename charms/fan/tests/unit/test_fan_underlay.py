"""This machine's address: from what netlink tells, and the boot that waits for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network
from types import SimpleNamespace

import pytest

import fannet
from charms.fan.tests.unit.fake_host import Host
from fan import machine
from fan.claims import Claim, write_claim
from fan.config import Config
from fan.underlay import UnderlayError, find_host
from fannet.links import Address, WayOut


class Machine:
    """Stands in for the host that netlink tells of."""

    def __init__(self) -> None:
        self.addresses = [
            Address("lo", IPv4Address("127.0.0.1"), 8, is_global=False),
            Address("eth0", IPv4Address("172.30.0.28"), 16),
            Address("eth0", IPv4Address("172.30.0.99"), 16, secondary=True),
            Address("eth1", IPv4Address("10.5.0.7"), 8),
        ]
        self.way_out: WayOut | None = WayOut("eth0", None)
        self.mtus = {"lo": 65536, "eth0": 1500, "eth1": 9000}
        self.fault: Exception | None = None

    def list_addresses(self) -> list[Address]:
        return self.addresses

    def find_way_out(self) -> WayOut | None:
        return self.way_out

    def find(self, name: str) -> SimpleNamespace | None:
        return SimpleNamespace(mtu=self.mtus[name]) if name in self.mtus else None


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Machine:
    here = Machine()

    @contextmanager
    def open_host() -> Iterator[Machine]:
        if here.fault:
            raise here.fault
        yield here

    monkeypatch.setattr("fan.underlay.open_host", open_host)
    return here


def find(underlay: str = "") -> tuple[str, str, int]:
    found = find_host(IPv4Network(underlay) if underlay else None)
    return str(found.address), str(found.underlay), found.mtu


def test_the_best_default_routes_address_is_the_machines(here: Machine) -> None:
    assert find() == ("172.30.0.28", "172.30.0.0/16", 1500)


def test_the_address_that_the_route_prefers_wins(here: Machine) -> None:
    here.addresses.append(Address("eth0", IPv4Address("172.31.0.5"), 16))
    here.way_out = WayOut("eth0", IPv4Address("172.31.0.5"))
    assert find() == ("172.31.0.5", "172.31.0.0/16", 1500)


def test_the_address_that_the_route_prefers_can_be_the_devices_second_one(
    here: Machine,
) -> None:
    here.way_out = WayOut("eth0", IPv4Address("172.30.0.99"))
    assert find()[0] == "172.30.0.99"


def test_an_underlay_picks_the_address_in_it(here: Machine) -> None:
    assert find("10.0.0.0/8") == ("10.5.0.7", "10.0.0.0/8", 9000)


def test_an_underlay_s_address_can_be_on_the_loopback_device(here: Machine) -> None:
    here.addresses.insert(0, Address("lo", IPv4Address("10.9.0.1"), 32))
    assert find("10.9.0.0/16")[0] == "10.9.0.1"
    assert find("10.0.0.0/8")[0] == "10.5.0.7"


@pytest.mark.parametrize("underlay", ["", "172.30.0.0/16"])
def test_an_address_that_floats_between_machines_is_passed_over(
    here: Machine, underlay: str
) -> None:
    here.addresses.insert(0, Address("eth0", IPv4Address("172.30.0.7"), 32))
    here.addresses.insert(0, Address("eth1", IPv4Address("172.30.0.8"), 32))
    assert find(underlay)[0] == "172.30.0.28"


def test_a_machine_on_a_floating_address_s_device_keeps_its_own(here: Machine) -> None:
    here.addresses.append(Address("eth0", IPv4Address("10.5.0.1"), 32))
    assert find("10.0.0.0/8")[0] == "10.5.0.7"


def test_an_underlay_that_the_machine_is_not_in_is_told_with_what_there_is(
    here: Machine,
) -> None:
    with pytest.raises(
        UnderlayError, match=r"in 192\.168\.0\.0/16; it has: 172\.30\.0\.28, 172\."
    ):
        find("192.168.0.0/16")


def test_a_machine_without_a_default_route_is_told_to_name_its_underlay(here: Machine) -> None:
    here.way_out = None
    with pytest.raises(UnderlayError, match=r"no default route .* set the option underlay"):
        find()


@pytest.mark.parametrize("fault", [fannet.KernelError, PermissionError])
def test_what_netlink_refuses_is_told(here: Machine, fault: type[Exception]) -> None:
    here.fault = fault("netlink: Operation not permitted")
    with pytest.raises(UnderlayError, match=r"addresses can't be read: .*not permitted"):
        find()


def test_a_device_that_went_away_meanwhile_is_told(here: Machine) -> None:
    del here.mtus["eth0"]
    with pytest.raises(UnderlayError, match=r"172\.30\.0\.28 on eth0 went away"):
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
