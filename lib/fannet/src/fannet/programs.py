"""The BPF programs of bpf/fan.bpf.c: loading, attaching, and what their maps hold.

libbpf does the work, through ctypes: iproute2 depends on it, so it is on every Debian and Ubuntu
host, and it needs neither a compiler nor a mounted bpf file system. What is loaded is found again
through the devices that it is attached to: device, filter, program, maps.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Collection, Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path
from typing import Literal

from fannet.drops import BPF_DROPS
from fannet.errors import ConflictError, KernelError
from fannet.libbpf import check, explain, listen, open_library

# Those of bpf/fan.bpf.c, and the maps that are read and written from here.
PROGRAMS = ("fan_tx", "fan_rx", "fan_in", "fan_direct", "ipip_tx", "ipip_rx")
MAPS = ("fans", "drops", "veths", "ports")
_OBJECT = Path(__file__).parent / "bpf" / "fan.bpf.o"
VETHS = 1024  # the most devices that Maps.set_veths takes, as in bpf/ways.h
SLOTS = range(1, 16)  # FANS in bpf/mapping.h; the first place is for packets of no fan
_FAN = struct.Struct("=12I6sHII")  # struct fan
_HANDLE = _PRIORITY = 1  # our filter's place among a device's
_REPLACE = 1  # BPF_TC_F_REPLACE

Direction = Literal["ingress", "egress"]
_ATTACH_POINT = {"ingress": 1, "egress": 2}  # BPF_TC_INGRESS, BPF_TC_EGRESS


@dataclass(frozen=True)
class Numbers:
    """What the programs know of one fan: `struct fan`, addresses and networks as numbers."""

    overlay: int
    overlay_mask: int
    underlay: int
    underlay_mask: int
    shift: int
    host: int
    slice: int
    slice_mask: int
    vni: int
    udp_port: int
    tunnel: int
    port: int
    mac: bytes
    slot: int
    # The last: older programs don't know these, and their fans are read with 0 here.
    cpus: int
    bridged: int

    def pack(self) -> bytes:
        return _FAN.pack(*self.__dict__.values())


@dataclass(frozen=True)
class Program:
    """A loaded program; `tag` is the kernel's digest of its instructions."""

    fd: int
    tag: bytes
    map_ids: tuple[int, ...]

    def is_like(self, other: Program, maps: Maps | None = None) -> bool:
        """Return whether it does the same as another, and, if given, shares these maps."""
        return self.tag == other.tag and (not maps or maps.fans_id in self.map_ids)


class _Hook(ctypes.Structure):
    """Libbpf's struct bpf_tc_hook."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("ifindex", ctypes.c_int),
        ("attach_point", ctypes.c_int),
        ("parent", ctypes.c_uint32),
    )


class _Options(ctypes.Structure):
    """Libbpf's struct bpf_tc_opts."""

    _fields_ = (
        ("sz", ctypes.c_size_t),
        ("prog_fd", ctypes.c_int),
        ("flags", ctypes.c_uint32),
        ("prog_id", ctypes.c_uint32),
        ("handle", ctypes.c_uint32),
        ("priority", ctypes.c_uint32),
    )


class _ProgramInfo(ctypes.Structure):
    """The kernel's struct bpf_prog_info, as far as it is used here."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("tag", ctypes.c_uint8 * 8),
        ("jited_prog_len", ctypes.c_uint32),
        ("xlated_prog_len", ctypes.c_uint32),
        ("jited_prog_insns", ctypes.c_uint64),
        ("xlated_prog_insns", ctypes.c_uint64),
        ("load_time", ctypes.c_uint64),
        ("created_by_uid", ctypes.c_uint32),
        ("nr_map_ids", ctypes.c_uint32),
        ("map_ids", ctypes.c_uint64),
        ("name", ctypes.c_char * 16),
    )


class _MapInfo(ctypes.Structure):
    """The kernel's struct bpf_map_info, as far as it is used here."""

    _fields_ = (
        ("type", ctypes.c_uint32),
        ("id", ctypes.c_uint32),
        ("key_size", ctypes.c_uint32),
        ("value_size", ctypes.c_uint32),
        ("max_entries", ctypes.c_uint32),
        ("map_flags", ctypes.c_uint32),
        ("name", ctypes.c_char * 16),
    )


def find_slot(fans: Mapping[int, Numbers], overlay: IPv4Network) -> int | None:
    """Return the slot of a fan."""
    start = int(overlay.network_address)
    return next((slot for slot, numbers in fans.items() if numbers.overlay == start), None)


