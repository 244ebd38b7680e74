"""The fan on this machine: what it should be, making it so, and how it stands."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from pathlib import Path

import fannet
from dockerhost import DockerHostError
from fan import boot, launcher, users
from fan.claims import (
    Claim,
    is_claimed,
    list_claims,
    match_claims,
    read_claim,
    remove_claim,
    write_claim,
)
from fan.config import Config, list_differences
from fan.lxd import LxdError
from fan.plan import PartsError, Plan, make_plan
from fan.system import System
from fannet import dhcp
from hostkit import orphans
from hostkit.agents import application_of
from hostkit.text import explain

# What the data path and its tests call, and the packages that these come with.
_PROGRAMS = {
    "/usr/sbin/nft": "nftables",
    "/usr/sbin/tc": "iproute2",
    "/usr/bin/ping": "iputils-ping",
}
_PATIENCE = 60  # seconds that a boot waits for this machine's address
TROUBLE = (fannet.FannetError, DockerHostError, LxdError, PartsError, OSError)


@dataclass(frozen=True)
class Desired:
    """The fan that a unit wants on its machine.

    Attributes:
        unit: the unit's name, such as fan/0.
        charm: the charm's directory, which keeps its path when the charm is refreshed.
        report: called with a short text before each step that takes time.
    """

    unit: str
    config: Config
    charm: Path
    report: Callable[[str], None] = field(default=lambda _: None, compare=False)


@dataclass(frozen=True)
class Observed:
    """What a reconcile found in the end.

    Attributes:
        problem: why the machine is not as desired, in one line; empty if it is.
        fan: the one that there is; None while there is none.
        moved: the old and the new slice, if this machine's address had changed.
        stale: the containers that have addresses of the old slice.
    """

    problem: str = ""
    fan: fannet.Fan | None = None
    moved: tuple[IPv4Network, IPv4Network] | None = None
    stale: tuple[str, ...] = ()


def reconcile(system: System, desired: Desired) -> Observed:
    """Change on this machine what differs from what is desired, and return how it stands.

    It may be killed anywhere and run again. Trouble is returned as the observed `problem`; it is
    not raised.
    """
    change = fannet.Change()
    stale: tuple[str, ...] = ()
    problem = ""
    try:
        problem = _find_rival(desired) or _find_unclaimed(system, desired.config.overlay)
        if not problem:
            change, stale = _ensure_fan(system, desired)
    except TROUBLE as error:
        problem = explain(error)
    try:
        return Observed(problem, _find_fan(system, desired.config.overlay), change.moved, stale)
    except fannet.FannetError as error:
        return Observed(problem or str(error), moved=change.moved, stale=stale)


def find_claimed(system: System, unit: str) -> fannet.FanState | None:
    """Return the fan that a unit has, as it stands; None if it has none.

    Raises:
        fannet.KernelError: the kernel could not be read.
    """
    claim = read_claim(unit)
    if claim is None:
        return None
    return next((state for state in system.read() if state.fan.overlay == claim.overlay), None)


def ensure_after_boot(system: System, unit: str) -> None:
    """Bring up, at boot, what a unit had before; wait until this machine has its address.

    Raises:
        fannet.FannetError, LxdError: it did not come up within a minute.
    """
    claim = read_claim(unit)
    if claim is None or claim.config is None:
        return
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            _ensure_up(system, make_plan(system, claim.config))
            return
        except (fannet.UnderlayError, LxdError):
            if time.monotonic() > deadline:
                raise
        time.sleep(0.5)


def give_back(system: System, unit: str, overlay: IPv4Network | None = None) -> None:
    """Give back what a unit has of the machine; the last one that goes takes the fan down.

    The last of all fans' units takes `fanctl` off the PATH, too.

    Args:
        unit: its name, such as fan/0.
        overlay: its fan's, where its claim is gone; otherwise the claim tells.

    Raises:
        fannet.FannetError, DockerHostError, LxdError, OSError: something could not be given
            back; the rest was.
    """
    system.remove_sources(unit)
    claim = read_claim(unit)
    if claim:
        overlay = claim.overlay
    if overlay:
        _remove_fan(system, overlay, but=unit)
    boot.remove(unit)
    if not list_claims(but=unit):
        launcher.remove()
    remove_claim(unit)
    orphans.remove_watch(unit)


def _ensure_fan(system: System, desired: Desired) -> tuple[fannet.Change, tuple[str, ...]]:
    """Bring the fan about; return what that changed, and whose addresses are stale by it."""
    config = desired.config
    wanted = make_plan(system, config)
    for user in users.ALL:
        user.check(system, wanted)
    before = read_claim(desired.unit)
    if before and before.overlay != config.overlay:
        _remove_fan(system, before.overlay, but=desired.unit)
    write_claim(Claim(desired.unit, config.overlay, config))
    orphans.ensure_watch(desired.unit, desired.charm, [str(config.overlay)])
    system.ensure_sources(desired.unit, config.sources, desired.report)
    _ensure_packages(system, config, desired.report)
    change = _ensure_up(system, wanted, desired.report)
    # Before an engine knows of the bridge: at a boot without the fan it would make one itself.
    boot.ensure(desired.unit, desired.charm)
    launcher.ensure(match_claims())
    for user in users.LATE:
        user.ensure(system, wanted, bool(change.steps), desired.report)
    if not change.moved:
        return change, ()
    return change, tuple(name for user in users.ALL for name in user.list_users(system, wanted))


def _ensure_up(
    system: System, wanted: Plan, report: Callable[[str], None] = lambda _: None
) -> fannet.Change:
    """Bring up what is there before any container."""
    for user in users.OWNERS:
        user.ensure(system, wanted, False, report)
    change = system.up(wanted.fan, force=True)  # to another bridge, too, as the options ask for it
    for user in users.EARLY:
        user.ensure(system, wanted, bool(change.steps), report)
    return change


def _find_rival(desired: Desired) -> str:
    """Return why another application's unit on this machine keeps this one out, if one does.

    Units of one application will have the same options in the end: the newest count.
    """
    application = application_of(desired.unit)
    for claim in list_claims(but=desired.unit):
        if (
            claim.overlay != desired.config.overlay
            or claim.config is None
            or application_of(claim.unit) == application
            or not (differences := list_differences(desired.config, claim.config))
        ):
            continue
        before = read_claim(desired.unit)
        if before is None or before.overlay == claim.overlay:
            # Without a say, but with a place: should the other one go, the fan stays.
            write_claim(Claim(desired.unit, claim.overlay, None))
        return (
            f"{claim.unit} on this machine has the fan {claim.overlay} with other options "
            f"({', '.join(differences)}); give both applications the same, or another overlay"
        )
    return ""


def _find_unclaimed(system: System, overlay: IPv4Network) -> str:
    """Return why a fan that is none of the charm's keeps a unit out, if there is one.

    The charm would move it to another bridge, and take it down in the end.
    """
    if is_claimed(overlay) or (fan := _find_fan(system, overlay)) is None:
        return ""
    return (
        f"this machine has the fan {overlay} on {fan.bridge}, and not from this charm: "
        f"run fanctl down {overlay}, and take it out of /etc/network/fan, or give another overlay"
    )


def _find_fan(system: System, overlay: IPv4Network) -> fannet.Fan | None:
    """Return the fan of an overlay, however it stands; None if this machine has none."""
    return next((fan for fan in system.list_fans() if fan.overlay == overlay), None)


def _remove_fan(system: System, overlay: IPv4Network, *, but: str) -> None:
    """Take a fan down, unless a unit of this machine other than one wants it."""
    if is_claimed(overlay, but=but):
        return
    failures: list[Exception] = []
    # What stands on the bridge goes before the bridge. One failure need not keep all the rest.
    give_back: list[Callable[[System, IPv4Network], object]] = [
        *(user.give_back for user in reversed((*users.EARLY, *users.LATE))),
        lambda system, overlay: system.down(overlay),
        *(user.give_back for user in reversed(users.OWNERS)),
    ]
    for step in give_back:
        try:
            step(system, overlay)
        except TROUBLE as error:
            failures.append(error)
    if failures:
        raise OSError("; ".join(explain(failure) for failure in failures))


def _ensure_packages(system: System, config: Config, report: Callable[[str], None]) -> None:
    programs = dict(_PROGRAMS)
    if config.dhcp:
        programs[str(dhcp.DNSMASQ)] = "dnsmasq-base"
    if missing := system.list_missing(programs):
        report(f"installing {', '.join(missing)}")
        system.ensure_packages(*missing)
