from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fannet.errors import FanError, FannetError, MappingError, UnderlayError
from fannet.fanfile import FLAGS, SWITCHES, Entry, format_command, parse_entry, read_fanfile
from fannet.machine import Address
from fannet.underlay import find_underlay

# As the original's documents have it: comments, tabs, a fan that is off.
ORIGINAL = """\
# fan 240
10.0.0.0/8\teth0/16 dhcp
10.0.0.0/8  eth1/16 dhcp off

# fan 241
241.0.0.0/8 eth0/16 dhcp host-reserve 5 # the first five are the host's
"""


def test_the_originals_file_is_read_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "fan"
    path.write_text(ORIGINAL)
    entries, errors = read_fanfile(path)
    assert not errors
    assert entries == [
        Entry("10.0.0.0/8", "eth0/16", dhcp=True),
        Entry("10.0.0.0/8", "eth1/16", dhcp=True, enabled=False),
        Entry("241.0.0.0/8", "eth0/16", dhcp=True, host_reserve=5),
    ]
    assert [entry.line for entry in entries] == [2, 3, 6]


# What Ubuntu's postinst writes since 2017 (ubuntu-fan 0.12.16), and what its manual tells to add.
LATER = """\
# local          overlay       options
192.168.0.0/16   250.0.0.0/8
172.16.0.0/12    251.0.0.0/8 --enable --dhcp --host-reserve=5 --type=vxlan --mode=compact

10.254.0.0/16    252.0.0.0/8 --on --bridge=cloud --auto
10.254.0.0/16    253.0.0.0/8 --disable
ens3/16          254.0.0.0/8 --enable --type=ipip
"""


def test_a_file_of_ubuntus_later_versions_is_read_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "fan"
    path.write_text(LATER)
    entries, errors = read_fanfile(path)
    assert not errors
    assert entries == [
        Entry("250.0.0.0/8", "192.168.0.0/16", enabled=False),
        Entry("251.0.0.0/8", "172.16.0.0/12", dhcp=True, host_reserve=5),
        Entry("252.0.0.0/8", "10.254.0.0/16", bridge="cloud"),
        Entry("253.0.0.0/8", "10.254.0.0/16", enabled=False),
        Entry("254.0.0.0/8", "ens3/16", encapsulation="ipip"),
    ]


@pytest.mark.parametrize("flag", ["--mode=sliced", "--comment=mine"])
def test_a_flag_of_ubuntus_that_means_nothing_here_is_told_by_line(
    tmp_path: Path, flag: str
) -> None:
    path = tmp_path / "fan"
    path.write_text(f"192.168.0.0/16 250.0.0.0/8 --enable {flag}\n")
    entries, [error] = read_fanfile(path)
    assert not entries
    assert error.startswith(f"{path}:1: flag {flag.removeprefix('--').partition('=')[0]!r}")


@pytest.mark.parametrize(
    ("line", "word", "allowed"),
    [
        ("250.0.0.0/8", "'250.0.0.0/8' alone", "OVERLAY UNDERLAY"),
        ("250.0.0.0/8 eth0/16 dhpc", "'dhpc'", "dhcp, host-reserve N, bridge NAME"),
        ("250.0.0.0/8 eth0/16 host-reserve", "'host-reserve'", "host-reserve N"),
        ("250.0.0.0/8 eth0/16 mtu big", "'big'", "number"),
        ("250.0.0.0/8 eth0/16 mtu 1400 mtu 1300", "'mtu'", "once"),
        ("250.0.0.0/8 eth0/16 bridge a into b", "'into'", "one of them"),
        ("250.0.0.0/8 eth0/16 off enable", "'enable'", "once"),
    ],
)
def test_an_error_names_file_line_word_and_what_is_allowed(
    tmp_path: Path, line: str, word: str, allowed: str
) -> None:
    path = tmp_path / "fan"
    path.write_text(f"# first\n{line}\n251.0.0.0/8 eth0/16\n")
    entries, [error] = read_fanfile(path)
    assert error.startswith(f"{path}:2: ")
    assert word in error
    assert allowed in error
    assert "\n" not in error
    assert [entry.overlay for entry in entries] == ["251.0.0.0/8"]


