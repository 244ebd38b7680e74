"""The root file system that every machine starts from: this host's own release, built once."""

from __future__ import annotations

import fcntl
import hashlib
import platform
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

from localmodel.errors import LocalModelError
from localmodel.machines.processes import run
from localmodel.machines.trees import remove_tree
from localmodel.paths import Paths
from localmodel.store import naming, write_atomically

# systemd and a Docker Engine, and what charms expect to find on a machine that Juju made.
PACKAGES = (
    "ca-certificates",
    "curl",
    "dbus",
    "docker.io",
    "iproute2",
    "iptables",
    "iputils-ping",
    "netcat-openbsd",
    "perl-base",
    "procps",
    "python3",
    "sudo",
    "systemd",
    "systemd-sysv",
)

# What a release needs beside them. Without it jammy's root has /bin and /usr/bin apart, where
# Ubuntu's installer merges them, and every later release does so by itself.
MORE_PACKAGES = {"jammy": ("usrmerge",)}

# Runs in each machine before its engine: nspawn mounts read-only the cgroup hierarchies of
# version 1, and the settings of network devices, which are the machine's own.
HOST_UNIT = """\
[Unit]
Description=Open the control groups and the network devices to this machine
DefaultDependencies=no
After=local-fs.target
Before=sysinit.target docker.service containerd.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'while read -r _ dir type _; do case $type in cgroup) \
mount -o remount,rw,bind "$dir";; esac; done </proc/mounts'
ExecStart=/usr/bin/mount --bind /sys/devices/virtual/net /sys/devices/virtual/net
ExecStart=/usr/bin/mount -o remount,rw /sys/devices/virtual/net

[Install]
WantedBy=sysinit.target
"""

# As a machine shuts down, ends what came from outside: sessions, as sshd's end then, and hooks, as
# an agent's do. systemd, once it ends all that remains, would not be told of their end. They are
# in sessions (setsid(2)) that began outside, which have the number 0 here. They have ten seconds;
# systemd refuses new logins before.
SESSIONS_UNIT = """\
[Unit]
Description=End what came from outside as this machine shuts down
Before=systemd-user-sessions.service

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStop=/bin/sh -c 's=TERM; n=0; \
while left=$$(ps -e -o pid=,sid= | sed -n "s/ 0$$//p"); [ -n "$$left" ]; \
do kill -$$s $$left; sleep 0.1; n=$$((n + 1)); [ $$n -lt 100 ] || s=KILL; done'

[Install]
WantedBy=multi-user.target
"""

UNITS = {"localmodel-host.service": HOST_UNIT, "localmodel-sessions.service": SESSIONS_UNIT}

# Who people are on a machine that Juju made, and what they may do there.
USER = "ubuntu"
SUDOERS = f"{USER} ALL=(ALL) NOPASSWD:ALL"

# Run in the new root by mmdebstrap, with its folder as $1.
CUSTOMIZE = (
    f'chroot "$1" useradd --create-home --shell /bin/bash --groups adm,sudo {USER}',
    f'echo "{SUDOERS}" >"$1/etc/sudoers.d/90-{USER}"; chmod 440 "$1/etc/sudoers.d/90-{USER}"',
    f'chroot "$1" systemctl enable {" ".join(UNITS)} systemd-networkd.service',
    'chroot "$1" systemctl mask systemd-networkd-wait-online.service systemd-resolved.service'
    " apt-daily.timer apt-daily-upgrade.timer",
    'rm -f "$1/etc/machine-id" "$1/etc/hostname" "$1/etc/resolv.conf"',
)

# Run in it last, as mmdebstrap empties apt's cache: each machine's first apt-get would fill it
# again, which takes most of that command's time, and 70 MB.
FILL_CACHE = ("/usr/bin/apt-cache", "gencaches")


def read_host_release() -> tuple[str, str, str]:
    """This host's distribution, version and code name: `debian`, `12`, `bookworm`."""
    release = platform.freedesktop_os_release()
    return release["ID"], release.get("VERSION_ID", ""), release.get("VERSION_CODENAME", "")


def read_host_base() -> str:
    """Return what machines are made of: this host's own release, as in `ubuntu@24.04`."""
    distribution, version, _ = read_host_release()
    return f"{distribution}@{version}"


