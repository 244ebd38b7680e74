"""Docker's and LXD's containers on the fan."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ops import testing

import fannet
from charms.fan.tests.unit.fake_host import Host
from dockerhost import Network
from fan.config import Config, Docker
from fan.plan import PartsError, divide

Run = Callable[..., testing.State]
OVERLAY = IPv4Network("250.0.0.0/8")
DEFAULT_BRIDGE = {
    "bridge": "fan-250",
    "fixed-cidr": "250.0.28.0/24",
    "mtu": 1450,
    "ip-masq": False,
    "bip": None,
    "default-gateway": None,
}


def test_docker_has_a_network_on_the_fans_bridge(host: Host, run: Run) -> None:
    run()
    spec = host.specs["fan"]
    assert (spec.bridge, spec.subnet, spec.ip_range) == (
        "fan-250",
        OVERLAY,
        IPv4Network("250.0.28.0/24"),
    )
    assert (spec.gateway, spec.mtu, spec.masquerade) == (IPv4Address("250.0.28.1"), 1450, False)
    assert spec.reserved == (IPv4Address("250.0.28.0"), IPv4Address("250.0.28.255"))


def test_an_ipip_fans_network_is_the_slice(host: Host, run: Run) -> None:
    run(encapsulation="ipip")
    assert host.specs["fan"].subnet == IPv4Network("250.0.28.0/24")
    assert host.specs["fan"].gateway == IPv4Address("250.0.28.1")


def test_docker_s_network_has_the_name_that_is_asked_for(host: Host, run: Run) -> None:
    run()
    run(docker_network="overlay")
    assert list(host.networks) == ["overlay"]


def test_a_network_of_someone_else_s_blocks(host: Host, run: Run) -> None:
    host.networks["fan"] = Network("fan", "1", "", {})
    status = run().unit_status
    assert status == testing.BlockedStatus(
        "a Docker network named fan exists and was not made here"
    )


def test_without_docker_none_is_installed(host: Host, run: Run) -> None:
    host.installed = False
    status = run(docker="none").unit_status
    assert status == testing.ActiveStatus("fan-250 250.0.28.0/24, no peers yet")
    assert host.did == ["up fan-250 250.0.28.0/24"]


def test_docker_comes_off_the_fan_when_that_is_asked_for(host: Host, run: Run) -> None:
    run()
    run(docker="none")
    assert host.networks == {}
    assert OVERLAY in host.fans


def test_every_container_lands_on_the_fan_with_the_default_bridge(host: Host, run: Run) -> None:
    run()
    host.did.clear()
    status = run(docker="default-bridge").unit_status
    assert isinstance(status, testing.ActiveStatus)
    # The engine lets no two networks overlap.
    assert host.did == ["remove network fan", "restart the engine"]
    assert host.daemon == {"fan-250": DEFAULT_BRIDGE}


def test_the_default_bridge_comes_back(host: Host, run: Run) -> None:
    run(docker="default-bridge")
    host.did.clear()
    run(docker="network")
    assert host.daemon == {}
    assert host.did == ["restart the engine", "network fan 250.0.28.0/24"]


def test_stop_gives_the_default_bridge_back_before_the_fan_goes(host: Host, run: Run) -> None:
    run(docker="default-bridge")
    host.did.clear()
    run("stop")
    assert host.did == ["restart the engine", "down 250.0.0.0/8"]


def test_an_engine_that_keeps_its_old_default_bridge_is_told(host: Host, run: Run) -> None:
    host.live_restore = True
    status = run(docker="default-bridge").unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert "with live-restore it keeps the old one" in status.message


def test_live_restore_is_not_blamed_where_the_engine_does_without(host: Host, run: Run) -> None:
    host.own_bridge = "br0"
    status = run(docker="default-bridge").unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert "live-restore" not in status.message
    assert "see systemctl cat docker.service for a --bridge or a --config-file" in status.message


def test_a_changed_mtu_reaches_docker(host: Host, run: Run) -> None:
    run()
    host.mtu = 9000
    run()
    assert host.specs["fan"].mtu == 8950


def test_dhcp_serves_what_docker_leaves(host: Host, run: Run) -> None:
    run(dhcp=True)
    assert host.dhcp == {"fan-250": 127}
    assert host.specs["fan"].ip_range == IPv4Network("250.0.28.0/25")
    run(dhcp=True, docker="none")
    assert host.dhcp == {"fan-250": 1}
    run(dhcp=False, docker="none")
    assert host.dhcp == {}


def test_lxds_bridge_becomes_the_fan_and_docker_has_the_other_half(host: Host, run: Run) -> None:
    host.lxd_networks = {"lxdbr0": {"ipv4.address": "10.77.0.1/24"}}
    state = run(lxd=True)
    assert state.unit_status == testing.ActiveStatus("lxdbr0 250.0.28.0/24, no peers yet")
    config = host.lxd_networks["lxdbr0"]
    assert config["ipv4.address"] == "250.0.28.1/8"
    assert config["ipv4.dhcp.ranges"] == "250.0.28.128-250.0.28.254"
    assert config["bridge.mtu"] == "1450"
    assert (host.fans[OVERLAY].bridge, host.fans[OVERLAY].own_bridge) == ("lxdbr0", False)
    spec = host.specs["fan"]
    assert (spec.bridge, spec.ip_range) == ("lxdbr0", IPv4Network("250.0.28.0/25"))
    assert spec.reserved == (IPv4Address("250.0.28.0"),)


def test_lxd_has_the_whole_slice_where_docker_is_not(host: Host, run: Run) -> None:
    host.lxd_networks = {"lxdbr0": {}}
    run(lxd=True, docker="none")
    ranges = host.lxd_networks["lxdbr0"]["ipv4.dhcp.ranges"]
    assert ranges == "250.0.28.2-250.0.28.254"


@pytest.mark.parametrize("leave", [("stop", {}), ("config_changed", {"lxd": False})])
def test_lxds_bridge_comes_back(host: Host, run: Run, leave: tuple[str, Any]) -> None:
    host.lxd_networks = {"lxdbr0": {"ipv4.address": "10.77.0.1/24"}}
    run(lxd=True)
    event, options = leave
    run(event, **options)
    assert host.lxd_networks == {"lxdbr0": {"ipv4.address": "10.77.0.1/24"}}


def test_another_of_lxds_networks_can_be_the_fan(host: Host, run: Run) -> None:
    host.lxd_networks = {"lxdbr0": {"ipv4.address": "10.77.0.1/24"}, "lxdbr1": {}}
    run(lxd=True)
    run(lxd=True, lxd_network="lxdbr1")
    assert host.lxd_networks["lxdbr0"] == {"ipv4.address": "10.77.0.1/24"}
    assert host.lxd_networks["lxdbr1"]["ipv4.address"] == "250.0.28.1/8"


@pytest.mark.parametrize("networks", [None, {"lxdbr1": {}}])
def test_a_missing_lxd_or_network_blocks_before_anything_changes(
    host: Host, run: Run, networks: dict[str, dict[str, str]] | None
) -> None:
    run()
    host.did.clear()
    host.lxd_networks = networks
    status = run(lxd=True).unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert status.message.startswith("LXD ")
    assert host.did == []


def test_the_bridge_is_not_taken_from_containers(host: Host, run: Run) -> None:
    host.lxd_networks = {"lxdbr0": {}}
    run()
    host.attached = {"fan": ("db", "web")}
    host.did.clear()
    status = run(lxd=True).unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert "moves from fan-250 to lxdbr0, and containers are on it: db, web" in status.message
    assert host.did == []


def test_a_slice_that_is_too_small_to_share_blocks(host: Host, run: Run) -> None:
    host.lxd_networks = {"lxdbr0": {}}
    status = run(overlay="250.0.0.0/14", lxd=True).unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert "has too few addresses for Docker and for LXD" in status.message


@given(
    overlay=st.integers(4, 14),
    host=st.integers(1, 2**16 - 2),
    shared=st.booleans(),
    docker=st.sampled_from(Docker),
)
def test_the_parts_of_a_slice_never_overlap_and_leave_the_gateway_out(
    overlay: int, host: int, shared: bool, docker: Docker
) -> None:
    mapping = fannet.Mapping(IPv4Network(f"240.0.0.0/{overlay}"), IPv4Network("172.30.0.0/16"))
    fan = fannet.Fan(mapping, IPv4Address("172.30.0.0") + host)
    config = Config(docker=docker, dhcp=shared)
    try:
        parts = divide(fan, config)
    except PartsError:
        assert shared
        assert fan.slice.prefixlen == 30
        return
    first, last = parts.others
    assert first <= last
    assert first in fan.slice
    assert last in fan.slice
    assert fan.gateway.ip < first
    assert first == fan.slice[parts.reserve + 1]
    if docker is not Docker.NONE:
        assert parts.docker.subnet_of(fan.slice)
        assert (parts.docker[-1] < first) == shared
        free = parts.docker.num_addresses - len(parts.reserved) - 1
        assert free > 0


def test_options_that_can_not_be_leave_the_fan_that_there_is(host: Host, run: Run) -> None:
    host.lxd_networks = {"lxdbr0": {"ipv4.address": "10.77.0.1/24"}}
    run()
    host.did.clear()
    status = run(overlay="99.0.0.0/8", lxd=True, lxd_network="lxdbr9").unit_status
    assert status == testing.BlockedStatus("LXD has no network lxdbr9")
    assert list(host.fans) == [OVERLAY]
    assert host.did == []


def test_lxd_has_one_bridge_on_the_fan_at_a_time(host: Host, run: Run) -> None:
    host.lxd_networks = {name: {"ipv4.address": "10.77.0.1/24"} for name in ("lxdbr0", "lxdbr1")}
    run(lxd=True)
    host.did.clear()
    run(lxd=True, lxd_network="lxdbr1")
    assert host.did[:3] == [
        "lxd lxdbr0 as before",
        "lxd lxdbr1 250.0.28.1/8",
        "up lxdbr1 250.0.28.0/24",
    ]