def test_an_overlay_is_asked_for_in_one_line_alone(tmp_path: Path) -> None:
    path = tmp_path / "fan"
    path.write_text("250.0.0.0/8 eth0/16\n250.0.0.0/8 eth1/16\n250.0.0.0/8 eth2/16 off\n")
    entries, [error] = read_fanfile(path)
    assert [entry.underlay for entry in entries] == ["eth0/16", "eth2/16"]
    assert error.startswith(f"{path}:2: ")
    assert "line 1" in error


def test_a_file_that_is_not_there_says_what_to_write(tmp_path: Path) -> None:
    with pytest.raises(FanError, match=r"fan: No such file .*250\.0\.0\.0/8 eth0/16 dhcp"):
        read_fanfile(tmp_path / "fan")


def test_a_file_that_is_no_text_is_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "fan"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(FanError, match="it is not a text file"):
        read_fanfile(path)


def test_the_switches_of_the_file_are_refused_elsewhere() -> None:
    for switch in SWITCHES:
        with pytest.raises(FanError, match=r"for /etc/network/fan alone"):
            parse_entry(["250.0.0.0/8", "eth0/16", switch])


names = st.from_regex(r"[a-z][a-z0-9]{0,14}", fullmatch=True)
numbers = st.integers(0, 1 << 24)
entries = st.builds(
    Entry,
    overlay=st.just("250.0.0.0/8"),
    underlay=st.just("eth0/16"),
    dhcp=st.booleans(),
    host_reserve=numbers,
    bridge=names,
    encapsulation=st.sampled_from(["vxlan", "ipip"]),
    vni=numbers,
    port=numbers,
    mtu=numbers,
    masquerade=st.booleans(),
    shortcuts=st.booleans(),
    enabled=st.booleans(),
) | st.builds(Entry, overlay=names, underlay=names, into=names)


def write_words(entry: Entry) -> list[list[str]]:
    """The flags that make an entry, one list each."""
    flags = [[switch] for switch, value in SWITCHES.items() if value is entry.enabled][:1]
    for name, flag in FLAGS.items():
        value = getattr(entry, flag.sets)
        if flag.value and value != "":
            flags.append([name, str(value)])
        elif not flag.value and value is flag.to:
            flags.append([name])
    return flags


@given(entries, st.randoms(use_true_random=False))
def test_flags_are_read_in_any_order(entry: Entry, chance: object) -> None:
    flags = write_words(entry)
    chance.shuffle(flags)  # type: ignore[attr-defined]
    words = [entry.overlay, entry.underlay, *(word for flag in flags for word in flag)]
    assert parse_entry(words, in_file=True) == entry


@given(st.text())
def test_whatever_a_file_holds_it_is_read_or_refused_by_line(text: str) -> None:
    path = Fake(text)
    entries, errors = read_fanfile(path)  # type: ignore[arg-type]
    lines = [line.partition("#")[0].strip() for line in text.splitlines()]
    assert len(entries) + len(errors) == sum(1 for line in lines if line.split())


class Fake:
    """A file in memory: Hypothesis makes many."""

    def __init__(self, text: str):
        self.text = text

    def read_text(self) -> str:
        return self.text


HERE = [
    Address("eth0", IPv4Address("172.30.0.28"), 24, False),
    Address("eth0", IPv4Address("172.30.9.9"), 24, True),
    Address("eth1", IPv4Address("10.1.2.3"), 32, False),
    Address("eth2", IPv4Address("10.9.0.1"), 24, False),
    Address("eth2", IPv4Address("10.9.1.1"), 24, False),
    Address("lo", IPv4Address("10.1.0.1"), 32, False),
]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fannet.underlay.read_addresses", lambda: HERE)


