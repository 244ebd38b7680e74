"""What the programs in C and the modules in Python both say is the same."""

from __future__ import annotations

import re
import struct
from dataclasses import fields
from pathlib import Path

import fannet
from fannet import programs, rules
from fannet.drops import BPF_DROPS
from fannet.mapping import Constants
from fannet.programs import Numbers

BPF = Path(fannet.__file__).parent / "bpf"
# C's types that the kernel's headers define, as struct(3) of Python's library names them.
TYPES = {"__u8": "B", "__u16": "H", "__u32": "I", "__u64": "Q"}


def read(name: str) -> str:
    """A file of bpf/ without its comments."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", "", (BPF / name).read_text(), flags=re.DOTALL)


def read_define(name: str) -> int:
    found = [
        value
        for file in BPF.glob("*.[ch]")
        for value in re.findall(rf"^#define {name} (\w+?)(?:ULL)?\s*$", read(file.name), re.M)
    ]
    (value,) = found
    return int(value, 0)


def read_struct(file: str, name: str) -> list[tuple[str, str]]:
    """The members of a struct with the format of each, in order."""
    found = re.search(rf"^struct {name} {{(.*?)^}};", read(file), re.DOTALL | re.MULTILINE)
    assert found
    members = []
    for kind, member, count in re.findall(r"(\w+) (\w+)(?:\[(\w+)\])?;", found[1]):
        size = {"": "", "ETH_ALEN": "6s"}[count]  # bytes in Python, not six numbers
        members.append((member, size or TYPES[kind]))
    return members


def read_map(file: str, name: str) -> dict[str, str]:
    """What the definition of a map says of it: type, max_entries, key, value."""
    pattern = rf"struct {{([^{{}}]*)}} {name} SEC\(\"\.maps\"\);"
    (found,) = re.findall(pattern, read(file))
    return dict(re.findall(r"__(?:uint|type)\((\w+), ([\w ]+)\);", found))


def test_a_fans_numbers_are_laid_out_alike() -> None:
    members = read_struct("mapping.h", "fan")
    assert [name for name, _ in members] == [field.name for field in fields(Numbers)]
    packed = struct.Struct("=" + "".join(kind for _, kind in members))
    # Aligned as the compiler does it, it takes as much: there are no holes in it.
    aligned = struct.Struct("@" + "".join(kind for _, kind in members))
    assert packed.size == aligned.size
    values = [bytes(6) if kind == "6s" else number for number, (_, kind) in enumerate(members, 1)]
    assert Numbers(*values).pack() == packed.pack(*values)  # type: ignore[arg-type]


def test_the_mappings_constants_come_first_in_their_order() -> None:
    members = [name for name, _ in read_struct("mapping.h", "fan")]
    assert members[: len(fields(Constants))] == [field.name for field in fields(Constants)]


def test_there_are_as_many_places_for_fans() -> None:
    assert range(1, read_define("FANS")) == programs.SLOTS
    for file, name in (("mapping.h", "fans"), ("drops.h", "drops")):
        assert read_map(file, name)["max_entries"] == "FANS"


def test_the_maps_that_are_written_hold_as_much_as_is_written() -> None:
    assert read_define("VETHS") == programs.VETHS
    veths = read_map("ways.h", "veths")
    assert (veths["max_entries"], veths["key"], veths["value"]) == ("VETHS", "__u32", "__u32")


def test_the_reasons_for_drops_are_in_the_same_order() -> None:
    found = re.search(r"enum drop {(.*?)}", read("drops.h"), re.DOTALL)
    assert found
    first, *reasons, last = re.findall(r"\w+", found[1])
    assert (first, last) == ("PASS", "DROPS")
    assert [reason.removeprefix("DROP_").lower() for reason in reasons] == list(BPF_DROPS)


def test_checked_packets_have_one_mark() -> None:
    assert read_define("CHECKED") == rules.CHECKED


def test_the_limit_of_ethernet_addresses_is_told_as_it_is() -> None:
    minutes = {5: "five"}[read_define("AGEING") // 60_000_000_000]
    told = BPF_DROPS["rx_macs"]
    assert f"more than {read_define('MACS')} Ethernet addresses in {minutes} minutes" in told


def test_every_program_that_is_loaded_is_there() -> None:
    written = set(re.findall(r"^int (\w+)\(struct __sk_buff", read("fan.bpf.c"), re.MULTILINE))
    assert set(programs.PROGRAMS) == written
    maps = {name for file in BPF.glob("*.[ch]") for name in _find_maps(file.name)}
    assert set(programs.MAPS) <= maps


def _find_maps(file: str) -> list[str]:
    return re.findall(r"} (\w+) SEC\(\"\.maps\"\);", read(file))
