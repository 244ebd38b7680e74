#!/usr/bin/python3
"""Stands in for snapd on a machine that runs none: `snap` and `snapctl`, as one snap sees them.

A snap is unpacked in /snap/NAME/x1. What snapd keeps is in files below /var/lib/snapd-stand-in. As
snapd does, it runs the hook configure before it keeps options, keeps none if that fails, and
restarts services for a hook after that. The daemon's unit takes from it what strict confinement
takes of what this snap could use: other capabilities, the rest of the file system, control groups.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

NAME = "mprime"
SNAP = Path("/snap") / NAME / "x1"
DATA, COMMON = Path("/var/snap") / NAME / "x1", Path("/var/snap") / NAME / "common"
STATE = Path("/var/lib/snapd-stand-in")
OPTIONS, STAGED, QUEUE = STATE / "options", STATE / "staged", STATE / "queue"
CONNECTED = STATE / "connected"
SERVICE = f"snap.{NAME}.{NAME}.service"
UNIT = f"""\
[Unit]
Description=Service for snap application {NAME}.{NAME}
[Service]
ExecStart=/usr/bin/snap run {NAME}
ExecReload=/usr/bin/snap run --command=reload {NAME}
SyslogIdentifier={NAME}.{NAME}
Restart=always
RestartSec=2
TimeoutStopSec=90
WorkingDirectory={DATA}
CapabilityBoundingSet=CAP_CHOWN CAP_SETUID CAP_SETGID
NoNewPrivileges=yes
ProtectSystem=strict
ReadWritePaths={COMMON} {DATA} {STATE} /run
InaccessiblePaths=/sys/fs/cgroup /etc/docker /var/lib/juju
"""


def read(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text()) if file.exists() else {}


def write(file: Path, options: dict[str, Any]) -> None:
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps(options))
    draft.replace(file)


def put(options: dict[str, Any], words: list[str]) -> None:
    """Set KEY=VALUE: keys with dots are nested, and a value that is JSON is that."""
    for word in words:
        key, _, text = word.partition("=")
        *path, last = key.split(".")
        at = options
        for part in path:
            at = at.setdefault(part, {})
        try:
            at[last] = json.loads(text)
        except ValueError:
            at[last] = text


def describe() -> dict[str, Any]:
    sys.path.append(str(next(SNAP.glob("lib/*/site-packages"))))
    import yaml

    return yaml.safe_load((SNAP / "meta/snap.yaml").read_text())


def environment() -> dict[str, str]:
    found = {
        **os.environ,
        "SNAP": str(SNAP),
        "SNAP_NAME": NAME,
        "SNAP_INSTANCE_NAME": NAME,
        "SNAP_REVISION": "x1",
        "SNAP_DATA": str(DATA),
        "SNAP_COMMON": str(COMMON),
    }
    for name, value in describe()["environment"].items():
        found[name] = value.replace("$SNAP", found["SNAP"])
    return found


def run(word: str, app: str) -> None:
    """Become a command of the snap, as `snap run` does."""
    key = "reload-command" if word == "reload" else "command"
    program, *arguments = describe()["apps"][app][key].split()
    program = str(SNAP / program)
    os.execve(program, [program, *arguments], environment())  # noqa: S606


def run_hook(name: str) -> subprocess.CompletedProcess[str]:
    hook = SNAP / "meta/hooks" / name
    told = {**environment(), "SNAP_CONTEXT": "hook"}
    return subprocess.run([hook], env=told, capture_output=True, text=True, check=False)


def set_options(words: list[str]) -> int:
    options = read(OPTIONS)
    put(options, words)
    write(STAGED, options)
    QUEUE.unlink(missing_ok=True)
    done = run_hook("configure")
    if done.returncode:
        STAGED.unlink()
        reason = done.stderr.strip()
        print("error: cannot perform the following tasks:", file=sys.stderr)
        print(
            f'- Run configure hook of "{NAME}" snap (run hook "configure": {reason})',
            file=sys.stderr,
        )
        return 1
    # What the daemon has told meanwhile stays: snapd changes the keys that were given alone.
    STAGED.unlink()
    options = read(OPTIONS)
    put(options, words)
    write(OPTIONS, options)
    if QUEUE.exists():
        restart()
    return 0


def restart() -> None:
    """Reload the snap's services, but one that is stopped."""
    active = subprocess.run(["/usr/bin/systemctl", "is-active", "-q", SERVICE], check=False)
    if active.returncode == 0:
        subprocess.run(["/usr/bin/systemctl", "reload-or-restart", SERVICE], check=True)


def snapctl(words: list[str]) -> int:
    verb, *rest = words
    in_hook = STAGED.exists() and "SNAP_CONTEXT" in os.environ
    if verb == "get":
        assert rest[0] == "-d", rest
        options = read(STAGED if in_hook else OPTIONS)
        print(json.dumps({key: options[key] for key in rest[1:] if key in options}, indent=4))
    elif verb == "set":
        options = read(OPTIONS)
        put(options, rest)
        write(OPTIONS, options)
    elif verb == "is-connected":
        return 0 if CONNECTED.exists() else 1
    elif verb == "restart":
        assert rest == ["--reload", NAME], rest
        if in_hook:
            QUEUE.touch()
        else:
            restart()
    else:
        raise ValueError(verb)
    return 0


def snap(words: list[str]) -> int:
    verb, *rest = words
    if verb == "install":
        for folder in (DATA, COMMON, STATE):
            folder.mkdir(parents=True, exist_ok=True)
        SNAP.parent.mkdir(parents=True)
        subprocess.run(["/usr/bin/unsquashfs", "-q", "-d", SNAP, rest[0]], check=True)
        Path("/etc/systemd/system", SERVICE).write_text(UNIT)
        subprocess.run(["/usr/bin/systemctl", "daemon-reload"], check=True)
        subprocess.run(["/usr/bin/systemctl", "start", SERVICE], check=True)
        return set_options([])
    if verb == "connect":
        CONNECTED.touch()
    elif verb == "run":
        *option, app = rest
        run(option[0].removeprefix("--command=") if option else "", app)
    elif verb == "set":
        return set_options(rest[1:])
    elif verb == "get":
        at: Any = read(OPTIONS)
        for part in rest[1].split("."):
            at = at[part]
        print(json.dumps(at) if isinstance(at, dict) else at)
    elif verb in ("start", "stop"):
        subprocess.run(["/usr/bin/systemctl", verb, SERVICE], check=True)
    elif verb == "remove":
        subprocess.run(["/usr/bin/systemctl", "stop", SERVICE], check=True)
        done = run_hook("remove")
        print(done.stderr, end="", file=sys.stderr)
        for folder in (SNAP.parent, DATA.parent):
            subprocess.run(["/usr/bin/rm", "-r", folder], check=True)
        return done.returncode
    else:
        raise ValueError(verb)
    return 0


if __name__ == "__main__":
    sys.exit({"snap": snap, "snapctl": snapctl}[Path(sys.argv[0]).name](sys.argv[1:]))