@pytest.mark.parametrize(
    ("underlay", "host", "network"),
    [
        ("eth0/16", "172.30.0.28", "172.30.0.0/16"),
        ("172.30.0.28/16", "172.30.0.28", "172.30.0.0/16"),
        ("172.30.0.0/16", "172.30.0.28", "172.30.0.0/16"),
        ("172.16.0.0/12", "172.30.0.28", "172.16.0.0/12"),
        ("eth1/16", "10.1.2.3", "10.1.0.0/16"),
        ("10.1.0.0/16", "10.1.2.3", "10.1.0.0/16"),  # not the one on lo
        ("lo/16", "10.1.0.1", "10.1.0.0/16"),
        ("192.0.2.9/24", "192.0.2.9", "192.0.2.0/24"),  # whether it is here, `up` sees
    ],
)
def test_an_underlay_is_a_device_an_address_or_a_network(
    here: None, underlay: str, host: str, network: str
) -> None:
    found = find_underlay(underlay)
    assert (str(found[0]), str(found[1])) == (host, network)


@pytest.mark.parametrize("underlay", ["eth0/16", "172.30.0.0/16", "0.0.0.0/0"])
def test_floating_addresses_are_passed_over(
    monkeypatch: pytest.MonkeyPatch, underlay: str
) -> None:
    own = Address("eth0", IPv4Address("172.30.0.28"), 24)
    floating = [
        Address("eth0", IPv4Address("172.30.0.7"), 32),
        Address("eth1", IPv4Address("172.30.0.9"), 32),
    ]
    monkeypatch.setattr("fannet.underlay.read_addresses", lambda: [*floating, own])
    assert find_underlay(underlay)[0] == own.address


@pytest.mark.parametrize(
    ("underlay", "told"),
    [
        ("eth9/16", "device eth9 is not there.*: eth0, eth1, eth2, lo"),
        ("192.168.0.0/16", "no address of this machine is in 192.168.0.0/16"),
    ],
)
def test_an_underlay_without_an_address_of_this_host_is_refused(
    here: None, underlay: str, told: str
) -> None:
    with pytest.raises(UnderlayError, match=told):
        find_underlay(underlay)


@pytest.mark.parametrize(
    ("underlay", "told"),
    [
        ("eth2/16", "several.*10.9.0.1 on eth2, 10.9.1.1 on eth2; name one"),
        ("0.0.0.0/0", "several.*172.30.0.28 on eth0, 10.9.0.1 on eth2, 10.9.1.1 on eth2"),
    ],
)
def test_several_addresses_are_refused_and_not_waited_for(
    here: None, underlay: str, told: str
) -> None:
    with pytest.raises(FanError, match=told):
        find_underlay(underlay)


@pytest.mark.parametrize(
    "underlay", ["eth0", "/16", "eth0/", "eth0/33", "eth0/x", "172.30.0/16", "1.2.3.4.5/16", ""]
)
def test_an_underlay_without_a_prefix_is_refused(here: None, underlay: str) -> None:
    with pytest.raises(MappingError, match="DEVICE/PREFIX, ADDRESS/PREFIX or NETWORK/PREFIX"):
        find_underlay(underlay)


@given(st.text())
def test_any_underlay_is_found_or_refused_in_one_line(text: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fannet.underlay.read_addresses", lambda: HERE)
        try:
            host, network = find_underlay(text)
        except FannetError as error:
            assert len(str(error).splitlines()) == 1
        else:
            assert host in network


@pytest.mark.parametrize(
    "flags",
    [
        "",
        "dhcp host-reserve 3",
        "bridge fan0 vni 7 port 4789 mtu 1300 no-masquerade no-shortcuts",
        "into lxdbr0",
        "bridge fan0 encapsulation ipip",
    ],
)
def test_the_command_for_a_fan_makes_that_fan(here: None, flags: str) -> None:
    words = f"fanctl up 250.0.0.0/8 172.30.0.28/16 {flags}".strip()
    entry = parse_entry(words.split()[2:])
    reserve = entry.host_reserve if entry.dhcp else None
    assert format_command(entry.resolve(), reserve) == words


def test_an_entry_becomes_a_fan_of_this_host(here: None) -> None:
    entry = Entry("250.0.0.0/8", "eth0/16", bridge="fan0", mtu=1400, masquerade=False)
    fan = entry.resolve()
    assert str(fan.slice) == "250.0.28.0/24"
    assert (fan.bridge, fan.own_bridge, fan.mtu, fan.masquerade) == ("fan0", True, 1400, False)
    foreign = replace(entry, bridge="", into="lxdbr0").resolve()
    assert (foreign.bridge, foreign.own_bridge) == ("lxdbr0", False)
