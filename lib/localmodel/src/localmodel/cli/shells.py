"""Shells on machines, and copies to and from them."""

from __future__ import annotations

import argparse
import os
import re
import shlex
import subprocess
from pathlib import Path
from typing import NamedTuple

from localmodel.cli.arguments import MODEL, arg, flag, ignored
from localmodel.cli.registry import juju
from localmodel.cli.session import choose_model, open_store
from localmodel.errors import LocalModelError
from localmodel.machines.instance import Instance
from localmodel.machines.template import USER

# As sshd does: only root logs in while the machine boots or shuts down (pam_nologin(8)).
LOGIN = """\
if [ "$1" != root ] && [ -e /run/nologin ]; then cat /run/nologin >&2; exit 255; fi
exec /usr/bin/su --login "$@"
"""


def login(instance: Instance, command: str | None, user: str = USER) -> list[str]:
    """Return the command line that logs a user in on a machine, for a command or a shell.

    Raises: LocalModelError if the machine is down.
    """
    words = [user, *(["--command", command] if command is not None else [])]
    terminal = f"TERM={os.environ.get('TERM', 'dumb')}"
    return instance.command([terminal, "/bin/sh", "-c", LOGIN, "sh", *words])


@juju.command(
    "ssh",
    MODEL,
    flag("--no-host-key-checks", help=argparse.SUPPRESS),
    ignored("--container", value=True),
    ignored("--pty", value=True),
    ignored("--proxy"),
    arg("target", metavar="[USER@]UNIT|MACHINE"),
    arg("command", nargs=argparse.REMAINDER),
    passes_on=True,
)
def ssh(args: argparse.Namespace) -> int:
    """Open a shell on a machine, as the user ubuntu, or run a command in one."""
    user, _, target = args.target.rpartition("@")
    words = args.command[1:] if args.command[:1] == ["--"] else args.command
    command = " ".join(words) if words else None
    argv = login(_find_machine(args.model, target), command, user or USER)
    code = subprocess.run(argv, check=False).returncode
    # ssh(1): 255 where the connection ended before the command.
    return code if code >= 0 else 255


@juju.command(
    "scp",
    MODEL,
    flag("-r", dest="recursive", help="also copy folders"),
    ignored("-C"),
    ignored("-p"),
    ignored("-q"),
    flag("--no-host-key-checks", help=argparse.SUPPRESS),
    ignored("--container", value=True),
    ignored("--proxy"),
    arg("sources", nargs="+", metavar="[[USER@]UNIT|MACHINE:]PATH"),
    arg("destination", metavar="[[USER@]UNIT|MACHINE:]PATH"),
)
def scp(args: argparse.Namespace) -> None:
    """Copy files to or from a machine, as the user ubuntu; a machine's path may be a pattern."""
    sources = [_parse_place(args.model, text) for text in args.sources]
    destination = _parse_place(args.model, args.destination)
    if any((source.instance is None) == (destination.instance is None) for source in sources):
        raise LocalModelError("one of source and destination must be a machine's, as 0:PATH")
    found = [(source, *file) for source in sources for file in _list_sources(source)]
    if len(found) > 1 and not _succeeds(destination, f"test -d {shlex.quote(destination.path)}"):
        raise LocalModelError(f"{args.destination} is not a folder, which several files go into")
    for source, kind, path in found:
        if kind == "folder" and not args.recursive:
            raise LocalModelError(f"{path} is a folder: give -r")
        _copy(source, kind, path, destination)


class Place(NamedTuple):
    """A side of a copy: a path of a user's on a machine, or of this host's for no machine."""

    instance: Instance | None
    user: str
    path: str

    def command(self, script: str) -> list[str]:
        """Return the command line that runs a script of the shell there."""
        if self.instance is None:
            return ["/bin/sh", "-c", script]
        return login(self.instance, script, self.user)


def _parse_place(model: str | None, text: str) -> Place:
    """Read what scp(1) takes: before a colon is a machine, unless a path is before it."""
    target, colon, path = text.partition(":")
    if not colon or not re.match(r"^([^@/]+@)?[^./@][^/@]*(/(\d+|leader))?$", target):
        return Place(None, "", text)
    user, _, name = target.rpartition("@")
    return Place(_find_machine(model, name), user or USER, path or ".")


# Tells of each file of a pattern what it is; run by the shell of its place.
FIND = """\
for f in {pattern}; do
    if [ ! -e "$f" ]; then k=missing; elif [ ! -r "$f" ]; then k=unreadable
    elif [ -d "$f" ]; then k=folder; else k=file; fi
    printf '%s %s\\0' "$k" "$f"
done
"""


def _list_sources(place: Place) -> list[tuple[str, str]]:
    """Return the kind and path of each file that a source means. Raises: LocalModelError."""
    pattern = shlex.quote(place.path)
    if place.instance is not None:
        # As scp's server does; the shell here has filled in patterns of this host's.
        pattern = re.sub(r"[^\w@%+=:,./*?\[\]-]", lambda m: shlex.quote(m.group()), place.path)
    script = FIND.format(pattern=pattern)
    done = subprocess.run(place.command(script), capture_output=True, text=True, check=False)
    if done.returncode:
        raise LocalModelError(f"cannot look at {place.path}: {done.stderr.strip()}")
    found = [(k, f) for k, _, f in (line.partition(" ") for line in done.stdout.split("\0")[:-1])]
    for kind, path in found:
        if kind == "missing":
            raise LocalModelError(f"{path}: No such file or directory")
        if kind == "unreadable":
            raise LocalModelError(f"{path}: Permission denied")
    return found


def _succeeds(place: Place, script: str) -> bool:
    return subprocess.run(place.command(script), check=False).returncode == 0


def _copy(source: Place, kind: str, path: str, destination: Place) -> None:
    """Copy a file or a folder, into the destination if that is a folder."""
    name = shlex.quote(Path(path).resolve().name if path in (".", "..") else Path(path).name)
    into = f't={shlex.quote(destination.path)}; [ ! -d "$t" ] || t=$t/{name}'
    # Piped through cat and tar, which open each side's files in its own root.
    if kind == "folder":
        reader = f"exec tar -C {shlex.quote(path)} -cf - ."
        writer = f'{into}; mkdir -p -- "$t" && exec tar -C "$t" --no-same-owner -xf -'
    else:
        reader, writer = f"exec cat -- {shlex.quote(path)}", f'{into}; exec cat >"$t"'
    with subprocess.Popen(source.command(reader), stdout=subprocess.PIPE) as first:
        second = subprocess.run(destination.command(writer), stdin=first.stdout, check=False)
    if first.returncode or second.returncode:
        raise LocalModelError(f"copying {path} to {destination.path} failed")


def _find_machine(given: str | None, target: str) -> Instance:
    """Return the machine that a unit's or a machine's name stands for."""
    store = open_store()
    model = store.load(choose_model(store, given))
    number = model.unit(target).machine if "/" in target else target
    machine = model.machine(number)
    return Instance(store.paths, machine.name, machine.address)
