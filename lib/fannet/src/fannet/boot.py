"""The systemd unit that brings up the fans of /etc/network/fan when the host boots."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from fannet.cli import WRONG_FILE
from fannet.errors import FanError, KernelError
from fannet.fanfile import FANFILE

UNIT = Path("/etc/systemd/system/fanctl.service")
PACKAGED = Path("/lib/systemd/system/fanctl.service")  # where the Debian package has its own
SYSTEMCTL = "/usr/bin/systemctl"
SYSTEMD = Path("/run/systemd/system")  # sd_booted(3)
_FOLDER = Path(__file__).resolve().parents[1]  # a charm's Python does not find it by itself
# How long the engines below wait for the fans, in seconds. An engine that started earlier would
# make a bridge of the fan's name itself, for a network that it has laid over the fan's.
_PATIENCE = 60
# A fan that does not come up in so many tries, ten seconds or more apart, does not come by itself.
_TRIES = 30
_ENGINES = (
    "docker.service",
    "snap.docker.dockerd.service",
    "lxd.service",
    "snap.lxd.daemon.service",
    "libvirtd.service",
)
_TEXT = f"""\
[Unit]
Description=Fans of {FANFILE}
Documentation=man:fanctl(8) man:fan(5)
ConditionPathExists={FANFILE}
Wants=network-online.target
After=network-online.target
Before={" ".join(_ENGINES)}
StartLimitIntervalSec=1h
StartLimitBurst={_TRIES}

[Service]
Type=oneshot
RemainAfterExit=yes
{{start}} up -a --wait {_PATIENCE}
Restart=on-failure
RestartSec=10
RestartPreventExitStatus={WRONG_FILE}

[Install]
WantedBy=multi-user.target
"""


def enable_boot() -> list[str]:
    """Ensure that systemd brings the fans up at each boot; return what was done, in words.

    Raises:
        FanError: systemd does not run here.
        KernelError: systemd refused.
    """
    if not SYSTEMD.is_dir():
        raise FanError(
            "systemd is not running here, so it can't start the fans at boot; "
            "run fanctl up -a from this machine's own init system"
        )
    steps: list[str] = []
    text = format_unit()
    if not PACKAGED.exists() and (not UNIT.exists() or UNIT.read_text() != text):
        new = UNIT.with_suffix(".new")
        new.write_text(text)
        new.chmod(0o644)
        new.replace(UNIT)
        _systemctl("daemon-reload")
        steps.append(f"wrote {UNIT}")
    if not is_boot_enabled():
        _systemctl("enable", UNIT.name)
        steps.append(f"enabled {UNIT.name}")
    return steps


def disable_boot() -> list[str]:
    """Leave the fans down after a boot, and remove the unit; fans that are up stay so.

    A package's own unit stays, without effect.

    Raises:
        KernelError: systemd refused.
    """
    if not UNIT.exists():
        if not is_boot_enabled():
            return []
        _systemctl("disable", *(["--now"] if SYSTEMD.is_dir() else []), UNIT.name)
        return [f"disabled {UNIT.name}"]
    if SYSTEMD.is_dir():
        _systemctl("disable", "--now", UNIT.name)
    UNIT.unlink()
    if SYSTEMD.is_dir():
        _systemctl("daemon-reload")
    return [f"disabled and removed {UNIT}"]


def is_boot_enabled() -> bool:
    """Return whether fans come up at boot."""
    if not (UNIT.exists() or PACKAGED.exists()):
        return False
    command = [SYSTEMCTL, "is-enabled", "--quiet", UNIT.name]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def format_unit() -> str:
    """Return the unit's text; it names this Python, and the folder that it finds fannet in."""
    start = f'Environment="PYTHONPATH={_FOLDER}"\nExecStart="{sys.executable}" -m fannet'
    made = "# Made by `fanctl boot enable`; `fanctl boot disable` removes it.\n"
    return made + _TEXT.format(start=start)


def render_packaged_unit() -> str:
    """Return the text of the same unit in the Debian package."""
    return _TEXT.format(start="ExecStart=/usr/sbin/fanctl")


def _systemctl(*words: str) -> None:
    done = subprocess.run([SYSTEMCTL, *words], check=False, capture_output=True, text=True)
    if done.returncode:
        raise KernelError(f"systemctl {words[0]} failed: {done.stderr.strip()}")
