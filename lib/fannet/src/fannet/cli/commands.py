"""What each verb of `fanctl` does."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import Any

from fannet.cli import FAILED, OK, WRONG_FILE, print_error
from fannet.errors import AddressError, FanError, FannetError, MappingError, UnderlayError
from fannet.fan import Change, FanState
from fannet.fanfile import FANFILE, FLAGS, Entry, parse_entry, read_fanfile

Run = Callable[[argparse.Namespace], int]
_RETRY = 0.5  # seconds between two looks for an underlay address
_WRONG = (AddressError, FanError, MappingError)  # what is asked for, and not how the host is


@dataclass(frozen=True)
class Done:
    """What became of one fan."""

    overlay: str
    bridge: str
    steps: tuple[str, ...]
    change: Change
    slice: str = ""


def read_up(arguments: argparse.Namespace) -> None:
    """Make one entry of whichever spelling was used. Raises: FanError."""
    words = _join_words(arguments)
    if not arguments.all:
        arguments.entry = parse_entry(words)
    elif words:
        raise FanError(f"-a takes all fans from {FANFILE}; give no other words with it")


def _join_words(arguments: argparse.Namespace) -> list[str]:
    """Write the options as the words of 2015. Raises: FanError."""
    words = [*(w for w in (arguments.overlay, arguments.underlay) if w), *arguments.words]
    if arguments.underlay and not arguments.overlay:
        raise FanError("an underlay alone does not name a fan; give -o OVERLAY")
    if arguments.overlay and arguments.words and arguments.words[0] not in FLAGS:
        raise FanError(f"{arguments.words[0]!r} is not a flag, and -o names the overlay")
    for name, flag in FLAGS.items():
        if given := getattr(arguments, name.replace("-", "_")):
            words += [name, given] if flag.value else [name]
    return words


def run_up(arguments: argparse.Namespace) -> int:
    require_root("fanctl up")
    if arguments.all:
        entries, errors = _read_wanted()
        entries = [entry for entry in entries if entry.enabled]
    else:
        entries, errors = [arguments.entry], []
    end = time.monotonic() + arguments.wait
    done: list[Done] = []
    may_pass = False
    for entry in entries:
        try:
            done.append(_wait_and_up(entry, end, force=arguments.force))
        except FannetError as error:
            may_pass = may_pass or not isinstance(error, _WRONG)
            errors.append(f"{FANFILE}:{entry.line}: {error}" if entry.line else f"{error}")
    code = _print_outcome(arguments, done, errors)
    return WRONG_FILE if code and arguments.all and not may_pass else code


def _read_wanted() -> tuple[list[Entry], list[str]]:
    """Return what the file asks for, which is nothing where there is no file."""
    if os.path.lexists(FANFILE):
        return read_fanfile()
    print_error(f"there is no {FANFILE}: nothing to do")
    return [], []


def _wait_and_up(entry: Entry, end: float, *, force: bool) -> Done:
    """Bring a fan up, for which the underlay's address may have to come first."""
    while True:
        try:
            return _up(entry, force=force)
        except UnderlayError:
            if time.monotonic() >= end:
                raise
            time.sleep(_RETRY)


def _up(entry: Entry, *, force: bool) -> Done:
    from fannet import datapath, dhcp

    fan = entry.resolve()
    if entry.dhcp:
        dhcp.check_dhcp(fan, entry.host_reserve)
    change = datapath.up(fan, force=force)
    steps = dhcp.remove_dhcp(change.renamed) if change.renamed else []
    if entry.dhcp:
        mtu = next(state.mtu for state in datapath.read() if state.fan.overlay == fan.overlay)
        steps += dhcp.ensure_dhcp(fan, mtu, entry.host_reserve, again=bool(change.steps))
    else:
        steps += dhcp.remove_dhcp(fan.bridge)
    return Done(str(fan.overlay), fan.bridge, (*change.steps, *steps), change, str(fan.slice))


def read_down(arguments: argparse.Namespace) -> None:
    """Check that exactly one way of naming fans was used. Raises: FanError."""
    words = _join_words(arguments)
    if sum([bool(words), arguments.all, arguments.everything]) != 1:
        raise FanError("name one fan by its overlay, or give -a or -e")
    if words:
        underlay = parse_entry(words).underlay if len(words) > 1 else ""
        arguments.fan = (parse_overlay(words[0]), underlay)


