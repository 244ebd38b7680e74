"""How a unit's container competes for the machine's processors.

Weights count among siblings only, and the engine puts all its containers into one group that
weighs as much as a whole service. So each unit's container runs under a group of its own at the
top, beside the principal's service, and that group has the weight.
"""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from dockerhost import Cgroups, ContainerSpec
from harvest.limits import parse_cpuset
from hostkit import cgroups, systemd

_LOWEST_IO = "1"
# Since systemd 252 and Linux 5.15 a group can be idle; before, the lowest weight comes close.
_IDLE_SYSTEMD = (252,)
_IDLE_KERNEL = (5, 15)


class Policy(str, Enum):
    """How a container competes with the machine's other work, when that wants the processors too.

    idle: it runs when nothing else does. share: like one more service. dedicated: it is what the
    machine is for, and gets ten times a service's share.
    """

    IDLE = "idle"
    SHARE = "share"
    DEDICATED = "dedicated"


# By version of the control groups: the file, and what each policy writes to it.
_WEIGHTS = {
    1: ("cpu.shares", {Policy.IDLE: 2, Policy.SHARE: 1024, Policy.DEDICATED: 10240}),
    2: ("cpu.weight", {Policy.IDLE: 1, Policy.SHARE: 100, Policy.DEDICATED: 1000}),
}


class NotInForceError(Exception):
    """What was configured is not how the kernel treats the container; the text says why."""


@dataclass(frozen=True)
class Parent:
    """The group that a unit's container runs under.

    Attributes:
        unit: the unit's name, such as mprime/0.
        cgroups: how the machine's engine makes control groups.
    """

    unit: str
    cgroups: Cgroups

    @property
    def reference(self) -> str:
        """What the engine takes as a container's cgroup parent."""
        return self._name if self._is_slice else f"/{self._name}"

    def choose_shares(self, policy: Policy) -> int:
        """Return the container's own weight under this group: the engine's, as it is alone."""
        return 0

    def ensure(self, policy: Policy) -> None:
        """Ensure that the group exists and has a policy's weight.

        Containers that run in it stay as they are and feel it at once.

        Raises:
            NotInForceError: the kernel or systemd refused.
        """
        try:
            if self._is_slice:
                self._ensure_slice(policy)
            self._ensure_group(policy)
        except OSError as error:
            where = f"{error.filename}: " if error.filename else ""
            raise _refuse(policy, f"{where}{error.strerror or error}") from error

    def verify(self, policy: Policy, pid: int, spec: ContainerSpec) -> None:
        """Check what the kernel does with a container.

        Args:
            policy: what its unit is configured to.
            pid: of the container's first process; nothing is checked if that has ended.
            spec: what it was made from.

        Raises:
            NotInForceError: the container is elsewhere, or its groups say something else.
            OSError: the groups can't be read.
        """
        version = self.cgroups.version
        path = cgroups.find_group(pid, "cpu", version)
        if path is None:
            return
        if Path(path).parts[1:2] != (self._name,):
            raise _refuse(policy, f"the container runs in {path}, not under /{self._name}")
        if fault := self._find_fault(policy):
            raise _refuse(policy, fault)
        for option, wanted, found in _compare_limits(pid, version, spec):
            if wanted != found:
                raise NotInForceError(
                    f"{option} is not in force: it should be {wanted}, the kernel has {found}"
                )

    @property
    def _is_slice(self) -> bool:
        return self.cgroups.driver == "systemd"

    @property
    def _name(self) -> str:
        return _name_groups(self.unit)[self._is_slice]

    def _find_group(self) -> Path:
        if root := cgroups.find_hierarchy("cpu", self.cgroups.version):
            return root / self._name
        raise OSError(f"there is no cpu controller of version {self.cgroups.version}")

    def _ensure_group(self, policy: Policy) -> None:
        group = self._find_group()
        if self.cgroups.version == 2:
            _enable(group.parent, ("cpu", "io"))
        cgroups.ensure_group(group)
        if self._find_fault(policy):
            idle = cgroups.read(group / "cpu.idle")
            if idle and (idle == "1") != (policy is Policy.IDLE):
                cgroups.write(group / "cpu.idle", int(policy is Policy.IDLE))
            if not idle or policy is not Policy.IDLE:
                file, weights = _WEIGHTS[self.cgroups.version]
                cgroups.write(group / file, weights[policy])
        self._ensure_io()

    def _ensure_io(self) -> None:
        """Give others' disk access priority, if the kernel has such a scheduler."""
        version = self.cgroups.version
        if root := cgroups.find_hierarchy("io" if version == 2 else "blkio", version):
            cgroups.ensure_group(root / self._name)
            for name in ("io.weight", "io.bfq.weight", "blkio.bfq.weight"):
                file = root / self._name / name
                # It reads `1` or `default 1`; lines for single devices follow.
                said = cgroups.read(file).splitlines()
                if said and said[0].split()[-1] != _LOWEST_IO:
                    cgroups.write(file, _LOWEST_IO)

    def _find_fault(self, policy: Policy) -> str:
        """Return in what the group's weight differs from a policy's; empty if in nothing."""
        group = self._find_group()
        file, weights = _WEIGHTS[self.cgroups.version]
        idle, weight = cgroups.read(group / "cpu.idle"), cgroups.read(group / file)
        weighs_right = weight == str(weights[policy]) and idle != "1"
        if weighs_right or (idle == "1" and policy is Policy.IDLE):
            return ""
        return f"in {group}, {file} is {weight or 'missing'} and cpu.idle {idle or 'missing'}"

    def _ensure_slice(self, policy: Policy) -> None:
        settings = self._choose_settings(policy)
        systemd.ensure(self._name, _SLICE.format(unit=self.unit, settings=settings))

    def _choose_settings(self, policy: Policy) -> str:
        _, weights = _WEIGHTS[self.cgroups.version]
        if self.cgroups.version == 1:
            return f"CPUShares={weights[policy]}"
        if policy is Policy.IDLE and _knows_idle():
            return "CPUWeight=idle\nIOWeight=1"
        return f"CPUWeight={weights[policy]}\nIOWeight=1"


