"""Runs a charm once, on its machine, as Juju's machine agent does.

The environment is exactly the agent's list; the hook tools are links to one small program that
talks to a socket which is there for as long as the charm runs.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from io import BufferedIOBase
from pathlib import Path
from typing import IO

from localmodel.charms import unpack_charm
from localmodel.context import HookContext
from localmodel.errors import LocalModelError
from localmodel.hooktools import Answer, list_tools, run_tool
from localmodel.machines import processes, underlay
from localmodel.machines.instance import SOCKETS, TOOLS, Instance
from localmodel.machines.processes import wait_until
from localmodel.machines.trees import remove_tree
from localmodel.paths import MAX_SOCKET
from localmodel.state import JUJU_VERSION, Unit
from localmodel.store import Store, write_atomically

AGENTS = Path("/var/lib/juju/agents")
AGENT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

# How long an interrupted hook's process may go on before the hook is run again, in seconds.
ORPHAN_TIMEOUT = 600.0

# What a charm prints after its process has ended is read for this long, in seconds: a daemon
# that it started may hold the pipe open for ever.
DRAIN_TIMEOUT = 2.0

Sink = Callable[[str], None]


def locate_charm_folder(unit: Unit) -> Path:
    """Return where a unit's charm lies, as the machine sees it."""
    return AGENTS / unit.tag / "charm"


def remove_agents(instance: Instance, units: Iterable[Unit]) -> None:
    """Remove the folders of all units but some from a machine, as Juju does of units that go."""
    tags = {unit.tag for unit in units}
    agents = instance.root / AGENTS.relative_to("/")
    if not agents.resolve().is_relative_to(instance.root.resolve()):
        return  # A link in the machine, which would be followed on this host.
    for folder in agents.glob("unit-*"):
        if folder.name not in tags:
            remove_tree(folder)


