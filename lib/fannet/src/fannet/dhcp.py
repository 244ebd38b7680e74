"""DHCP on a fan's bridge, for whatever is plugged into it and has no address from elsewhere.

Each bridge has a dnsmasq of its own, as a transient unit of systemd. Its configuration in /run is
all there is to remember: without that file there is no DHCP on the bridge.
"""

from __future__ import annotations

import re
import subprocess
from ipaddress import IPv4Address
from pathlib import Path

from fannet.errors import FanError, KernelError
from fannet.fan import Fan

DNSMASQ = Path("/usr/sbin/dnsmasq")
SYSTEMCTL = "/usr/bin/systemctl"
SYSTEMD_RUN = "/usr/bin/systemd-run"
SYSTEMD = Path("/run/systemd/system")  # sd_booted(3)
FOLDER = Path("/run/fanctl")
LEASES = Path("/var/lib/misc")  # where dnsmasq keeps its own; they outlive a reboot
_RESERVE = "# host-reserve"


def check_dhcp(fan: Fan, host_reserve: int) -> None:
    """Refuse what cannot be served, before anything is changed.

    Raises:
        FanError: something is missing on this machine, or the fan leaves no address to hand out.
    """
    if not fan.own_bridge:
        raise FanError(
            f"the owner of {fan.bridge} provides DHCP on it; leave out the flag dhcp, "
            "or the flag into, for a bridge that the fan makes"
        )
    if not SYSTEMD.is_dir():
        raise FanError("DHCP needs systemd, which is not running here; leave out the flag dhcp")
    if not DNSMASQ.exists():
        raise FanError(f"DHCP needs {DNSMASQ}; install the package dnsmasq-base")
    plan_range(fan, host_reserve)


def plan_range(fan: Fan, host_reserve: int) -> tuple[IPv4Address, IPv4Address]:
    """Return the first and the last address to hand out.

    Raises:
        FanError: the host reserves all, or not even the bridge's own.
    """
    most = fan.slice.num_addresses - 3  # without network, broadcast, and one to hand out
    if not 1 <= host_reserve <= most:
        raise FanError(
            f"host-reserve {host_reserve} is out of range; in the slice {fan.slice} it must be "
            f"from 1, the bridge's own address, to {most}"
        )
    return fan.slice[1 + host_reserve], fan.slice[-2]


def ensure_dhcp(fan: Fan, mtu: int, host_reserve: int, *, again: bool) -> list[str]:
    """Serve DHCP on a fan's bridge, which is up; return what was done, in words.

    Args:
        mtu: what clients are told, in bytes.
        again: whether the bridge was changed, so that a running server must restart.

    Raises:
        FanError: see check_dhcp.
        KernelError: systemd or dnsmasq refused.
    """
    check_dhcp(fan, host_reserve)
    first, last = plan_range(fan, host_reserve)
    config = FOLDER / f"{fan.bridge}.conf"
    text = _format_unit(fan, mtu, host_reserve)
    before = config.read_text() if config.exists() else ""
    if before == text and not again and _is_active(fan.bridge):
        return []
    if before and f"={first},{last}," not in before:
        _locate_leases(fan.bridge).unlink(
            missing_ok=True
        )  # of a slice that this machine has no more
    FOLDER.mkdir(mode=0o755, exist_ok=True)
    new = config.with_suffix(".new")
    new.write_text(text)
    new.replace(config)
    _run(SYSTEMCTL, "stop", _name_unit(fan.bridge), missing_ok=True)
    _run(
        SYSTEMD_RUN,
        "--quiet",
        "--collect",
        f"--unit={_name_unit(fan.bridge)}",
        f"--description=DHCP on {fan.bridge}",
        "--service-type=exec",
        "--property=Restart=on-failure",
        "--property=RestartSec=1",
        str(DNSMASQ),
        "--keep-in-foreground",
        f"--conf-file={config}",
    )
    return [f"DHCP on {fan.bridge} hands out {first} to {last}"]


def remove_dhcp(bridge: str) -> list[str]:
    """Stop serving DHCP, and remove its leases; return what was done, in words.

    Raises:
        KernelError: systemd refused.
    """
    config = FOLDER / f"{bridge}.conf"
    leases = _locate_leases(bridge)
    if not config.exists() and not leases.exists():
        return []
    if SYSTEMD.is_dir():
        _run(SYSTEMCTL, "stop", _name_unit(bridge), missing_ok=True)
    config.unlink(missing_ok=True)
    leases.unlink(missing_ok=True)
    if FOLDER.is_dir() and not any(FOLDER.iterdir()):
        FOLDER.rmdir()
    return [f"stopped DHCP on {bridge}"]


def read_dhcp(bridge: str) -> int | None:
    """Return the host-reserve of a bridge's DHCP, or None if it has none."""
    config = FOLDER / f"{bridge}.conf"
    try:
        found = re.search(rf"^{_RESERVE} (\d+)$", config.read_text(), re.MULTILINE)
    except FileNotFoundError:
        return None
    return int(found[1]) if found else None


def find_dhcp_problems(bridge: str) -> list[str]:
    """Return what is wrong with a bridge's DHCP, in words; empty if it has none."""
    if read_dhcp(bridge) is None or _is_active(bridge):
        return []
    return [f"DHCP on {bridge} is not running; see journalctl -u {_name_unit(bridge)}"]


def _format_unit(fan: Fan, mtu: int, host_reserve: int) -> str:
    first, last = plan_range(fan, host_reserve)
    lines = [
        "# Made by `fanctl up`, which overwrites it.",
        f"{_RESERVE} {host_reserve}",
        f"interface={fan.bridge}",
        "bind-interfaces",  # so that there can be one for each bridge, and others beside them
        "except-interface=lo",
        "port=0",  # no DNS
        "pid-file",  # none: systemd knows the process
        "dhcp-authoritative",
        f"dhcp-range={first},{last},{fan.gateway.netmask},1h",
        f"dhcp-lease-max={int(last) - int(first) + 1}",
        f"dhcp-option=option:router,{fan.gateway.ip}",
        f"dhcp-option=option:mtu,{mtu}",
        f"dhcp-leasefile={_locate_leases(fan.bridge)}",
    ]
    return "\n".join(lines) + "\n"


def _locate_leases(bridge: str) -> Path:
    return LEASES / f"fanctl-{bridge}.leases"


def _name_unit(bridge: str) -> str:
    return f"fanctl-dhcp@{bridge}.service"


def _is_active(bridge: str) -> bool:
    command = [SYSTEMCTL, "is-active", "--quiet", _name_unit(bridge)]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _run(*command: str, missing_ok: bool = False) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    # systemctl(1): 5 is for a unit that is not loaded.
    if done.returncode and not (missing_ok and done.returncode == 5):
        raise KernelError(f"{' '.join(command[:2])} failed: {done.stderr.strip()}")
