"""What a container should be, and what one is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from enum import Enum
from typing import Any

SPEC_LABEL = "dockerhost.spec"
# What the engine changes in a container that runs.
_LIVE = ("memory", "cpus", "cpu_shares", "restart")
_CPU_PERIOD = 100_000  # microseconds; what a CPU quota is counted in


class Change(Enum):
    """What `Engine.ensure` did."""

    UNCHANGED = "unchanged"
    STARTED = "started"
    UPDATED = "updated"
    CREATED = "created"
    REPLACED = "replaced"


@dataclass(frozen=True)
class Mount:
    """A directory of the host, inside a container."""

    source: str
    target: str
    read_only: bool = False


@dataclass(frozen=True)
class ContainerSpec:
    """A container as it should be. The defaults are the least privilege that runs a program.

    Attributes:
        image: an image's id, so that a moved tag counts as a difference.
        command: arguments to the image's entry point, or what it runs; empty leaves the image's.
        environment: the program's variables, besides those of the image. They may be secret, and
            stay out of every text that is made of this.
        user: UID:GID; empty leaves the image's own.
        working_dir: where the program starts; empty leaves the image's own.
        memory: bytes; 0 is unlimited. Swap is never added to it.
        pids_limit: processes and threads.
        restart: the engine's restart policy: no, on-failure, always or unless-stopped.
        stop_signal: what lets it end; empty leaves the image's own.
        stop_timeout: seconds between the stop signal and the kill.
        cpus: how many processors' time it may use, at most; 0 is unlimited.
        cpu_shares: its weight among its siblings, 2 to 262144; 0 leaves the engine's own, 1024.
        cpuset: the processors that it may use, such as 0-1,3; empty for all.
        cgroup_parent: None leaves the engine's own.
        tmpfs: options by mount point, such as {"/tmp": "size=16m"}.
        userns: whose user numbers it has. The host's, also where the engine maps those of others
            (userns-remap): mounts belong to them, and there runc could not even enter the mounts'
            folders. It has no capability there either.
    """

    name: str
    image: str
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    user: str = ""
    working_dir: str = ""
    mounts: tuple[Mount, ...] = ()
    network: str = "none"
    read_only: bool = True
    cap_drop: tuple[str, ...] = ("ALL",)
    no_new_privileges: bool = True
    memory: int = 0
    pids_limit: int = 64
    oom_score_adj: int = 0
    cpus: float = 0
    cpu_shares: int = 0
    cpuset: str = ""
    cgroup_parent: str | None = None
    restart: str = "no"
    stop_signal: str = "SIGTERM"
    stop_timeout: int = 10
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    tmpfs: Mapping[str, str] = field(default_factory=dict[str, str])
    userns: str = "host"

    @property
    def digest(self) -> str:
        """A SHA-256 in hex over everything above but the limits that change while it runs."""
        fixed = {name: value for name, value in asdict(self).items() if name not in _LIVE}
        for name in ("environment", "working_dir"):
            if not fixed[name]:  # so that what a release without it made counts as the same
                del fixed[name]
        text = json.dumps(fixed, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def cpu_quota(self) -> int:
        """Microseconds of processor time in each 100 ms; 0 is unlimited."""
        return round(self.cpus * _CPU_PERIOD)

    def live_options(self) -> dict[str, Any]:
        """Return the arguments of the docker package's `update_container`."""
        return {
            "mem_limit": self.memory or None,
            "memswap_limit": self.memory or None,
            "cpu_period": _CPU_PERIOD,
            "cpu_quota": self.cpu_quota or -1,
            "cpu_shares": self.cpu_shares or None,
            "restart_policy": {"Name": self.restart},
        }

    def host_options(self) -> dict[str, Any]:
        """Return the arguments of the docker package's `create_host_config`."""
        return {
            # Named mounts, not binds: with those the engine would make a missing source itself.
            "mounts": [
                {
                    "Type": "bind",
                    "Source": mount.source,
                    "Target": mount.target,
                    "ReadOnly": mount.read_only,
                }
                for mount in self.mounts
            ],
            "network_mode": self.network,
            "read_only": self.read_only,
            "cap_drop": list(self.cap_drop),
            "security_opt": ["no-new-privileges"] if self.no_new_privileges else [],
            "mem_limit": self.memory or None,
            "memswap_limit": self.memory or None,
            "pids_limit": self.pids_limit,
            "oom_score_adj": self.oom_score_adj,
            "cpu_period": _CPU_PERIOD if self.cpus else None,
            "cpu_quota": self.cpu_quota or None,
            "cpu_shares": self.cpu_shares or None,
            "cpuset_cpus": self.cpuset or None,
            "cgroup_parent": self.cgroup_parent,
            "restart_policy": {"Name": self.restart},
            "userns_mode": self.userns,
            "tmpfs": dict(self.tmpfs) or None,
            # Without this a chatty program fills the disk.
            "log_config": {"Type": "json-file", "Config": {"max-size": "1m", "max-file": "2"}},
        }