def read_host_sources() -> list[str]:
    """Return the distribution's own archives in the host's apt configuration, as one-line sources.

    Raises: LocalModelError if apt names none.
    """
    distribution, _, codename = read_host_release()
    lines = run(
        "/usr/bin/apt-get",
        "indextargets",
        "--format",
        "$(ORIGIN)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)",
        "Created-By: Packages",
    ).splitlines()
    found: dict[tuple[str, str], list[str]] = {}
    for line in lines:
        origin, uri, suite, component = line.split("|")
        if origin.lower() == distribution and suite.partition("-")[0] == codename:
            parts = found.setdefault((uri, suite), [])
            if component not in parts:
                parts.append(component)
    if not found:
        raise LocalModelError(
            f"apt knows no archive of {distribution} {codename}: run apt-get update"
        )
    return [f"deb {uri} {suite} {' '.join(parts)}" for (uri, suite), parts in found.items()]


def choose_packages(codename: str) -> tuple[str, ...]:
    """Return what is installed into the root file system of a release."""
    return PACKAGES + MORE_PACKAGES.get(codename, ())


def locate_template(paths: Paths) -> Path:
    """Return where the template lies, or will: its name changes with its recipe."""
    distribution, version, codename = read_host_release()
    recipe = repr((choose_packages(codename), UNITS, CUSTOMIZE, FILL_CACHE, codename))
    digest = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    return paths.templates / f"{distribution}-{version}-{digest}"


def ensure_template(paths: Paths, report: Callable[[str, float], None]) -> Path:
    """Make the root file system if it isn't there; about 30 s and 700 MB.

    Args:
        report: called with what happens now and the share done, between 0 and 1.
    Raises: LocalModelError with the builder's reason.
    """
    folder = locate_template(paths)
    paths.templates.mkdir(parents=True, exist_ok=True)
    # Several instances may share their templates; the kernel gives the lock back after a kill.
    with (paths.templates / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            build_root(folder, read_host_release(), read_host_sources(), report)
    return folder


def build_root(
    folder: Path,
    release: tuple[str, str, str],
    sources: Sequence[str],
    report: Callable[[str, float], None],
) -> None:
    """Make the root file system of a release; what it is made from lies beside it.

    Args:
        release: distribution, version and code name.
        sources: its archives, as lines of apt's sources.list(5).
        report: as for `ensure_template`.
    Raises: LocalModelError with the builder's reason.
    """
    distribution, _, codename = release
    partial = folder.with_suffix(".partial")
    remove_tree(partial)
    units = [folder.with_name(name) for name in UNITS]
    for unit in units:
        write_atomically(unit, UNITS[unit.name].encode())
    log = folder.with_name("build.log")
    command = [
        "/usr/bin/mmdebstrap",
        "--mode=root",
        "--variant=apt",
        "--components=main,universe" if distribution == "ubuntu" else "--components=main",
        f"--include={','.join(choose_packages(codename))}",
        '--aptopt=APT::Install-Recommends "false"',
        # The lists stay, so that a machine installs from a cold start without fetching them.
        "--skip=cleanup/apt/lists",
        f"--customize-hook=copy-in {' '.join(map(str, units))} /etc/systemd/system",
        *(f"--customize-hook={step}" for step in CUSTOMIZE),
        "",
        str(partial),
    ]
    # What it says, in order, and how far along it is then.
    milestones = {
        "running apt-get update": 0.05,
        "downloading packages": 0.1,
        "extracting archives": 0.3,
        "installing essential": 0.4,
        "installing remaining": 0.55,
        "cleaning package": 0.95,
    }
    listing = folder.with_name("sources.list")
    write_atomically(listing, ("\n".join(sources) + "\n").encode())
    builder = subprocess.Popen(
        [*command, str(listing)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    with builder, naming(log), log.open("w") as sink:
        for line in builder.stderr or ():
            sink.write(line)
            for words, share in milestones.items():
                if words in line:
                    report(line.removeprefix("I: ").strip().rstrip("."), share)
    if builder.returncode != 0:
        raise LocalModelError(f"the root file system could not be built; see {log}")
    run("/usr/sbin/chroot", partial, *FILL_CACHE)
    partial.rename(folder)
