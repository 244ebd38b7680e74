"""One machine: a systemd-nspawn container with a systemd and a Docker Engine of its own.

What is true of a machine is read from the system (mounts, processes), never remembered beside it.
"""

from __future__ import annotations

import ipaddress
import os
import signal
import subprocess
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from localmodel.errors import LocalModelError
from localmodel.machines import cgroups, processes, underlay
from localmodel.machines.processes import run, wait_until
from localmodel.machines.trees import remove_tree
from localmodel.paths import NAME, Paths
from localmodel.store import naming, write_atomically

# How often a machine is booted before it is given up, and the longest time for a boot and for a
# shutdown, in seconds.
BOOTS = 2
BOOT_TIMEOUT = 120.0
STOP_TIMEOUT = 30.0

# Where a machine finds the sockets of the hook tools; a folder of the host's, bound.
SOCKETS = Path("/run/juju")
TOOLS = Path("/var/lib/juju/tools")

# What a Docker Engine keeps its images in, by its version, under /var/lib; folders of the host's
# own disk, bound, since the engine's overlays don't go on top of the machine's.
ENGINE_FOLDERS = ("docker", "containerd")

NSPAWN = "/usr/bin/systemd-nspawn"

SYSTEMCTL = "/usr/bin/systemctl"

# Stands outside a machine for a program inside, and ends as it ends. nsenter does so itself, but
# stops when its child is stopped: a machine that shuts down stops all its processes for a moment,
# and would then wait for ever for those whose parents have stopped. Perl is started without what
# its caller's environment sets for it, and without a word on locales that the machine does not
# have (perlrun(1), perllocale(1)).
STAND_IN = (
    *("/usr/bin/env", "--unset=PERL5OPT", "--unset=PERL5LIB", "PERL_BADLANG=0"),
    *("/usr/bin/perl", "-e"),
    """\
my $child = fork // die "fork: $!\\n";
if (!$child) {
    delete $ENV{PERL_BADLANG};
    exec {$ARGV[0]} @ARGV or die "$ARGV[0]: $!\\n";
}
waitpid $child, 0;
exit $? >> 8 unless my $signal = $? & 127;
$SIG{$_} = 'DEFAULT' for keys %SIG;
kill $signal, $$;
exit 128 + $signal;
""",
)

# With --keep-unit, nspawn ends with this where the machine wants to reboot.
REBOOT = 133

# The shell puts itself into the machine's groups and then keeps the machine running.
SUPERVISE = f"""\
while [ "$1" != -- ]; do echo $$ >"$1/cgroup.procs" || exit; shift; done; shift
while :; do "$@"; [ $? = {REBOOT} ] || exit; done
"""

# How systemd keeps a machine running; the same as its own systemd-nspawn@.service has it.
SERVICE = (
    "Type=notify",
    "Delegate=yes",
    "KillMode=mixed",
    "TasksMax=infinity",
    f"RestartForceExitStatus={REBOOT}",
    f"SuccessExitStatus={REBOOT}",
)


