"""The underlay that is chosen for a network and for the default route: from what netlink tells."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Address, IPv4Network

import pytest

from fannet import UnderlayError, find_underlay
from fannet.machine import Address, WayOut


class Here:
    """Stands in for the host that netlink tells of."""

    def __init__(self) -> None:
        self.addresses = [
            Address("lo", IPv4Address("127.0.0.1"), 8, is_global=False),
            Address("eth0", IPv4Address("172.30.0.28"), 16),
            Address("eth0", IPv4Address("172.30.0.99"), 16, secondary=True),
            Address("eth1", IPv4Address("10.5.0.7"), 8),
        ]
        self.way_out: WayOut | None = WayOut("eth0", None)

    def list_addresses(self) -> list[Address]:
        return self.addresses

    def find_way_out(self) -> WayOut | None:
        return self.way_out


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Here:
    here = Here()

    @contextmanager
    def open_machine() -> Iterator[Here]:
        yield here

    monkeypatch.setattr("fannet.underlay.open_machine", open_machine)
    return here


def find(underlay: str = "") -> tuple[str, str]:
    host, network = find_underlay(IPv4Network(underlay) if underlay else None)
    return str(host), str(network)


def test_the_best_default_routes_address_is_the_machines(here: Here) -> None:
    assert find() == ("172.30.0.28", "172.30.0.0/16")


def test_the_address_that_the_route_prefers_wins(here: Here) -> None:
    here.addresses.append(Address("eth0", IPv4Address("172.31.0.5"), 16))
    here.way_out = WayOut("eth0", IPv4Address("172.31.0.5"))
    assert find() == ("172.31.0.5", "172.31.0.0/16")


def test_the_address_that_the_route_prefers_can_be_the_devices_second_one(
    here: Here,
) -> None:
    here.way_out = WayOut("eth0", IPv4Address("172.30.0.99"))
    assert find()[0] == "172.30.0.99"


def test_an_underlay_picks_the_address_in_it(here: Here) -> None:
    assert find("10.0.0.0/8") == ("10.5.0.7", "10.0.0.0/8")


def test_an_underlay_s_address_can_be_on_the_loopback_device(here: Here) -> None:
    here.addresses.insert(0, Address("lo", IPv4Address("10.9.0.1"), 32))
    assert find("10.9.0.0/16")[0] == "10.9.0.1"
    assert find("10.0.0.0/8")[0] == "10.5.0.7"


@pytest.mark.parametrize("underlay", ["", "172.30.0.0/16"])
def test_an_address_that_floats_between_machines_is_passed_over(here: Here, underlay: str) -> None:
    here.addresses.insert(0, Address("eth0", IPv4Address("172.30.0.7"), 32))
    here.addresses.insert(0, Address("eth1", IPv4Address("172.30.0.8"), 32))
    assert find(underlay)[0] == "172.30.0.28"


def test_a_machine_on_a_floating_address_s_device_keeps_its_own(here: Here) -> None:
    here.addresses.append(Address("eth0", IPv4Address("10.5.0.1"), 32))
    assert find("10.0.0.0/8")[0] == "10.5.0.7"


def test_an_underlay_that_the_machine_is_not_in_is_told_with_what_there_is(
    here: Here,
) -> None:
    with pytest.raises(
        UnderlayError, match=r"in 192\.168\.0\.0/16; it has: 172\.30\.0\.28, 172\."
    ):
        find("192.168.0.0/16")


def test_a_machine_without_a_default_route_is_told_to_name_its_underlay(here: Here) -> None:
    here.way_out = None
    with pytest.raises(UnderlayError, match=r"no default route .* give the network"):
        find()
