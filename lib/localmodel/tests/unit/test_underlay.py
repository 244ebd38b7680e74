from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.localmodel.tests.unit.driver import World
from localmodel.errors import LocalModelError
from localmodel.machines.underlay import DEFAULT, find_free_address, find_gateway, parse_underlay
from localmodel.state import Machine, Model

NETWORKS = st.builds(
    lambda number, prefix: ipaddress.IPv4Network((number, prefix), strict=False),
    st.integers(0, 2**32 - 1),
    st.integers(16, 28),
)


@given(NETWORKS)
def test_a_network_is_read_back_from_its_text_or_refused_by_name(
    network: ipaddress.IPv4Network,
) -> None:
    try:
        assert parse_underlay(str(network)) == network
    except LocalModelError as e:
        assert network.overlaps(ipaddress.IPv4Network("10.0.2.0/24"))
        assert str(network) in str(e)
        assert DEFAULT in str(e)


@given(st.text())
def test_any_other_text_is_refused_by_name(text: str) -> None:
    try:
        network = parse_underlay(text)
    except LocalModelError as e:
        assert repr(text) in str(e)
    else:
        assert network.prefixlen <= 28


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("172.30.0.0/33", "/33"),
        ("172.30.0.1/16", "host bits"),
        ("fd00::/64", "IPv4"),
        ("172.30.0.0/29", "/28 or larger"),
        ("10.0.0.0/8", "10.0.2.0/24"),
        ("", "IPv4"),
    ],
)
def test_a_network_without_room_is_refused_with_what_is_allowed(text: str, says: str) -> None:
    with pytest.raises(LocalModelError, match="underlay ") as refusal:
        parse_underlay(text)
    assert says in str(refusal.value)
    assert "such as 172.30.0.0/16" in str(refusal.value)


@given(NETWORKS, st.sets(st.integers(0, 40)))
def test_the_lowest_free_address_is_given(
    network: ipaddress.IPv4Network, offsets: set[int]
) -> None:
    taken = {str(network[o]) for o in offsets if o < network.num_addresses}
    try:
        address = ipaddress.IPv4Address(find_free_address(network, taken))
    except LocalModelError as e:
        assert f"underlay {network} is full" in str(e)
        assert all(str(h) in taken for h in list(network.hosts())[1:])
        return
    assert address in network
    assert str(address) not in taken
    assert address not in (network.network_address, network.broadcast_address)
    assert str(address) != find_gateway(network)
    lower = map(ipaddress.IPv4Address, range(int(network[2]), int(address)))
    assert all(str(h) in taken for h in lower)


def test_machines_of_all_models_have_addresses_of_their_own(world: World) -> None:
    other = Model(uuid="ffffffff-0", name="other")
    other.machines["0"] = Machine("0", "x", "172.30.0.2")
    world.store.save(other)
    numbers = [world.add_machine() for _ in range(3)]
    assert numbers == ["0", "1", "2"]
    addresses = [world.model.machines[n].address for n in numbers]
    assert addresses == ["172.30.0.3", "172.30.0.4", "172.30.0.5"]
    assert len({world.model.machines[n].name for n in numbers}) == 3


def test_an_address_is_used_again_but_a_machines_number_is_not(world: World) -> None:
    first = world.add_machine()
    world.model.machines[first].life = "dying"
    world.run_until_idle()
    second = world.add_machine()
    assert (second, world.model.machines[second].address) == ("1", "172.30.0.2")


def test_a_full_underlay_says_what_to_do(world: World) -> None:
    world.store.set("underlay", "172.31.0.0/28")
    for _ in range(13):
        world.add_machine()
    with pytest.raises(LocalModelError, match="full: remove machines, or choose a larger one"):
        world.add_machine()