@dataclass(frozen=True)
class Instance:
    """A machine on this host. `name` is unique on the host and serves as its host name."""

    paths: Paths
    name: str
    address: str

    @property
    def folder(self) -> Path:
        return self.paths.machines / self.name

    @property
    def root(self) -> Path:
        """Its root file system as the host sees it, while it runs."""
        return self.folder / "root"

    @property
    def sockets(self) -> Path:
        return self.paths.sockets(self.name)

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    def start(self, template: Path, network: ipaddress.IPv4Network) -> None:
        """Make it if need be, boot it, and wait until its systemd has started everything.

        A boot that hangs, or whose machine ends by itself, is begun once more.

        Raises: LocalModelError if it does not come up.
        """
        self.sockets.mkdir(parents=True, exist_ok=True)
        for part in ("upper", "work", "root", *ENGINE_FOLDERS):
            (self.folder / part).mkdir(parents=True, exist_ok=True)
        for _ in range(BOOTS):
            if not self.supervisor():
                if not self.root.is_mount():
                    layers = f"lowerdir={template},upperdir={self.folder}/upper"
                    options = f"{layers},workdir={self.folder}/work"
                    run("/usr/bin/mount", "-t", "overlay", "-o", options, NAME, self.root)
                self._configure(network)
                self._boot()
            if self._wait_booted():
                return
            self._log_jobs()
            self.stop()
        raise LocalModelError(
            f"machine {self.name} did not boot, tried {BOOTS} times; its console is in"
            f" {self.console}, and the next command tries again"
        )

    def _wait_booted(self) -> bool:
        """Wait until it is up, or the machine is gone; whether it is up."""
        wait_until(lambda: self.is_up() or not self._is_kept_running(), BOOT_TIMEOUT)
        return self.is_up()

    def is_up(self) -> bool:
        """Return whether its systemd has started everything, and does not shut down."""
        return self._systemctl("is-system-running").strip() in ("running", "degraded")

    def _log_jobs(self) -> None:
        """Add to its console what a boot that hangs waits for."""
        with naming(self.console), self.console.open("a") as log:
            log.write(f"the boot waits for: {self._systemctl('list-jobs', '--no-legend')}\n")

    def _systemctl(self, *words: str) -> str:
        """Return what the machine's systemd answers; nothing while it does not."""
        leader = self.leader()
        if leader is None:
            return ""
        return subprocess.run(
            [*self._enter(leader), SYSTEMCTL, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        ).stdout

    def stop(self) -> None:
        """Shut it down in order, or after half a minute at once; its disk stays."""
        supervisor, leader = self.supervisor(), self.leader()
        if supervisor:
            if leader:
                # systemd(1): SIGRTMIN+4 starts poweroff.target.
                _signal(leader, signal.SIGRTMIN + 4)
            if not wait_until(lambda: self.supervisor() is None, STOP_TIMEOUT):
                processes.kill([p for p in (leader, supervisor) if p])
        if self.root.is_mount():
            run("/usr/bin/umount", self.root)
        cgroups.remove_groups(self.name)

    def reboot(self) -> None:
        """Reboot it as `systemctl reboot` inside would, and wait until it is up again."""
        before = self.boot_id()
        leader = self.leader()
        if leader is None:
            raise LocalModelError(f"machine {self.name} is down: run localmodel up")
        # systemd(1): SIGRTMIN+5 starts reboot.target.
        _signal(leader, signal.SIGRTMIN + 5)
        if not wait_until(lambda: self.boot_id() not in (before, None), BOOT_TIMEOUT):
            raise LocalModelError(f"machine {self.name} did not reboot; see {self.console}")
        if not self._wait_booted():
            raise LocalModelError(f"machine {self.name} hangs during its boot; see {self.console}")

    def destroy(self) -> None:
        """Remove it with its disk."""
        self.stop()
        remove_tree(self.sockets)
        for part in ("propagate", "unix-export"):
            # nspawn leaves these behind where /run is not a tmpfs.
            remove_tree(Path("/run/systemd/nspawn") / part / self.name)
        remove_tree(self.folder)

    def supervisor(self) -> int | None:
        """Return the nspawn process, or None while the machine is down."""
        for pid, argv in processes.read_command_lines():
            if argv[0] == NSPAWN and f"--machine={self.name}" in argv:
                return pid
        return None

    def _is_kept_running(self) -> bool:
        """Return whether the machine runs, or what keeps it running is about to start it."""
        if cgroups.is_unified():
            state = run(SYSTEMCTL, "show", "--property=ActiveState", "--value", self._service)
            return state.strip() not in ("inactive", "failed")
        return any(f"--machine={self.name}" in argv for _, argv in processes.read_command_lines())

    @property
    def _service(self) -> str:
        """What keeps it running where systemd does."""
        return f"{NAME}-{self.name}.service"

    def leader(self) -> int | None:
        """Return the machine's process 1 as the host numbers it."""
        supervisor = self.supervisor()
        children = [c for c, parent in processes.read_parents().items() if parent == supervisor]
        return min(children, default=None) if supervisor else None

    def boot_id(self) -> str | None:
        """Return the id of the present boot; None while the machine is down."""
        leader = self.leader()
        started = processes.read_start_time(leader) if leader else None
        return f"{leader}-{started}" if started else None

    def command(self, argv: Sequence[str], folder: str = "/") -> list[str]:
        """Return the command line that runs `argv` in the machine, in a folder of it.

        Raises: LocalModelError if the machine is down.
        """
        leader = self.leader()
        if leader is None:
            raise LocalModelError(f"machine {self.name} is down: run localmodel up")
        enter = [*cgroups.make_join_command(leader), *self._enter(leader)]
        return [*enter, "/usr/bin/env", "-C", folder, *argv]

    @staticmethod
    def _enter(leader: int) -> list[str]:
        return [underlay.NSENTER, "--all", "--no-fork", f"--target={leader}", "--", *STAND_IN]

    def _configure(self, network: ipaddress.IPv4Network) -> None:
        """Write what makes it this machine; before it boots, so nothing inside is in the way."""
        etc = self.root / "etc"
        if not (etc / "machine-id").exists():
            write_atomically(etc / "machine-id", f"{uuid.uuid4().hex}\n".encode(), 0o444)
        files = {
            etc / "hostname": f"{self.name}\n",
            etc / "hosts": f"127.0.0.1 localhost\n{self.address} {self.name}\n",
            etc / "resolv.conf": f"nameserver {underlay.NAMESERVER}\n",
            etc / "systemd/network/10-host0.network": (
                "[Match]\nName=host0\n\n[Network]\n"
                f"Address={self.address}/{network.prefixlen}\n"
                f"Gateway={underlay.find_gateway(network)}\n"
                "LinkLocalAddressing=no\nLLDP=no\nEmitLLDP=no\n"
            ),
        }
        for path, text in files.items():
            write_atomically(path, text.encode())
        tool = resources.files("localmodel").joinpath("hook-tool.pl").read_bytes()
        write_atomically(self.root / TOOLS.relative_to("/") / "hook-tool", tool, 0o755)

    def _boot(self) -> None:
        nspawn = [
            NSPAWN,
            "--quiet",
            "--boot",
            f"--directory={self.root}",
            f"--machine={self.name}",
            "--register=no",
            "--keep-unit",
            "--capability=all",
            "--system-call-filter=add_key keyctl bpf perf_event_open",
            "--network-veth",
            f"--network-bridge={underlay.BRIDGE}",
            *(f"--bind={self.folder}/{part}:/var/lib/{part}" for part in ENGINE_FOLDERS),
            f"--bind={self.sockets}:{SOCKETS}",
            "--resolv-conf=off",
            "--timezone=off",
            "--link-journal=no",
            "--console=pipe",
        ]
        command = [underlay.NSENTER, f"--net={underlay.NETNS}", *nspawn]
        if cgroups.is_unified():
            self._run_as_service(command)
        else:
            self._run_supervised(command)

    def _run_as_service(self, command: Sequence[str]) -> None:
        """With version 2 a group may only be handed on by the manager that owns the tree."""
        if not Path("/run/systemd/system").is_dir():
            raise LocalModelError(
                "process 1 of this host is not systemd, and with control groups of version 2"
                " machines need that: use a host or a virtual machine that boots with systemd"
            )
        # It exists already where the machine is just between two boots.
        if not processes.succeeds(SYSTEMCTL, "start", self._service):
            properties = (*SERVICE, f"StandardOutput=append:{self.console}")
            run(
                "/usr/bin/systemd-run",
                "--quiet",
                "--collect",
                f"--unit={self._service}",
                *(f"--property={p}" for p in properties),
                "--",
                *command,
            )

    def _run_supervised(self, command: Sequence[str]) -> None:
        supervisor = ["/usr/bin/setsid", "--fork", "/bin/sh", "-c", SUPERVISE, "sh"]
        groups = [str(g) for g in cgroups.ensure_groups(self.name)]
        with self.console.open("ab") as log:
            subprocess.run(
                [*supervisor, *groups, "--", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                check=True,
                cwd="/",
                env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"},
            )


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return


def list_instances(paths: Paths) -> list[str]:
    """Return the names of the machines that have left anything on this host."""
    return sorted(p.name for p in paths.machines.iterdir()) if paths.machines.is_dir() else []