class Maps:
    """The maps that a tunnel's programs share.

    Attributes:
        files: their file descriptors, by name; not all programs have all of them.
        fans_id: the kernel's number of the map `fans`.
    """

    def __init__(self, files: Mapping[str, int], fans_id: int = 0):
        self.files = files
        self.fans_id = fans_id
        self._fans = files["fans"]

    def read(self) -> dict[int, Numbers]:
        """Return what the programs know of each fan, by slot."""
        found: dict[int, Numbers] = {}
        for slot in SLOTS:
            value = ctypes.create_string_buffer(_FAN.size)
            key = struct.pack("=I", slot)
            check(open_library().bpf_map_lookup_elem(self._fans, key, value), "reading a BPF map")
            numbers = Numbers(*_FAN.unpack(value.raw))
            if numbers.tunnel:
                found[slot] = numbers
        return found

    def find_slot(self, overlay: IPv4Network) -> int | None:
        return find_slot(self.read(), overlay)

    def write(self, slot: int, numbers: Numbers | None) -> None:
        """Set a fan's numbers in the programs, or with None remove them and its counters."""
        value = numbers.pack() if numbers else bytes(_FAN.size)
        self._update(self._fans, slot, value)
        if not numbers:
            self._update(self.files["drops"], slot, bytes(self._drops_size()))

    def count_drops(self, slot: int) -> dict[str, int]:
        """Return how many packets were dropped for each reason, over all processors."""
        value = ctypes.create_string_buffer(self._drops_size())
        key = struct.pack("=I", slot)
        drops = self.files["drops"]
        check(open_library().bpf_map_lookup_elem(drops, key, value), "reading a BPF map")
        counts = struct.unpack(f"={len(value.raw) // 8}Q", value.raw)
        one = 1 + len(BPF_DROPS)  # the first says nothing
        return {name: sum(counts[place + 1 :: one]) for place, name in enumerate(BPF_DROPS)}

    def read_veths(self) -> dict[int, int]:
        """Return the veth devices that the programs know, and the slots of their fans."""
        return self._read("veths")

    def set_veths(self, veths: Mapping[int, int]) -> None:
        """Set the veth devices that lead to other network namespaces in the programs.

        Of more than VETHS, the programs do not hear of the oldest.

        Args:
            veths: the devices' numbers, and of each the slot of its bridge's fan, or 0.
        """
        self._replace("veths", dict(sorted(veths.items())[-VETHS:]))

    def read_ports(self) -> set[int]:
        """Return the UDP ports that carry tunnels, as far as the programs were told."""
        return set(self._read("ports"))

    def set_ports(self, ports: Collection[int]) -> None:
        """Set the UDP ports of all fans of this machine in the programs."""
        self._replace("ports", dict.fromkeys(ports, 0))

    def _read(self, name: str) -> dict[int, int]:
        """Return what a map holds; nothing if the programs have none of that name."""
        file = self.files.get(name)
        found: dict[int, int] = {}
        for number in _list_keys(file) if file is not None else ():
            key, value = struct.pack("=I", number), ctypes.create_string_buffer(4)
            if not open_library().bpf_map_lookup_elem(file, key, value):
                found[number] = struct.unpack("=I", value.raw)[0]
        return found

    def _replace(self, name: str, wanted: Mapping[int, int]) -> None:
        """Set one entry of a map; do nothing if there is no such map."""
        file = self.files.get(name)
        if file is None:  # programs of ipip, or of an older version
            return
        known = self._read(name)
        for number in known.keys() - wanted.keys():
            key = struct.pack("=I", number)
            check(open_library().bpf_map_delete_elem(file, key), "writing a BPF map")
        for number, value in wanted.items() - known.items():
            self._update(file, number, struct.pack("=I", value))

    def _drops_size(self) -> int:
        return 8 * (1 + len(BPF_DROPS)) * open_library().libbpf_num_possible_cpus()

    def _update(self, fd: int, number: int, value: bytes) -> None:
        key = struct.pack("=I", number)
        check(open_library().bpf_map_update_elem(fd, key, value, 0), "writing a BPF map")


def _list_keys(fd: int) -> Iterator[int]:
    key, following = None, ctypes.create_string_buffer(4)
    while not open_library().bpf_map_get_next_key(fd, key, following):
        key = following.raw
        yield struct.unpack("=I", key)[0]


# As the kernel described them when this process loaded them.
_described: dict[str, Program] = {}


def describe() -> Mapping[str, Program]:
    """Return the programs, to compare others with; their files are closed.

    A process loads them once for that: it takes the kernel 10 ms.

    Raises:
        KernelError: the kernel refused them.
    """
    if not _described:
        with load():
            pass
    return _described


@contextmanager
def load(shared: Maps | None = None) -> Generator[tuple[dict[str, Program], Maps]]:
    """Load the programs; those that are attached to nothing at the end are gone.

    Args:
        shared: maps of the same programs, loaded before, for use instead of new ones.

    Raises:
        KernelError: the kernel refused them.
    """
    try:
        code = _OBJECT.read_bytes()
    except FileNotFoundError as error:
        raise KernelError(
            f"{_OBJECT.name} is missing in this installation; reinstall fannet"
        ) from error
    library = open_library()
    listen()
    handle = library.bpf_object__open_mem(code, ctypes.c_size_t(len(code)), None)
    explain(library.libbpf_get_error(handle), f"libbpf can't read {_OBJECT.name}")
    opened = ctypes.c_void_p(handle)
    try:
        for name, file in shared.files.items() if shared else ():
            found = library.bpf_object__find_map_by_name(opened, name.encode())
            check(library.bpf_map__reuse_fd(ctypes.c_void_p(found), file), "sharing a BPF map")
        loaded = library.bpf_object__load(opened)
        explain(loaded, "libbpf or the kernel does not accept the BPF programs")
        programs: dict[str, Program] = {}
        for program in PROGRAMS:
            found = library.bpf_object__find_program_by_name(opened, program.encode())
            programs[program] = _describe(library.bpf_program__fd(ctypes.c_void_p(found)))
        _described.update(programs)
        files = [library.bpf_object__find_map_fd_by_name(opened, name.encode()) for name in MAPS]
        yield programs, Maps(dict(zip(MAPS, files, strict=True)))
    finally:
        library.bpf_object__close(opened)