def parse_overlay(text: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError as error:
        raise FanError(f"overlay {text!r} is not a network: {error}") from None


def run_down(arguments: argparse.Namespace) -> int:
    require_root("fanctl down")
    from fannet import datapath

    states = {state.fan.overlay: state for state in datapath.read()}
    errors: list[str] = []
    if arguments.everything:
        wanted = list(states)
    elif arguments.all:
        entries, errors = _read_wanted()
        named = {entry.overlay for entry in entries}
        wanted = [overlay for overlay in states if str(overlay) in named]
    else:
        overlay, underlay = arguments.fan
        if overlay in states and underlay:
            _check_underlay(underlay, states[overlay])
        wanted = [overlay]
        if overlay not in states:
            print_error(f"no fan {overlay} is up on this machine; only leftovers are removed")
    done: list[Done] = []
    for overlay in wanted:
        try:
            done.append(_down(overlay, states.get(overlay)))
        except FannetError as error:
            errors.append(f"{overlay}: {error}")
    return _print_outcome(arguments, done, errors)


def _down(overlay: IPv4Network, state: FanState | None) -> Done:
    from fannet import datapath, dhcp
    from fannet.fan import name_bridge

    bridge = state.fan.bridge if state else name_bridge(overlay)
    steps = dhcp.remove_dhcp(bridge)
    change = datapath.down(overlay)
    return Done(str(overlay), bridge, (*steps, *change.steps), change)


def _check_underlay(text: str, state: FanState) -> None:
    """Refuse to take down a fan over another underlay. Raises: FanError.

    The device may have lost its address already, so what the fan is over decides.
    """
    underlay = state.fan.mapping.underlay
    where, _, length = text.rpartition("/")
    try:
        same = IPv4Network(text, strict=False) == underlay
    except ValueError:
        same = length == str(underlay.prefixlen) and state.device in (None, where)
    if not same:
        raise FanError(
            f"the fan {state.fan.overlay} is over {underlay} on {state.device}, not {text}; "
            "leave out the underlay to take it down anyway"
        )


def run_show(arguments: argparse.Namespace) -> int:
    require_root("fanctl show")  # the counters are in BPF maps
    from fannet import datapath
    from fannet.cli import printing

    states = datapath.read()
    if arguments.format == "json":
        printing.print_json([printing.as_json(state) for state in states])
    else:
        printing.print_table(states, verbose=arguments.verbose)
    return OK


def run_check(arguments: argparse.Namespace) -> int:
    require_root("fanctl check")
    from fannet import check
    from fannet.cli import printing

    report = check.check_all(arguments.peers)
    if arguments.format == "json":
        printing.print_json(printing.report_as_json(report))
    else:
        printing.print_report(report)
    return FAILED if report.has_problems else OK


def run_config(arguments: argparse.Namespace) -> int:
    from fannet.cli import printing

    entries, errors = read_fanfile()
    slices: dict[Entry, str] = {}
    for entry in entries:
        try:
            slices[entry] = str(entry.resolve().slice)
        except FannetError as error:
            if entry.enabled:
                errors.append(f"{FANFILE}:{entry.line}: {error}")
    if arguments.format == "json":
        rows = [printing.entry_as_json(entry, slices.get(entry)) for entry in entries]
        printing.print_json({"fans": rows, "errors": errors})
    else:
        printing.print_entries(entries, slices)
    _print_errors(errors)
    return FAILED if errors else OK


def run_boot(arguments: argparse.Namespace) -> int:
    from fannet import boot
    from fannet.cli import printing

    if arguments.what == "status":
        enabled = boot.is_boot_enabled()
        if arguments.format == "json":
            printing.print_json({"enabled": enabled})
        else:
            print("enabled" if enabled else "disabled")
        return OK
    require_root(f"fanctl boot {arguments.what}")
    steps = boot.enable_boot() if arguments.what == "enable" else boot.disable_boot()
    if arguments.format == "json":
        printing.print_json({"steps": steps})
    else:
        for step in steps:
            print(step)
    return OK


def require_root(what: str) -> None:
    if os.geteuid() != 0:
        raise FanError(f"{what} must run as root; use sudo")


def _print_outcome(
    arguments: argparse.Namespace, done: Sequence[Done], errors: Sequence[str]
) -> int:
    if arguments.format == "json":
        from fannet.cli import printing

        printing.print_json({"fans": [_as_json(fan) for fan in done], "errors": list(errors)})
    else:
        for fan in done:
            _print_done(fan)
    _print_errors(errors)
    return FAILED if errors else OK


def _print_done(fan: Done) -> None:
    for step in fan.steps:
        print(step)
    if fan.change.overlaps:
        elsewhere = ", ".join(fan.change.overlaps)
        print_error(
            f"warning: this machine reaches {elsewhere}, which is in the overlay {fan.overlay}, "
            "so it does not reach containers with these addresses; take an overlay that is used "
            "for nothing else"
        )
    if fan.change.moved:
        old, new = fan.change.moved
        devices = ", ".join(fan.change.plugged) or "none"
        print(
            f"the slice of {fan.bridge} moved from {old} to {new}; restart what is behind these "
            f"devices, to give it new addresses: {devices}"
        )


def _as_json(fan: Done) -> dict[str, Any]:
    moved = fan.change.moved
    return {
        "overlay": fan.overlay,
        "bridge": fan.bridge,
        "slice": fan.slice or None,
        "steps": list(fan.steps),
        "moved": {"from": str(moved[0]), "to": str(moved[1])} if moved else None,
        "plugged": list(fan.change.plugged),
        "overlaps": list(fan.change.overlaps),
    }


def _print_errors(errors: Sequence[str]) -> None:
    for error in errors:
        print_error(error)