@dataclass(frozen=True)
class Container:
    """A container as the engine has it.

    Attributes:
        state: created, running, paused, restarting, removing, exited or dead.
        ran: seconds from its last start to its end, or until now while it runs.
        exit_code: of its last end; 0 before that.
        pid: of its first process, on the host; 0 while it does not run.
        memory: bytes that it may use; 0 is unlimited.
        cpu_quota: microseconds of processor time in each 100 ms; 0 is unlimited.
        cpu_shares: its weight among its siblings; 0 is the engine's own, 1024.
        restart: the engine's restart policy.
        mounts: the directories of the host that are in it.
    """

    name: str
    id: str
    image: str
    state: str
    exit_code: int
    ran: float
    restarts: int
    oom_killed: bool
    labels: Mapping[str, str]
    pid: int = 0
    memory: int = 0
    cpu_quota: int = 0
    cpu_shares: int = 0
    restart: str = "no"
    mounts: tuple[Mount, ...] = ()

    @property
    def spec_digest(self) -> str | None:
        """The digest of the specification that it was made from; None if others made it."""
        return self.labels.get(SPEC_LABEL)


def read_container(answer: Mapping[str, Any]) -> Container:
    """Return the container in an answer of the engine's inspection."""
    state, limits = answer["State"], answer["HostConfig"]
    started = _parse_time(state.get("StartedAt", ""))
    finished = _parse_time(state.get("FinishedAt", ""))
    if state["Status"] in ("running", "paused"):
        finished = datetime.now(timezone.utc)
    ran = (finished - started).total_seconds() if started and finished else 0.0
    policy: dict[str, Any] = limits.get("RestartPolicy") or {}
    return Container(
        name=answer["Name"].lstrip("/"),
        id=answer["Id"],
        image=answer["Image"],
        state=state["Status"],
        exit_code=state.get("ExitCode", 0),
        ran=max(ran, 0.0),
        restarts=answer.get("RestartCount", 0),
        oom_killed=bool(state.get("OOMKilled")),
        labels=answer["Config"].get("Labels") or {},
        pid=state.get("Pid", 0),
        memory=limits.get("Memory", 0),
        cpu_quota=max(limits.get("CpuQuota", 0), 0),
        cpu_shares=limits.get("CpuShares", 0),
        # The engine's own word for none used to be an empty one.
        restart=policy.get("Name") or "no",
        mounts=tuple(
            Mount(mount["Source"], mount["Destination"], read_only=not mount.get("RW", True))
            for mount in answer.get("Mounts") or ()
            if mount.get("Type") == "bind"
        ),
    )


def _parse_time(text: str) -> datetime | None:
    # The engine writes nanoseconds, which Python 3.10 can't read; year 1 means never.
    seconds, _, _ = text.removesuffix("Z").partition(".")
    try:
        moment = datetime.fromisoformat(seconds).replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    return moment if moment.year > 1 else None