@contextmanager
def find(device: int, direction: Direction) -> Generator[Program | None]:
    """Return the program that is attached to a device in our place; None if there is none."""
    options = _options()
    result = open_library().bpf_tc_query(
        ctypes.byref(_hook(device, direction)), ctypes.byref(options)
    )
    if result in (-errno.ENOENT, -errno.EINVAL, -errno.ENODEV):  # no filter, qdisc or device
        yield None
        return
    check(result, "reading a tc filter")
    fd = check(open_library().bpf_prog_get_fd_by_id(options.prog_id), "opening a BPF program")
    try:
        yield _describe(fd)
    finally:
        os.close(fd)


@contextmanager
def open_maps(program: Program | None) -> Generator[Maps | None]:
    """Open the maps of an attached program; None if there is none, or it is none of ours."""
    numbers: dict[str, int] = {}
    files: dict[str, int] = {}
    try:
        for number in program.map_ids if program else ():
            file = check(open_library().bpf_map_get_fd_by_id(number), "opening a BPF map")
            name = _read_map_name(file)
            numbers[name], files[name] = number, file
        yield Maps(files, numbers["fans"]) if "fans" in files else None
    finally:
        for file in files.values():
            os.close(file)


def attach(program: Program, device: int, direction: Direction) -> None:
    """Attach a program to a device, instead of the one that is there in our place.

    Raises:
        ConflictError: the device has an ingress qdisc of another kind.
    """
    hook = _hook(device, direction)
    listen()
    created = open_library().bpf_tc_hook_create(ctypes.byref(hook))
    if created != -errno.EEXIST:
        explain(created, "making a clsact qdisc")
    options = _options(prog_fd=program.fd, flags=_REPLACE)
    attached = open_library().bpf_tc_attach(ctypes.byref(hook), ctypes.byref(options))
    if attached in (-errno.EINVAL, -errno.EOPNOTSUPP):
        raise ConflictError(f"device {device} has a qdisc in place of clsact; remove it")
    explain(attached, "attaching a BPF program")


def attach_alone(program: Program, device: int) -> None:
    """Attach a program to what a device receives, unless somebody else has a qdisc there.

    A device that is gone meanwhile is not an error, nor is one that takes no program.
    """
    created = open_library().bpf_tc_hook_create(ctypes.byref(_hook(device, "ingress")))
    with find(device, "ingress") as attached, open_maps(attached) as maps:
        if created and not maps:
            return
    options = _options(prog_fd=program.fd, flags=_REPLACE)
    open_library().bpf_tc_attach(ctypes.byref(_hook(device, "ingress")), ctypes.byref(options))


def detach(device: int) -> None:
    """Detach our program from a device's ingress; do nothing if it is gone."""
    options = _options()
    open_library().bpf_tc_detach(ctypes.byref(_hook(device, "ingress")), ctypes.byref(options))


def remove_qdisc(device: int) -> None:
    """Remove a device's clsact qdisc, with all filters there; nothing if it is gone."""
    hook = _hook(device, "ingress")
    hook.attach_point |= _ATTACH_POINT["egress"]
    open_library().bpf_tc_hook_destroy(ctypes.byref(hook))


def _hook(device: int, direction: Direction) -> _Hook:
    return _Hook(sz=ctypes.sizeof(_Hook), ifindex=device, attach_point=_ATTACH_POINT[direction])


def _options(**values: int) -> _Options:
    size = ctypes.sizeof(_Options)
    return _Options(sz=size, handle=_HANDLE, priority=_PRIORITY, **values)


def _describe(fd: int) -> Program:
    map_ids = (ctypes.c_uint32 * 16)()
    info = _ProgramInfo(nr_map_ids=len(map_ids), map_ids=ctypes.addressof(map_ids))
    size = ctypes.c_uint32(ctypes.sizeof(info))
    check(
        open_library().bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(size)),
        "reading a BPF program",
    )
    count = min(info.nr_map_ids, len(map_ids))
    return Program(fd, bytes(info.tag), tuple(map_ids[:count]))


def _read_map_name(fd: int) -> str:
    info = _MapInfo()
    size = ctypes.c_uint32(ctypes.sizeof(info))
    check(
        open_library().bpf_obj_get_info_by_fd(fd, ctypes.byref(info), ctypes.byref(size)),
        "reading a BPF map",
    )
    return info.name.decode()