class MachineFiles:
    """The files of a running machine, as the hook's context reads and places them."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance

    def read(self, path: str) -> bytes:
        # Through the process: /tmp and /run are file systems of the machine's own.
        leader = self._instance.leader()
        if leader is None or not path.startswith("/"):
            raise OSError(f"no such file: {path}")
        return (processes.PROC / str(leader) / "root" / path.lstrip("/")).read_bytes()

    def place(self, path: str, source: Path) -> None:
        target = self._instance.root / path.lstrip("/")
        data = source.read_bytes()
        if not target.is_file() or target.read_bytes() != data:
            write_atomically(target, data)


def make_environment(context: HookContext, settings: dict[str, object]) -> dict[str, str]:
    """Return the whole environment of a dispatch, and nothing else (Juju's "Hook environment").

    Args:
        settings: the model's configuration, for its proxies.
    """
    unit, hook, task = context.unit, context.hook, context.task
    folder = str(locate_charm_folder(unit))
    kind = "actions" if task else "hooks"
    found = {
        "CHARM_DIR": folder,
        "JUJU_CHARM_DIR": folder,
        "JUJU_CONTEXT_ID": hook.context,
        "JUJU_HOOK_NAME": "" if task else hook.name,
        "JUJU_DISPATCH_PATH": f"{kind}/{hook.name}",
        "JUJU_AGENT_SOCKET_ADDRESS": str(AGENTS / unit.tag / "agent.socket"),
        "JUJU_AGENT_SOCKET_NETWORK": "unix",
        "JUJU_UNIT_NAME": unit.name,
        "JUJU_MODEL_UUID": context.model.uuid,
        "JUJU_MODEL_NAME": context.model.name,
        # Nobody listens there; charms only read it.
        "JUJU_API_ADDRESSES": f"{_find_gateway(context.store)}:17070",
        "JUJU_MACHINE_ID": unit.machine,
        "JUJU_PRINCIPAL_UNIT": unit.principal or "",
        "JUJU_AVAILABILITY_ZONE": "",
        "JUJU_VERSION": JUJU_VERSION,
        "CLOUD_API_VERSION": "",
        "JUJU_CHARM_HTTP_PROXY": str(settings.get("juju-http-proxy", "")),
        "JUJU_CHARM_HTTPS_PROXY": str(settings.get("juju-https-proxy", "")),
        "JUJU_CHARM_FTP_PROXY": str(settings.get("juju-ftp-proxy", "")),
        "JUJU_CHARM_NO_PROXY": str(settings.get("juju-no-proxy", "127.0.0.1,localhost,::1")),
        "JUJU_CHARM_TRACE_CONFIG_CA_CERT": "",
        "JUJU_CHARM_TRACE_CONFIG_GRPC": "",
        "JUJU_CHARM_TRACE_CONFIG_HTTP": "",
        "APT_LISTCHANGES_FRONTEND": "none",
        "DEBIAN_FRONTEND": "noninteractive",
        "LANG": "C.UTF-8",
        "TERM": "tmux-256color",
        "PATH": f"{TOOLS / unit.tag}:{AGENT_PATH}",
    }
    if hook.kind == "exec":
        # A command is an action of its own kind that dispatches nothing.
        del found["JUJU_DISPATCH_PATH"]
    if hook.relation is not None:
        endpoint = hook.name.removesuffix(f"-{hook.kind}")
        found |= {
            "JUJU_RELATION": endpoint,
            "JUJU_RELATION_ID": f"{endpoint}:{hook.relation}",
            "JUJU_REMOTE_UNIT": hook.remote_unit,
            "JUJU_REMOTE_APP": hook.remote_app,
        }
    if hook.kind == "relation-departed":
        found["JUJU_DEPARTING_UNIT"] = hook.departing
    if task:
        found |= {
            "JUJU_ACTION_NAME": task.action,
            "JUJU_ACTION_UUID": task.id,
            "JUJU_ACTION_TAG": f"action-{task.id}",
        }
    if hook.secret:
        found |= {
            "JUJU_SECRET_ID": hook.secret,
            "JUJU_SECRET_LABEL": hook.label,
            "JUJU_SECRET_REVISION": str(hook.revision or ""),
        }
    return found


def _find_gateway(store: Store) -> str:
    return str(next(underlay.parse_underlay(store.setting("underlay")).hosts()))


def dispatch(context: HookContext, instance: Instance, charm: str) -> int | None:
    """Run the charm for the context's hook or action and return its exit code.

    Args:
        charm: the digest of the charm whose files the unit is to run.
    """
    ensure_charm(context, instance, charm)
    folder = locate_charm_folder(context.unit)
    root = instance.root / folder.relative_to("/")
    path = f"{'actions' if context.task else 'hooks'}/{context.hook.name}"
    program = next((p for p in ("dispatch", path) if (root / p).exists()), None)
    if program is None:
        # As with Juju, a charm without this hook has nothing to do.
        return 0
    log = context.log
    return run_in_context(
        context,
        instance,
        [str(folder / program)],
        lambda line: log("DEBUG", line, f"unit.{context.unit.name}.{context.hook.name}"),
        lambda line: log("WARNING", line, f"unit.{context.unit.name}.{context.hook.name}"),
    )


def ensure_charm(context: HookContext, instance: Instance, charm: str) -> None:
    """Put the charm's files and the links to the hook tools on the machine."""
    folder = instance.root / locate_charm_folder(context.unit).relative_to("/")
    app = context.model.apps[context.unit.app]
    unpack_charm(context.store.paths, charm, folder, app.url)
    links = instance.root / (TOOLS / context.unit.tag).relative_to("/")
    links.mkdir(parents=True, exist_ok=True)
    for name in list_tools():
        if not (links / name).is_symlink():
            (links / name).symlink_to("../hook-tool")
    own_socket = folder.parent / "agent.socket"
    if not own_socket.is_symlink():
        own_socket.symlink_to(SOCKETS / f"{context.unit.tag}.socket")


def run_in_context(
    context: HookContext,
    instance: Instance,
    argv: Sequence[str],
    out: Sink,
    err: Sink,
    timeout: float | None = None,
) -> int | None:
    """Run a program in the unit's charm folder with its hook tools.

    Args:
        out, err: are given each line of its standard output and standard error.
        timeout: seconds after which it is ended.
    Returns: its exit code, or None if it was ended.
    """
    variables = make_environment(context, context.model.config)
    command = instance.command(argv, str(locate_charm_folder(context.unit)))
    with serve(context, instance.sockets / f"{context.unit.tag}.socket") as stop_now:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=variables,
            # An interrupt at the terminal ends the command, not the hook.
            start_new_session=True,
        )
        pumps = [_pump(process.stdout, out), _pump(process.stderr, err)]
        stop_now.append(lambda: processes.kill(processes.list_tree(process.pid), timeout=1))
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            processes.kill(processes.list_tree(process.pid))
            process.wait()
            return None
        for pump in pumps:
            pump.join(DRAIN_TIMEOUT)
    return code


