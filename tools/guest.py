"""A qemu guest: a whole machine with a kernel of its own, for what this host's kernel lacks.

Its disk is made once of this host's own distribution, and kept in `.cache/guest`. The guest has
no network; commands reach it through the QEMU guest agent's channel, and files on a second disk,
since the channel takes a second for each megabyte. The processor is emulated, so that the guest
runs wherever qemu does: it is ten to thirty times slower than the host.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import platform
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from localmodel.errors import LocalModelError
from localmodel.machines.processes import run
from localmodel.machines.template import MORE_PACKAGES, read_host_release, read_host_sources
from tools.locks import hold_lock
from tools.pack import ROOT

CACHE = ROOT / ".cache" / "guest"
_SIZE = "6G"  # of the disk, which takes no more of the host's than what is written to it
_MEMORY = "1536M"
_START_TIMEOUT = 300.0  # seconds from power-on to the agent's first answer
_STOP_TIMEOUT = 120.0  # seconds
_RUN_TIMEOUT = 300.0  # seconds
_POLL = 0.1  # seconds between questions to the agent, which has no way to tell by itself
_TAIL = 12_000  # characters of the console in an error: what each processor was at, in a lockup
_BLOCK = 1024**2  # bytes
_COPIED = 1024 * _BLOCK  # the most that a file has which is copied into a guest


@dataclass(frozen=True)
class _Architecture:
    """How a kind of processor is called by the distribution, and how qemu emulates it."""

    name: str
    qemu: tuple[str, ...]
    console: str


# Only the first was tried.
_ARCHITECTURES = {
    "x86_64": _Architecture("amd64", ("/usr/bin/qemu-system-x86_64", "-machine", "q35"), "ttyS0"),
    "aarch64": _Architecture(
        "arm64",
        ("/usr/bin/qemu-system-aarch64", "-machine", "virt", "-cpu", "cortex-a72"),
        "ttyAMA0",
    ),
}

# What a guest has besides what its user asks for. udev starts the agent when its channel is there.
_PACKAGES = (
    "dbus",
    "e2fsprogs",  # the initial RAM disk of Ubuntu 22.04 is made with it, and asks for it nowhere
    "initramfs-tools",
    "iproute2",
    "kmod",
    "qemu-guest-agent",
    "systemd-sysv",
    "udev",
)

# Run by mmdebstrap with the new root as $1: before the kernel is installed, which makes an initial
# RAM disk of every driver there is unless told what is enough; and in the end.
_BEFORE = (
    'mkdir -p "$1/etc/initramfs-tools/conf.d" "$1/usr/share/initramfs-tools/modules.d"',
    'echo MODULES=list >"$1/etc/initramfs-tools/conf.d/guest"',
    'printf "virtio_pci\\nvirtio_blk\\next4\\n" >"$1/usr/share/initramfs-tools/modules.d/guest"',
)
_AFTER = (
    'chroot "$1" systemctl mask apt-daily.timer apt-daily-upgrade.timer',
    'echo guest >"$1/etc/hostname"',
    # Each guest is given its own when it starts.
    ': >"$1/etc/machine-id"',
)


class GuestError(Exception):
    """A guest, or a command in it, failed; the text says how."""


@dataclass(frozen=True)
class Disk:
    """What a guest starts from; it is only read.

    Attributes:
        root: a file with an ext4 file system.
    """

    root: Path
    kernel: Path
    initrd: Path


def build_disk(packages: Iterable[str], *, newest: bool = False) -> Disk:
    """Make a disk with a kernel, systemd and some packages, unless it is there; about a minute.

    Args:
        packages: by their names.
        newest: whether to take the newest kernel that there is for the release: that of Debian's
            backports, or Ubuntu's HWE.

    Raises:
        GuestError: the distribution's archive is not configured or reachable, or this kind of
            processor is not known.
    """
    distribution, version, codename = read_host_release()
    backports = newest and distribution == "debian"
    if distribution == "ubuntu":
        # For virtual machines; what Debian's lacks is in no other.
        kernel = "linux-image-virtual" + (f"-hwe-{version}" if newest else "")
    else:
        kernel = f"linux-image-{_find_architecture().name}"
        kernel += f"/{codename}-backports" if backports else ""
    more = MORE_PACKAGES.get(codename, ())
    wanted = sorted({*packages, *_PACKAGES, *more, kernel})
    recipe = repr((codename, platform.machine(), wanted, _BEFORE, _AFTER, _SIZE))
    folder = CACHE / f"{codename}-{hashlib.sha256(recipe.encode()).hexdigest()[:12]}"
    with hold_lock(CACHE / "lock"):
        if not folder.exists():
            draft = folder.with_suffix(".partial")
            shutil.rmtree(draft, ignore_errors=True)
            draft.mkdir()
            try:
                sources = read_host_sources()
                if backports:
                    stock, more = f" {codename} ", f" {codename}-backports "
                    sources += [s.replace(stock, more) for s in sources if stock in s]
                _fill(draft, wanted, sources)
            except LocalModelError as error:
                raise GuestError(str(error)) from error
            draft.rename(folder)
    return Disk(folder / "root.img", folder / "kernel", folder / "initrd")


def _fill(folder: Path, packages: list[str], sources: list[str]) -> None:
    root, listing = folder / "root", folder / "sources.list"
    listing.write_text("\n".join(sources) + "\n")
    run(
        "/usr/bin/mmdebstrap",
        "--quiet",
        "--mode=root",
        "--variant=apt",
        f"--include={','.join(packages)}",
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--essential-hook={step}" for step in _BEFORE),
        *(f"--customize-hook={step}" for step in _AFTER),
        "",
        root,
        listing,
    )
    for name, pattern in (("kernel", "vmlinu*"), ("initrd", "initrd.img-*")):
        shutil.copyfile(max((root / "boot").glob(pattern)), folder / name)
    run("/usr/sbin/mkfs.ext4", "-q", "-d", root, folder / "root.img", _SIZE)
    shutil.rmtree(root)


def _find_architecture() -> _Architecture:
    machine = platform.machine()
    if machine not in _ARCHITECTURES:
        raise GuestError(f"no guest for {machine}; there are: {', '.join(_ARCHITECTURES)}")
    return _ARCHITECTURES[machine]


@contextlib.contextmanager
def boot(disk: Disk, *, cores: int) -> Iterator[Guest]:
    """Run a guest for as long as the block runs; what it wrote is gone then.

    It ends with this process, however that ends.

    Args:
        cores: how many it has, each of which takes up to one of this host's.

    Raises:
        GuestError: it does not come up; the text has the end of its console.
    """
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        file = Path(folder) / "changes"
        backing = ("-b", disk.root, "-F", "raw")
        run("/usr/bin/qemu-img", "create", "-q", "-f", "qcow2", *backing, file)
        changes = file.open("r+b")
    # The files have no names (any more), so that a kill leaves nothing behind.
    with changes, tempfile.TemporaryFile() as console, tempfile.TemporaryFile(dir=CACHE) as copied:
        copied.truncate(_COPIED)
        guest = Guest(disk, cores, changes, copied, console)
        guest.start()
        try:
            yield guest
        finally:
            guest.kill()


class Guest:
    """A guest, as `boot` gives it.

    Args:
        disk: what it starts from.
        cores: how many it has.
        changes: a qcow2 image over the disk.
        copied: takes one file at a time that is copied into the guest, which only reads it.
        console: takes what it prints.
    """

    def __init__(
        self, disk: Disk, cores: int, changes: IO[bytes], copied: IO[bytes], console: IO[bytes]
    ):
        self._disk, self._cores = disk, cores
        self._changes, self._copied, self._console = changes, copied, console
        self._id = secrets.token_hex(16)

    def run(
        self, *argv: str, check: bool = True, stdin: bytes = b"", timeout: float = _RUN_TIMEOUT
    ) -> subprocess.CompletedProcess[str]:
        """Run a program in the guest as root, by absolute path, and return how it ended.

        Raises:
            GuestError: it did not end within `timeout` seconds; or, with `check`, it failed.
        """
        started = self._ask(
            "guest-exec",
            {
                "path": argv[0],
                "arg": argv[1:],
                "capture-output": True,
                "input-data": base64.b64encode(stdin).decode(),
            },
        )
        deadline = time.monotonic() + timeout
        while not (state := self._ask("guest-exec-status", {"pid": started["pid"]}))["exited"]:
            if time.monotonic() > deadline:
                raise GuestError(f"{argv[0]}: it did not end within {timeout:g} s")
            time.sleep(_POLL)
        out, err = (
            base64.b64decode(state.get(name, "")).decode(errors="replace")
            for name in ("out-data", "err-data")
        )
        code = state["exitcode"] if "exitcode" in state else -state["signal"]
        if check and code:
            raise GuestError(f"{argv[0]}: exit code {code}\n{out}{err}")
        return subprocess.CompletedProcess(argv, code, out, err)

    def copy(self, source: Path, target: str) -> None:
        """Copy a file into the guest. Raises GuestError."""
        size = source.stat().st_size
        if size > _COPIED:
            raise GuestError(f"{source} has {size} bytes; a guest takes {_COPIED} in a file")
        self._copied.seek(0)
        with source.open("rb") as stream:
            shutil.copyfileobj(stream, self._copied)
        self._copied.flush()
        # Past the guest's own cache, which may hold what was there before; so in whole blocks.
        blocks = f"count={-(-size // _BLOCK)}"
        disk, block = "if=/dev/vdb", f"bs={_BLOCK}"
        self.run("/usr/bin/dd", disk, f"of={target}", block, blocks, "iflag=direct", "status=none")
        self.run("/usr/bin/truncate", f"--size={size}", target)

    def reboot(self) -> None:
        """Shut the guest down and start it again. Raises GuestError."""
        self._send("guest-shutdown", {"mode": "powerdown"})
        try:
            self._process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise self._explain(f"did not shut down within {_STOP_TIMEOUT:g} s") from error
        self.kill()
        self.start()

    def start(self) -> None:
        """Power on, and wait until commands can be run. Raises GuestError."""
        architecture = _find_architecture()
        ours, theirs = socket.socketpair()
        kept = (self._changes, self._copied, self._console, theirs)
        files = [file.fileno() for file in kept]
        changes, copied, console, agent = files
        with theirs:
            self._process = subprocess.Popen(
                [
                    # The kernel ends qemu when this process ends, also by a kill.
                    *("/usr/bin/setpriv", "--pdeathsig", "KILL"),
                    *architecture.qemu,
                    *("-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
                    *("-accel", "tcg,thread=multi", "-smp", str(self._cores), "-m", _MEMORY),
                    *("-kernel", str(self._disk.kernel), "-initrd", str(self._disk.initrd)),
                    # loglevel=5: with the traces that come with a warning. norandmaps: programs
                    # start where they did before, so that qemu has their code translated.
                    "-append",
                    f"root=/dev/vda rw console={architecture.console} loglevel=5 panic=-1 "
                    f"norandmaps systemd.machine_id={self._id}",
                    *("-drive", f"file=/proc/self/fd/{changes},if=virtio,cache=unsafe"),
                    *("-drive", f"file=/proc/self/fd/{copied},if=virtio,format=raw,readonly=on"),
                    *("-serial", f"file:/proc/self/fd/{console}"),
                    *("-device", "virtio-rng-pci", "-device", "virtio-serial-pci"),
                    *("-chardev", f"socket,id=agent,fd={agent}"),
                    *("-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"),
                ],
                stdin=subprocess.DEVNULL,
                pass_fds=files,
            )
        ours.settimeout(_START_TIMEOUT)
        self._socket, self._stream = ours, ours.makefile("rb")
        try:
            # What is sent waits until somebody reads it at the other end.
            self._ask("guest-ping", {})
        except BaseException:
            self.kill()
            raise

    def kill(self) -> None:
        """Cut the power."""
        self._process.kill()
        self._process.wait()
        self._stream.close()
        self._socket.close()

    def _ask(self, command: str, arguments: dict[str, Any]) -> Any:
        self._send(command, arguments)
        try:
            line = self._stream.readline()
        except TimeoutError as error:
            raise self._explain(f"does not answer within {_START_TIMEOUT:g} s") from error
        except ConnectionError:
            line = b""
        if not line:
            raise self._explain("has ended")
        answer = json.loads(line)
        if "error" in answer:
            raise GuestError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def _send(self, command: str, arguments: dict[str, Any]) -> None:
        message = json.dumps({"execute": command, "arguments": arguments}) + "\n"
        with contextlib.suppress(ConnectionError):  # then there is no answer either
            self._socket.sendall(message.encode())

    def _explain(self, what: str) -> GuestError:
        self._console.seek(0)
        said = self._console.read().decode(errors="replace")
        return GuestError(f"the guest {what}; its console's end:\n{said[-_TAIL:]}")
