from __future__ import annotations

from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fannet import AddressError, Fan, FanError, name_bridge, parse_mapping
from fannet.drops import BPF_DROPS, DROPS
from fannet.marks import Mark, read_mark
from fannet.programs import SLOTS, Numbers, find_slot

MAPPING = parse_mapping("250.0.0.0/8", "172.30.0.0/16")
HOST = IPv4Address("172.30.0.28")


def make_fan(**settings: Any) -> Fan:
    return Fan(MAPPING, HOST, **settings)


def test_a_fan_without_settings_is_ubuntus() -> None:
    fan = make_fan()
    assert (fan.bridge, fan.vni, fan.port) == ("fan-250", 0xFA0000, 8472)
    assert fan.slice == IPv4Network("250.0.28.0/24")
    assert fan.gateway == IPv4Interface("250.0.28.1/8")


def test_the_bridge_of_an_ipip_fan_has_the_slices_prefix_length() -> None:
    assert make_fan(encapsulation="ipip").gateway == IPv4Interface("250.0.28.1/24")


@pytest.mark.parametrize(
    ("overlay", "name"),
    [
        ("250.0.0.0/8", "fan-250"),
        ("240.0.0.0/5", "fan-240"),
        ("100.64.0.0/10", "fan-100-64"),
        ("10.1.0.0/16", "fan-10-1"),
        ("198.18.255.0/24", "fan-198-18-255"),
        ("100.100.100.128/25", "fan-64646480"),
    ],
)
def test_a_bridge_is_named_after_the_part_of_the_overlay_that_counts(
    overlay: str, name: str
) -> None:
    assert name_bridge(IPv4Network(overlay)) == name


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"bridge": "a name with spaces"}, "is not a device name"),
        ({"bridge": "sixteen-letters-"}, "up to 15"),
        ({"bridge": "../x"}, "is not a device name"),
        ({"vni": -1}, "from 1 to 16777215"),
        ({"vni": 1 << 24}, "from 1 to 16777215"),
        ({"port": 0}, "from 1 to 65535"),
        ({"port": 65536}, "from 1 to 65535"),
        ({"mtu": 100}, "from 576 to 65535"),
        ({"mtu": -1}, "from 576 to 65535"),
        ({"encapsulation": "gre"}, "there are vxlan and ipip"),
        ({"encapsulation": "ipip", "own_bridge": False}, "use the encapsulation vxlan"),
    ],
    ids=str,
)
def test_a_wrong_setting_is_refused_with_what_is_allowed(
    settings: dict[str, Any], reason: str
) -> None:
    with pytest.raises(FanError, match=reason):
        make_fan(**settings)


def test_a_host_outside_of_the_underlay_has_no_fan() -> None:
    with pytest.raises(AddressError, match=r"10\.0\.0\.1 is not in the underlay"):
        Fan(MAPPING, IPv4Address("10.0.0.1"))


fans = st.builds(
    make_fan,
    bridge=st.from_regex(r"[a-z][a-z0-9_.-]{0,14}", fullmatch=True),
    own_bridge=st.just(True),
    encapsulation=st.sampled_from(["vxlan", "ipip"]),
    vni=st.integers(1, 2**24 - 1),
    port=st.integers(1, 65535),
    mtu=st.just(0) | st.integers(576, 65535),
    masquerade=st.booleans(),
    shortcuts=st.booleans(),
)


@given(fans, st.booleans())
def test_what_a_mark_says_is_read_back(fan: Fan, forwarding_was_off: bool) -> None:
    mark = Mark(fan, forwarding_was_off)
    assert read_mark(str(mark)) == mark
    assert len(str(mark)) < 256  # what the kernel takes as an alias


def test_a_mark_of_an_older_version_is_of_a_fan_with_short_ways() -> None:
    mark = Mark(make_fan(), forwarding_was_off=True)
    assert read_mark(str(mark).replace(" shortcuts=1", "")) == mark


@given(st.text() | st.text().map(lambda text: f"fannet {text}"))
def test_other_texts_are_no_marks(text: str) -> None:
    assert read_mark(text) is None


def test_numbers_take_as_much_room_as_in_the_programs() -> None:
    fan = make_fan()
    constants = vars(MAPPING.constants(HOST))
    numbers = Numbers(
        **constants, vni=1, udp_port=2, tunnel=3, port=4, mac=bytes(6), slot=5, cpus=2, bridged=1
    )
    assert len(numbers.pack()) == 12 * 4 + 6 + 2 + 4 + 4
    assert find_slot({5: numbers}, fan.overlay) == 5
    assert find_slot({5: numbers}, IPv4Network("99.0.0.0/8")) is None
    assert 0 not in SLOTS  # the place of packets of no fan


def test_each_reason_tells_its_direction() -> None:
    assert {reason[:3] for reason in DROPS} == {"rx_", "tx_"}
    assert BPF_DROPS.items() <= DROPS.items()
