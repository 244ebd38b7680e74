"""Runs as a unit, with its hook tools: what an update-status takes, is made of, and changes."""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOOK = {
    **os.environ,
    "JUJU_DISPATCH_PATH": "hooks/update-status",
    "JUJU_HOOK_NAME": "update-status",
}
DISPATCH = "./dispatch"
# In the dispatch that charmcraft writes, before what the interpreter is to run.
PYTHON = 'exec "${python_path}" '
PARTS = Path(__file__).with_name("hook_parts.py")
DOCKER = "/usr/bin/docker"
PAGE = os.sysconf("SC_PAGE_SIZE")
# What daemons would write if the hook asked them to.
WATCHED = ("/etc", "/run/systemd/system", "/run/systemd/transient")
CALLS = (
    "open,openat,openat2,creat,truncate,ftruncate,rename,renameat,renameat2,link,linkat,symlink,"
    "symlinkat,unlink,unlinkat,mkdir,mkdirat,rmdir,mknod,mknodat,chmod,fchmod,fchmodat,chown,"
    "fchown,lchown,fchownat,utimensat,setxattr,fsetxattr,lsetxattr,mount,umount2"
)
_OPENED = re.compile(r"\bopen(?:at2?)?\(")
_WRITING = re.compile(r"O_WRONLY|O_RDWR|O_CREAT|O_TRUNC")
_RESULT = re.compile(r"= \d+<(.*)>$")
_QUOTED = re.compile(r'"([^"]*)"')
_HANDLE = re.compile(r"\(\d+<([^>]*)>")


def measure() -> dict[str, float]:
    """Return seconds, seconds of processor time, and the most bytes at any time.

    Time and memory are of two runs: to look at the memory takes time from the hook.
    """
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([DISPATCH], check=True, env=HOOK)
    seconds, used = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime
    return {"seconds": seconds, "cpu": cpu, **measure_memory()}


def measure_memory() -> dict[str, int]:
    """Return the most bytes of the charm's process, and those of all its processes together."""
    most = {"bytes": 0, "bytes-together": 0}
    with subprocess.Popen([DISPATCH], env=HOOK) as hook:
        while hook.poll() is None:
            sizes = list_sizes(hook.pid)
            most["bytes"] = max(most["bytes"], sum(sizes[:1]))
            most["bytes-together"] = max(most["bytes-together"], sum(sizes))
            time.sleep(0.002)
    if hook.returncode:
        raise SystemExit(f"{DISPATCH} exited with {hook.returncode}")
    return most


def measure_parts() -> dict[str, dict[str, float]]:
    """Return what a run of the hook is made of: the seconds of each part, and how many they were.

    Its interpreter is what comes before and after the charm's own code, with the dispatch's shell.
    """
    text = Path(DISPATCH).read_text()
    if text.count(PYTHON) != 1:
        raise SystemExit(f"{DISPATCH} does not start the charm with {PYTHON}")
    text = text.replace(PYTHON, f"{PYTHON}{PARTS} ")
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "parts.json"
        began = time.monotonic()
        words = ["/bin/sh", "-c", text, DISPATCH]
        subprocess.run(words, check=True, env={**HOOK, "HOOK_PARTS": str(result)})
        ended = time.monotonic()
        found = json.loads(result.read_text())
    interpreter = found["began"] - began + ended - found["ended"]
    return {"interpreter": {"seconds": interpreter, "times": 1}, **found["parts"]}


def list_sizes(root: int) -> list[int]:
    """Return the resident bytes of a process, if it is still there, and of all beneath it.

    Pages that processes share count for each.
    """
    sizes: dict[int, tuple[int, str, int, int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                fields = (folder / "stat").read_text().rpartition(")")[2].split()
                program = str((folder / "exe").readlink())
            except OSError:
                continue  # it has ended
            sizes[int(folder.name)] = (int(fields[1]), program, int(fields[20]), int(fields[21]))
    found: list[int] = []
    beneath = {root}
    for pid in sorted(sizes):
        parent, program, virtual, resident = sizes[pid]
        if pid != root and parent not in beneath:
            continue
        beneath.add(pid)
        # Between vfork and exec a child is there with all of its parent's memory.
        if pid == root or sizes[parent][1:3] != (program, virtual):
            found.append(resident * PAGE)
    return found


def find_changes() -> list[str]:
    """Return what a run of the hook changes outside of its charm's folder, by path or event."""
    log = Path("/tmp/hook.trace")  # noqa: S108 - on a machine of the benchmark's own
    before, since = (look_at_files(), identify()), time.time()
    subprocess.run(
        ["/usr/bin/strace", "-f", "-y", "-z", "-e", f"trace={CALLS}", "-o", str(log), DISPATCH],
        check=True,
        env=HOOK,
    )
    after = (look_at_files(), identify())
    changes = find_writes(log.read_text(errors="replace"), str(Path.cwd()))
    changes += [path for path, _ in before[0] ^ after[0]]
    changes += [f"container {line}" for line in before[1] ^ after[1]]
    shown = subprocess.run(
        [DOCKER, "events", f"--since={since:f}", f"--until={time.time():f}"],
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted({*changes, *shown.stdout.splitlines()})


def find_writes(trace: str, home: str) -> list[str]:
    """Return the paths that a trace shows to be written or changed, outside of a folder."""
    found = []
    for line in trace.splitlines():
        if "(" not in line or (_OPENED.search(line) and not _WRITING.search(line)):
            continue
        # An opened file's path stands in full in the result, a changed one's in the arguments.
        match = _RESULT.search(line) or _HANDLE.search(line)
        paths = [match[1]] if match else _QUOTED.findall(line)
        found += [
            path
            for path in paths
            # A path that is not absolute is one of the charm's: that is where a hook runs.
            if path.startswith("/") and not path.startswith((f"{home}/", "/dev/", "/proc/self/"))
        ]
    return found


def look_at_files() -> set[tuple[str, tuple[int, ...]]]:
    seen = set()
    for root in filter(os.path.exists, WATCHED):
        for path in (Path(root), *Path(root).rglob("*")):
            there = path.lstat()
            facts = (there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns)
            seen.add((str(path), facts))
    return seen


def identify() -> set[str]:
    """Return of each container what changes when it is replaced or restarted."""

    def ask(*words: str) -> list[str]:
        command = [DOCKER, *words]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        return done.stdout.splitlines()

    there = ask("ps", "--all", "--quiet")
    form = "--format={{.Name}}: {{.Id}}, since {{.State.StartedAt}}"
    return set(ask("inspect", form, *there)) if there else set()


def main() -> None:
    """Do what the argument says, and print what was found."""
    verbs = {"time": measure, "parts": measure_parts, "changes": find_changes}
    print(json.dumps(verbs[sys.argv[1]]()))


if __name__ == "__main__":
    main()
