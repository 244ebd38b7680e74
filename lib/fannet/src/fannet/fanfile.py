"""Fans as people write them: on a command line of 2015, in options, in /etc/network/fan.

All three come down to the same words: overlay, underlay, flags.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any, NamedTuple

from fannet.errors import FanError, FannetError
from fannet.fan import VXLAN_PORT, Encapsulation, Fan, name_bridge
from fannet.mapping import parse_mapping
from fannet.underlay import find_underlay

FANFILE = Path("/etc/network/fan")
FORM = "OVERLAY UNDERLAY [FLAG]..., such as: 250.0.0.0/8 eth0/16 dhcp"


class Flag(NamedTuple):
    """A word that may follow overlay and underlay.

    Attributes:
        value: what the word after it is called, empty if it takes none.
        sets: the field of Entry that it sets.
        to: what it sets, where it takes no value.
        number: whether its value is a number.
    """

    value: str
    help: str
    sets: str
    to: Any = None
    number: bool = False


FLAGS = {
    "dhcp": Flag("", "serve DHCP on the bridge, with dnsmasq", "dhcp", True),
    "host-reserve": Flag(
        "N",
        "keep the slice's first N addresses from DHCP; the first is the bridge's own (1)",
        "host_reserve",
        number=True,
    ),
    "bridge": Flag("NAME", "name of the bridge, instead of one made from the overlay", "bridge"),
    "into": Flag("NAME", "plug into a bridge that someone else made, such as lxdbr0", "into"),
    "encapsulation": Flag("KIND", "vxlan or ipip (vxlan)", "encapsulation"),
    "vni": Flag(
        "N", "number in the VXLAN header (the overlay's first 3 bytes)", "vni", None, True
    ),
    "port": Flag("N", f"UDP port of VXLAN ({VXLAN_PORT})", "port", number=True),
    "mtu": Flag(
        "BYTES", "largest packet in the fan (what the underlay leaves)", "mtu", None, True
    ),
    "no-masquerade": Flag(
        "", "do not translate the addresses of packets that leave the overlay", "masquerade", False
    ),
    "no-shortcuts": Flag(
        "",
        "send all packets through the bridge, where iptables sees each of them",
        "shortcuts",
        False,
    ),
}
# Only the file has these. The original wrote them, and `up -a` heeds them.
SWITCHES = {"enable": True, "off": False, "disable": False}
# What Ubuntu's later versions call some of them. Of the words that are left out, `auto` is the
# program's own note, and `mode` has one value that anything here is like.
_LATER = {"type": ("encapsulation",), "on": ("enable",), "auto": (), "mode=compact": ()}


@dataclass(frozen=True)
class Entry:
    """A fan as it was asked for; its networks are read when `resolve` looks at this machine.

    Attributes:
        line: its number in the file; 0 on a command line.
        enabled: False if the file says `off`; then `up -a` leaves it alone.
        host_reserve: how many addresses, from the slice's .1 on, DHCP does not hand out.
    """

    overlay: str
    underlay: str
    dhcp: bool = False
    host_reserve: int = 1
    bridge: str = ""
    into: str = ""
    encapsulation: Encapsulation = "vxlan"
    vni: int = 0
    port: int = VXLAN_PORT
    mtu: int = 0
    masquerade: bool = True
    shortcuts: bool = True
    enabled: bool = True
    line: int = field(default=0, compare=False)

    def resolve(self) -> Fan:
        """Return the fan that this is on this machine.

        Raises:
            UnderlayError: the host has no such device or address, perhaps not yet.
            FannetError: the networks or the flags are wrong.
        """
        host, underlay = find_underlay(self.underlay)
        return Fan(
            parse_mapping(self.overlay, str(underlay)),
            host,
            bridge=self.into or self.bridge,
            own_bridge=not self.into,
            encapsulation=self.encapsulation,
            vni=self.vni,
            port=self.port,
            mtu=self.mtu,
            masquerade=self.masquerade,
            shortcuts=self.shortcuts,
        )


def parse_entry(words: Sequence[str], *, in_file: bool = False) -> Entry:
    """Read overlay, underlay and flags.

    Raises:
        FanError: a word is missing, unknown, given twice, or no number where one must be.
    """
    if len(words) < 2:
        given = f"{words[0]!r} alone is not a fan" if words else "no fan was named"
        raise FanError(f"{given}; give {FORM}")
    if in_file and _is_later(words):
        words = _translate(words)
    overlay, underlay, *flags = words
    settings: dict[str, Any] = {}
    rest = iter(flags)
    for word in rest:
        if in_file and word in SWITCHES:
            name, value = "enabled", SWITCHES[word]
        elif word in FLAGS:
            flag = FLAGS[word]
            name = flag.sets
            value = _read_value(word, next(rest, "")) if flag.value else flag.to
        elif word in SWITCHES:
            raise FanError(f"flag {word!r} is for {FANFILE} alone; leave it out")
        else:
            known = [f"{name} {flag.value}".strip() for name, flag in FLAGS.items()]
            if in_file:
                known += SWITCHES
            raise FanError(f"flag {word!r} is unknown; there are: {', '.join(known)}")
        if name in settings:
            raise FanError(f"flag {word!r} is given twice; give it once")
        settings[name] = value
    if settings.get("bridge") and settings.get("into"):
        raise FanError("flags 'bridge' and 'into' both name the bridge; give one of them")
    return Entry(overlay, underlay, **settings)


def _is_later(words: Sequence[str]) -> bool:
    """Return whether the overlay comes second, which is the network with the shorter prefix."""
    try:
        overlay = IPv4Network(words[1], strict=False)
        return overlay.prefixlen < int(words[0].rpartition("/")[2])
    except ValueError:  # the second names a device, as only an underlay does, or nothing at all
        return False


def _translate(words: Sequence[str]) -> list[str]:
    """Return a line of Ubuntu's later versions as one of 2015.

    There flags have two hyphens and `=` before their values, and a fan without --enable is off.
    """
    underlay, overlay, *rest = words
    flags: list[str] = []
    for word in rest:
        name = word.removeprefix("--")
        parts = _LATER.get(name)
        if parts is None:
            name, _, value = name.partition("=")
            parts = (*_LATER.get(name, (name,)), *filter(None, [value]))
        flags += parts
    if not set(SWITCHES).intersection(flags):
        flags.append("off")
    return [overlay, underlay, *flags]


def _read_value(word: str, text: str) -> Any:
    flag = FLAGS[word]
    if not text:
        raise FanError(f"flag {word!r} lacks its value; write {word} {flag.value}")
    if not flag.number:
        return text
    if not (text.isascii() and text.isdigit()):
        raise FanError(f"flag {word!r} takes a number, not {text!r}")
    return int(text)


def format_flags(fan: Fan, host_reserve: int | None) -> str:
    """Return a fan's flags, but for `bridge`; empty if all is as it is without any.

    Args:
        host_reserve: that of its DHCP; None if it has none.
    """
    flags = [] if host_reserve is None else [f"dhcp host-reserve {host_reserve}"]
    if not fan.own_bridge:
        flags.append(f"into {fan.bridge}")
    if fan.encapsulation != "vxlan":
        flags.append(f"encapsulation {fan.encapsulation}")
    elif fan.vni != int(fan.overlay.network_address) >> 8:
        flags.append(f"vni {fan.vni}")
    if fan.port != VXLAN_PORT:
        flags.append(f"port {fan.port}")
    if fan.mtu:
        flags.append(f"mtu {fan.mtu}")
    if not fan.masquerade:
        flags.append("no-masquerade")
    if not fan.shortcuts:
        flags.append("no-shortcuts")
    return " ".join(flags)


def format_command(fan: Fan, host_reserve: int | None) -> str:
    """Return the `fanctl up` that asks for a fan as it is."""
    words = f"fanctl up {fan.overlay} {fan.host}/{fan.mapping.underlay.prefixlen}"
    if fan.own_bridge and fan.bridge != name_bridge(fan.overlay):
        words += f" bridge {fan.bridge}"
    return f"{words} {format_flags(fan, host_reserve)}".rstrip()


def read_fanfile(path: Path = FANFILE) -> tuple[list[Entry], list[str]]:
    """Return the fans of a file, and one line for each that cannot be read.

    Raises:
        FanError: the file cannot be read at all.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
        raise FanError(f"{path}: {reason}; write one fan a line there: {FORM}") from None
    entries: list[Entry] = []
    errors: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        try:
            entry = replace(parse_entry(words, in_file=True), line=number)
            _refuse_second(entry, entries)
        except FannetError as error:
            errors.append(f"{path}:{number}: {error}")
        else:
            entries.append(entry)
    return entries, errors


def _refuse_second(entry: Entry, before: Sequence[Entry]) -> None:
    """A host is part of an overlay once; of several lines all but one must be off."""
    for other in before:
        if entry.enabled and other.enabled and entry.overlay == other.overlay:
            raise FanError(
                f"overlay {entry.overlay} is in line {other.line} already; "
                "turn one of the two off with the flag off"
            )