def wait_for_orphan(context_id: str) -> None:
    """Wait for the process of a hook whose command was killed; it goes on, as it would on Juju.

    Its hook tools no longer answer, so it soon ends; after ten minutes it is made to.
    """

    def orphans() -> list[int]:
        found = processes.find_by_environment(f"JUJU_CONTEXT_ID={context_id}")
        # Nothing that the hook has started in the machine, which may be a service.
        return [pid for pid in found if processes.is_outside(pid)]

    if not wait_until(lambda: not orphans(), ORPHAN_TIMEOUT):
        for orphan in orphans():
            processes.kill(processes.list_tree(orphan))


def _pump(stream: IO[bytes] | None, sink: Sink) -> threading.Thread:
    def pump() -> None:
        if stream is None:
            return
        with stream:
            for line in stream:
                sink(line.decode(errors="replace").rstrip("\n"))

    thread = threading.Thread(target=pump, daemon=True)
    thread.start()
    return thread


@contextmanager
def serve(context: HookContext, path: Path) -> Generator[list[Callable[[], None]]]:
    """Answer hook tools at a socket, each call in a thread of its own.

    Yields: a list; what is put into it is called when the charm asks for a reboot now.
    """
    stop_now: list[Callable[[], None]] = []
    path.unlink(missing_ok=True)
    if len(os.fsencode(path)) > MAX_SOCKET:
        raise LocalModelError(f"{path} is too long for a socket: set LOCALMODEL_RUN shorter")

    def answer(connection: socket.socket) -> None:
        with connection, connection.makefile("rb") as stream:
            try:
                context_id, name, stdin, *argv = _receive(stream)
            except (struct.error, ValueError):
                return
            if context_id == context.hook.context:
                reply = run_tool(context, name, argv, stdin)
            else:
                reply = Answer(1, stderr=f"ERROR {name}: this hook has ended\n")
            if context.wants_reboot == "now":
                # Before the tool is answered, or the charm would go on after its call.
                for stop in stop_now:
                    stop()
            try:
                connection.sendall(_pack([str(reply.code), reply.stdout, reply.stderr]))
            except BrokenPipeError:
                return

    def accept(listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=[connection], daemon=True).start()

    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        path.chmod(0o600)
        listener.listen(64)
        thread = threading.Thread(target=accept, args=[listener], daemon=True)
        thread.start()
        try:
            yield stop_now
        finally:
            # This wakes accept at once (unix(7), shutdown(2)).
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            path.unlink(missing_ok=True)


def _receive(stream: BufferedIOBase) -> list[str]:
    """Read a message: a count and so many strings, each after its length (32 bit, big-endian)."""

    def number() -> int:
        return struct.unpack(">I", stream.read(4))[0]

    return [stream.read(number()).decode(errors="replace") for _ in range(number())]


def _pack(strings: Sequence[str]) -> bytes:
    encoded = [s.encode() for s in strings]
    return struct.pack(">I", len(encoded)) + b"".join(
        struct.pack(">I", len(s)) + s for s in encoded
    )
