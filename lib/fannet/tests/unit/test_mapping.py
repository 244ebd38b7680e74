from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fannet.errors import AddressError, MappingError
from fannet.mapping import Mapping, parse_mapping

TABLE = [
    ("172.30.0.28/16", "250.0.0.0/8", "250.0.28.0/24"),
    ("10.88.3.4/16", "99.0.0.0/8", "99.3.4.0/24"),
    ("10.99.238.5/20", "99.0.0.0/8", "99.224.80.0/20"),
    ("10.111.1.2/12", "33.0.0.0/8", "33.240.16.32/28"),
    ("10.88.244.215/20", "240.0.0.0/5", "242.107.128.0/17"),
    ("10.224.220.10/24", "100.64.0.0/10", "100.66.128.0/18"),
]


# First four bits of networks without loopback, link-local and multicast addresses in them.
NIBBLES = [1, 2, 3, 4, 5, 6, 8, 9, 11, 12, 13, 15]


@st.composite
def mappings(draw: st.DrawFn) -> Mapping:
    n = draw(st.integers(4, 28))
    m = draw(st.integers(n + 2, 30))
    over, under = draw(st.lists(st.sampled_from(NIBBLES), min_size=2, max_size=2, unique=True))

    def network(nibble: int, prefix: int) -> IPv4Network:
        low = draw(st.integers(0, 2**28 - 1)) >> (32 - prefix) << (32 - prefix)
        return IPv4Network((nibble << 28 | low, prefix))

    return Mapping(network(over, n), network(under, m))


@pytest.mark.parametrize(("host", "overlay", "own"), TABLE)
def test_a_host_owns_the_slice_that_the_original_gave_it(
    host: str, overlay: str, own: str
) -> None:
    address, prefix = host.split("/")
    mapping = Mapping(IPv4Network(overlay), IPv4Network(host, strict=False))
    assert str(prefix) == str(mapping.underlay.prefixlen)
    assert mapping.slice_of(IPv4Address(address)) == IPv4Network(own)
    for part in (IPv4Network(own)[0], IPv4Network(own)[1], IPv4Network(own)[-1]):
        assert mapping.host_of(part) == IPv4Address(address)


@pytest.mark.parametrize(
    ("overlay", "underlay"),
    [("250.0.0.0/8", "172.30.0.0/16"), ("240.0.0.0/5", "10.88.240.0/20")],
)
def test_slices_of_all_hosts_tile_the_overlay(overlay: str, underlay: str) -> None:
    mapping = parse_mapping(overlay, underlay)
    size = 1 << (32 - mapping.slice_prefixlen)
    base = int(mapping.underlay.network_address)
    following = int(mapping.overlay.network_address) + size  # the first is the network address's
    hosts = range(base + 1, int(mapping.underlay.broadcast_address))
    for number in hosts:
        host = IPv4Address(number)
        own = mapping.slice_of(host)
        start = int(own.network_address)
        assert start == following
        assert int(own.netmask) == 0xFFFFFFFF ^ (size - 1)
        assert mapping.host_of(own.network_address) == host
        assert mapping.host_of(IPv4Address(start + size - 1)) == host
        following = start + size
    assert following == int(mapping.overlay.broadcast_address) + 1 - size
    assert len(hosts) == sum(1 for _ in mapping.hosts())


def test_every_address_of_a_small_fan_leads_back_to_its_slice() -> None:
    mapping = parse_mapping("100.64.0.0/16", "10.1.2.0/24")
    for number in range(int(mapping.overlay[256]), int(mapping.overlay[-256])):
        address = IPv4Address(number)
        assert address in mapping.slice_of(mapping.host_of(address))


@given(mappings(), st.data())
def test_host_and_slice_are_inverses(mapping: Mapping, data: st.DataObject) -> None:
    last = mapping.underlay.num_addresses - 2
    host = mapping.underlay[data.draw(st.integers(1, last))]
    own = mapping.slice_of(host)
    assert own.subnet_of(mapping.overlay)
    address = own[data.draw(st.integers(0, own.num_addresses - 1))]
    assert mapping.host_of(address) == host