@dataclass(frozen=True)
class Top:
    """The top of the machine's groups, for a container that the engine alone can be asked for.

    There it is beside the group of all services, as a `Parent` is, and its own weight counts. What
    the engine has no word for is left out: see `LEFT_OUT`.

    Attributes:
        cgroups: how the machine's engine makes control groups.
    """

    cgroups: Cgroups

    @property
    def reference(self) -> str:
        """What the engine takes as a container's cgroup parent."""
        return "-.slice" if self.cgroups.driver == "systemd" else "/"

    def choose_shares(self, policy: Policy) -> int:
        """Return the container's weight, in the engine's unit: 1024 is a service's."""
        return _WEIGHTS[1][1][policy]

    def ensure(self, policy: Policy) -> None:
        """There is nothing to make."""

    def verify(self, policy: Policy, pid: int, spec: ContainerSpec) -> None:
        """The kernel can't be asked."""


# By policy, what a container at the `Top` lacks, and one under a `Parent` has.
LEFT_OUT = {
    Policy.IDLE: "the kernel's idle class (weight 2 of 1024 instead), lowest disk priority",
    Policy.SHARE: "lowest disk priority",
    Policy.DEDICATED: "lowest disk priority",
}


_SLICE = """\
# Made by the charm of {unit}. A change made here is undone.
[Unit]
Description=Processor time of {unit}

[Slice]
{settings}
"""


def remove_parent(unit: str) -> None:
    """Remove every group of a unit, and its slice, if there are any.

    Raises:
        OSError: a process is still in one of them, or systemd failed.
    """
    name, slice_name = _name_groups(unit)
    systemd.remove(slice_name)
    for root in cgroups.list_hierarchies():
        cgroups.remove_group(root / name)
        cgroups.remove_group(root / slice_name)


def _name_groups(unit: str) -> tuple[str, str]:
    """Return what a unit's group is called without and with systemd.

    To systemd a dash is a level: mprime-0.slice would lie in a mprime.slice of ordinary weight.
    """
    name = re.sub(r"[/-]", "_", unit)
    return name, f"{name}.slice"


def _enable(root: Path, controllers: tuple[str, ...]) -> None:
    available = cgroups.read(root / "cgroup.controllers").split()
    enabled = cgroups.read(root / "cgroup.subtree_control").split()
    for controller in controllers:
        if controller in available and controller not in enabled:
            cgroups.write(root / "cgroup.subtree_control", f"+{controller}")


def _compare_limits(
    pid: int, version: int, spec: ContainerSpec
) -> list[tuple[str, object, object]]:
    """Return option, wanted and found for each limit, rounded as the kernel rounds."""

    def read(controller: str, old: str, new: str) -> str:
        path = cgroups.find_group(pid, controller, version)
        root = cgroups.find_hierarchy(controller, version)
        if path is None or root is None:
            return ""
        return cgroups.read(root / path.lstrip("/") / (new if version == 2 else old))

    found: list[tuple[str, object, object]] = []
    if spec.cpus:
        quota = read("cpu", "cpu.cfs_quota_us", "cpu.max").partition(" ")[0]
        # systemd counts in hundredths of a core.
        in_force = quota.isdecimal() and abs(int(quota) - spec.cpu_quota) < 1000
        found.append(("cpus", spec.cpus, spec.cpus if in_force else quota or "no limit"))
    if spec.memory:
        size = read("memory", "memory.limit_in_bytes", "memory.max")
        page = os.sysconf("SC_PAGE_SIZE")
        in_force = size.isdecimal() and abs(int(size) - spec.memory) < page
        found.append(
            ("memory-limit", spec.memory, spec.memory if in_force else size or "no limit")
        )
    if spec.cpuset:
        cores = read("cpuset", "cpuset.cpus", "cpuset.cpus")
        in_force = parse_cpuset(cores) == parse_cpuset(spec.cpuset)
        found.append(("cpuset", spec.cpuset, spec.cpuset if in_force else cores or "all cores"))
    return found


def _knows_idle() -> bool:
    kernel = _read_version(platform.release()) >= _IDLE_KERNEL
    return kernel and _read_version(systemd.call("show", "--property=Version")) >= _IDLE_SYSTEMD


def _read_version(text: str) -> tuple[int, ...]:
    """Return the first two numbers of a version, such as 6.1.0-13-amd64 or Version=v252.39."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])


def _refuse(policy: Policy, why: str) -> NotInForceError:
    return NotInForceError(f"cpu-policy {policy.value} is not in force: {why}")
