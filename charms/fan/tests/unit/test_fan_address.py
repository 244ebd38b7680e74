"""This machine's address: what is told where it lacks, and the boot that waits for it."""

from __future__ import annotations

import re
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network

import pytest
from ops import testing

import fannet
from charms.fan.tests.unit.fake_host import Host
from fan import machine
from fan.claims import Claim, write_claim
from fan.config import Config

Run = Callable[..., testing.State]


def test_an_address_that_is_not_there_blocks_with_the_option_that_helps(
    host: Host, run: Run
) -> None:
    status = run(underlay="192.168.0.0/16").unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert status.message.startswith(
        "option underlay: this machine has no address in 192.168.0.0/16"
    )


@pytest.mark.parametrize("fault", [fannet.KernelError, PermissionError])
def test_what_netlink_refuses_is_told(host: Host, run: Run, fault: type[Exception]) -> None:
    host.fault = fault("netlink: Operation not permitted")
    status = run().unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert re.search(r"addresses can't be read: .*not permitted", status.message)


def test_a_device_that_went_away_meanwhile_is_told(host: Host, run: Run) -> None:
    host.mtu = 0
    status = run().unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert "no device of this machine has the address 172.30.0.28" in status.message


def test_a_boot_brings_up_what_was_there(host: Host) -> None:
    write_claim(Claim("fan/0", IPv4Network("250.0.0.0/8"), Config(mtu=1400)))
    machine.ensure_after_boot(host.system, "fan/0")
    (fan,) = host.fans.values()
    assert (fan.host, fan.mtu) == (IPv4Address("172.30.0.28"), 1400)
    assert host.networks == {}


@pytest.mark.parametrize("config", [None, Config()])
def test_a_boot_of_a_unit_without_a_fan_brings_nothing_up(
    host: Host, config: Config | None
) -> None:
    if config is None:
        write_claim(Claim("fan/0", IPv4Network("250.0.0.0/8"), None))
    machine.ensure_after_boot(host.system, "fan/0")
    assert host.fans == {}


def test_a_boot_waits_for_the_machines_address(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_claim(Claim("fan/0", IPv4Network("250.0.0.0/8"), Config()))
    host.address = None
    monkeypatch.setattr("time.sleep", lambda _: setattr(host, "address", "172.30.0.28"))
    machine.ensure_after_boot(host.system, "fan/0")
    assert len(host.fans) == 1


def test_a_boot_does_not_wait_for_ever(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    write_claim(Claim("fan/0", IPv4Network("250.0.0.0/8"), Config()))
    host.address = None
    moments = iter(range(0, 1000, 25))
    monkeypatch.setattr("time.monotonic", lambda: float(next(moments)))
    monkeypatch.setattr("time.sleep", lambda _: None)
    with pytest.raises(fannet.UnderlayError):
        machine.ensure_after_boot(host.system, "fan/0")


def test_what_is_no_lack_of_an_address_ends_a_boot_at_once(host: Host) -> None:
    write_claim(Claim("fan/0", IPv4Network("250.0.0.0/8"), Config()))
    host.refusal = "UDP port 8472 is in use"
    with pytest.raises(fannet.ConflictError):
        machine.ensure_after_boot(host.system, "fan/0")