@given(mappings(), st.data())
def test_the_constants_do_the_same_arithmetic(mapping: Mapping, data: st.DataObject) -> None:
    last = mapping.underlay.num_addresses - 2
    host = mapping.underlay[data.draw(st.integers(1, last))]
    own = mapping.slice_of(host)
    address = int(own[data.draw(st.integers(0, own.num_addresses - 1))])
    numbers = mapping.constants(host)
    inside = address & ~numbers.overlay_mask & 0xFFFFFFFF
    assert numbers.underlay | (inside >> numbers.shift) == int(host) == numbers.host
    assert address & numbers.overlay_mask == numbers.overlay
    assert address & numbers.slice_mask == numbers.slice
    assert numbers.host & numbers.underlay_mask == numbers.underlay


@pytest.mark.parametrize(
    ("overlay", "underlay", "reason"),
    [
        ("250.0.0.0/16", "172.30.0.0/16", "must be shorter than /16"),
        ("250.0.0.0/24", "172.30.0.0/16", "must be shorter than /16"),
        ("250.0.0.0/15", "172.30.0.0/16", "/31, which is smaller than /30"),
        ("250.0.0.0/8", "172.30.0.0/31", "has fewer than two hosts"),
        ("250.0.0.1/8", "172.30.0.0/16", "did you mean 250.0.0.0/8"),
        ("250.0.0.0/8", "172.30.0.28/16", "did you mean 172.30.0.0/16"),
        ("172.0.0.0/8", "172.30.0.0/16", "overlap"),
        ("224.0.0.0/8", "172.30.0.0/16", "overlaps multicast addresses (224.0.0.0/4)"),
        ("240.0.0.0/3", "172.30.0.0/16", "host bits"),
        ("192.0.0.0/2", "10.0.0.0/16", "multicast"),
        ("127.0.0.0/8", "172.30.0.0/16", "loopback"),
        ("0.0.0.0/8", "172.30.0.0/16", "this network"),
        ("169.254.0.0/16", "172.30.0.0/24", "link-local"),
        ("250.0.0.0/8", "127.0.0.0/16", "underlay 127.0.0.0/16 overlaps loopback"),
        ("fd00::/8", "172.30.0.0/16", "'fd00::/8' is not an IPv4 network"),
        ("250.0.0.0", "172.30.0.0/16", "has no prefix length"),
        ("250.0.0.0/33", "172.30.0.0/16", "is not an IPv4 network"),
        ("fan", "172.30.0.0/16", "has no prefix length"),
        ("", "172.30.0.0/16", "has no prefix length"),
    ],
)
def test_a_wrong_pair_is_refused_with_the_reason(overlay: str, underlay: str, reason: str) -> None:
    with pytest.raises(MappingError, match=r"(overlay|underlay)") as caught:
        parse_mapping(overlay, underlay)
    assert reason in str(caught.value)


def test_class_e_is_a_legitimate_overlay() -> None:
    for overlay in ("250.0.0.0/8", "240.0.0.0/5", "240.0.0.0/4"):
        assert parse_mapping(overlay, "172.30.0.0/16").overlay == IPv4Network(overlay)


@pytest.mark.parametrize(
    ("host", "reason"),
    [
        ("172.31.0.1", "172.31.0.1 is not in the underlay 172.30.0.0/16"),
        ("172.30.0.0", "network address"),
        ("172.30.255.255", "broadcast address"),
    ],
)
def test_what_is_no_host_owns_no_slice(host: str, reason: str) -> None:
    with pytest.raises(AddressError, match=reason):
        parse_mapping("250.0.0.0/8", "172.30.0.0/16").slice_of(IPv4Address(host))


@pytest.mark.parametrize("address", ["251.0.28.1", "250.0.0.5", "250.255.255.5"])
def test_an_address_that_is_nobodys_has_no_host(address: str) -> None:
    with pytest.raises(AddressError, match=address.replace(".", r"\.")):
        parse_mapping("250.0.0.0/8", "172.30.0.0/16").host_of(IPv4Address(address))


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_text_but_a_network_is_taken(overlay: str, underlay: str) -> None:
    with pytest.raises(MappingError):
        parse_mapping(overlay, underlay)
