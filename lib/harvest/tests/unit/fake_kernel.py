"""A machine's control groups in a folder, with as much of the kernel and systemd as matters."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dockerhost import Cgroups, ContainerSpec
from hostkit import cgroups

HIERARCHIES = ("cpu,cpuacct", "cpuset", "memory", "blkio", "name=systemd")
MEMORY = 24 * 1024**3


@dataclass
class Kernel:
    """Stands in for the files under /sys/fs/cgroup and /proc, and for systemd.

    Attributes:
        has_idle: whether groups can be idle.
        obeys: whether systemd gives a slice what its file says; in a container it may not.
        systemd: its version.
        refuses: the name of a control file that can't be written to.
        said: what systemctl was told.
        writes: each control file written to, and the value.
    """

    folder: Path
    engine: Cgroups
    has_idle: bool = True
    obeys: bool = True
    systemd: str = "252.39-1~deb12u2"
    refuses: str = ""
    said: list[str] = field(default_factory=list)
    writes: list[tuple[str, str]] = field(default_factory=list)
    loaded: dict[str, str] = field(default_factory=dict)
    enabled: set[str] = field(default_factory=set)

    def boot(self) -> None:
        """Empty the hierarchies, and mount them."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self.loaded.clear()
        self.slices.mkdir(parents=True, exist_ok=True)
        mounts = []
        for number, names in enumerate(HIERARCHIES if self.engine.version == 1 else [""]):
            root = self.root(names.split(",")[0])
            root.mkdir(parents=True)
            kind = "cgroup" if names else "cgroup2"
            mounts.append(f"{number} 9 0:9 / {root} rw shared:1 - {kind} none rw,{names}")
        mounts.append(f"9 9 0:9 / {self.folder} rw - tmpfs tmpfs rw")
        proc = self.folder / "proc" / "self"
        proc.mkdir(parents=True)
        (proc / "mountinfo").write_text("\n".join(mounts) + "\n")
        if self.engine.version == 1:
            (self.root("cpuset") / "cpuset.cpus").write_text("0-3\n")
        else:
            (self.root() / "cgroup.controllers").write_text("cpuset cpu io memory pids\n")
            (self.root() / "cgroup.subtree_control").write_text("memory pids\n")
            (self.root() / "cpuset.cpus.effective").write_text("0-3\n")

    def root(self, controller: str = "cpu") -> Path:
        """Where a controller's hierarchy is mounted."""
        return self.folder / "cgroup" / (controller if self.engine.version == 1 else "")

    @property
    def slices(self) -> Path:
        """Where unit files lie."""
        return self.folder.parent / "units"

    def read(self, file: str, group: str = "") -> str:
        """What a control file of the unit's group says."""
        name = "mprime_0.slice" if self.engine.driver == "systemd" else "mprime_0"
        controller = file.split(".")[0]
        return (self.root(controller) / (group or name) / file).read_text().strip()

    def ensure_group(self, group: Path) -> None:
        """Make a group as the kernel does, with its files in it."""
        if group.exists():
            return
        group.mkdir(parents=True)
        names = {"cpu.shares": "1024", "blkio.bfq.weight": "100"}
        if self.engine.version == 2:
            enabled = (self.root() / "cgroup.subtree_control").read_text().split()
            names = {"cpu.weight": "100"} if "cpu" in enabled else {}
            if "io" in enabled:
                names["io.weight"] = "default 100\n254:0 300"
        if self.has_idle and names.keys() & {"cpu.shares", "cpu.weight"}:
            names["cpu.idle"] = "0"
        for name, value in names.items():
            if name.split(".")[0] == group.parent.name or self.engine.version == 2:
                (group / name).write_text(value)

    def write(self, file: Path, value: str | int) -> None:
        """Write to a control file; what is not there can't be made."""
        if file.name == self.refuses or not file.exists():
            raise OSError(30, "Read-only file system", str(file))
        idle = file.parent / "cpu.idle"
        if file.name in ("cpu.shares", "cpu.weight") and idle.exists() and idle.read_text() == "1":
            raise OSError(22, "Invalid argument", str(file))
        self.writes.append((file.name, str(value)))
        if file.name == "cgroup.subtree_control":
            value = f"{file.read_text().strip()} {str(value).removeprefix('+')}"
        file.write_text(str(value))

    def remove(self, group: Path) -> None:
        """Remove a group with all in it."""
        shutil.rmtree(group, ignore_errors=True)

    def systemctl(self, *words: str) -> str:
        """Do what systemd does with slices and services."""
        if words == ("show", "--property=Version"):
            return f"Version={self.systemd}\n"
        if words[0] == "show":
            text = (self.slices / words[-1]).read_text()
            stale = words[-1] in self.loaded and self.loaded[words[-1]] != text
            active = "active" if words[-1] in self.loaded else "inactive"
            file = "enabled" if words[-1] in self.enabled else "disabled"
            return (
                f"NeedDaemonReload={'yes' if stale else 'no'}\nActiveState={active}\n"
                f"UnitFileState={file}\n"
            )
        self.said.append(" ".join(words))
        if words[0] == "stop" or "--now" in words:
            self.loaded.pop(words[-1], None)
        if words[0] == "start":
            self.loaded[words[1]] = ""
        if words[0] == "enable":
            self.enabled.add(words[1])
        if words[0] == "disable":
            self.enabled.discard(words[-1])
        for name in self.loaded:
            self.loaded[name] = (self.slices / name).read_text()
            if self.obeys and name.endswith(".slice"):
                self._apply_slice(name)
        return ""

    def _apply_slice(self, name: str) -> None:
        text = self.loaded[name]
        if self.engine.version == 2:
            (self.root() / "cgroup.subtree_control").write_text("cpu io memory pids\n")
        group = self.root() / name
        self.ensure_group(group)
        for key, file in (("CPUShares", "cpu.shares"), ("CPUWeight", "cpu.weight")):
            for line in text.splitlines():
                setting, _, value = line.partition("=")
                if setting == key and (group / file).exists():
                    (group / "cpu.idle").write_text("1" if value == "idle" else "0")
                    (group / file).write_text("0" if value == "idle" else value)

    def run(self, pid: int, parent: str, **files: str) -> None:
        """Put a container's process into a group under a parent, as the engine does."""
        is_slice = parent.endswith(".slice")
        path = f"/{parent}/docker-1.scope" if is_slice else f"{parent.rstrip('/')}/1"
        lines = [f"0::{path}"]
        roots = {self.root()}
        if self.engine.version == 1:
            lines = [f"{n}:{names}:{path}" for n, names in enumerate(HIERARCHIES, 1)]
            roots = {self.root(names.split(",")[0]) for names in HIERARCHIES}
        (self.folder / "proc" / str(pid)).mkdir(exist_ok=True)
        (self.folder / "proc" / str(pid) / "cgroup").write_text("\n".join(lines) + "\n")
        for root in roots:
            self.ensure_group((root / path.lstrip("/")).parent)
            (root / path.lstrip("/")).mkdir(exist_ok=True)
        for name, value in files.items():
            file = name.replace("__", ".")
            controller = "cpu" if file.startswith("cpu.") else file.split(".")[0]
            (self.root(controller) / path.lstrip("/") / file).write_text(value)

    def describe_limits(self, spec: ContainerSpec) -> dict[str, str]:
        """What the files of a container's group say, by name with two underscores for a dot."""
        quota, cores = spec.cpu_quota, spec.cpuset or "0-3"
        if self.engine.version == 1:
            return {
                "cpu__cfs_quota_us": f"{quota or -1}",
                "cpuset__cpus": cores,
                "memory__limit_in_bytes": f"{spec.memory}",
            }
        return {
            "cpu__max": f"{quota or 'max'} 100000",
            "cpuset__cpus": spec.cpuset,
            "memory__max": f"{spec.memory}",
        }


def install(kernel: Kernel, patch: pytest.MonkeyPatch) -> Kernel:
    """Boot a machine's kernel and put it in the place of this machine's."""
    kernel.boot()
    patch.setattr(cgroups, "PROC", kernel.folder / "proc")
    patch.setattr(cgroups, "ensure_group", kernel.ensure_group)
    patch.setattr(cgroups, "remove_group", kernel.remove)
    patch.setattr(cgroups, "write", kernel.write)
    patch.setattr("hostkit.systemd.UNITS", kernel.slices)
    patch.setattr("hostkit.systemd.call", kernel.systemctl)
    patch.setattr("hostkit.orphans.COPIES", kernel.folder / "copies")
    patch.setattr("harvest.limits.read_memory", lambda: MEMORY)
    patch.setattr("os.cpu_count", lambda: 4)
    return kernel
