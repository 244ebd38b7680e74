"""Runs on the machine with the charm's search: makes the others, switches and watches them.

The others are the same container, from its own inspection, held back in other ways; and `bare`,
the same program with the same arguments, as a process of the machine.
"""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

CHARM = "mprime-0"
OTHER = "spare-0"  # another charm's, of the same image
BOTH = "both"
BARE = "bare"
# What is changed in the charm's container, by the name of the copy.
COPIES: dict[str, dict[str, int]] = {"shares": {"CpuShares": 2}, "unlimited": {}}
CONTAINERS = (CHARM, OTHER, *COPIES)
# Which containers work in a setting that is not named after the only one.
WORKING = {BOTH: (CHARM, OTHER)}
FOLDER = Path("/var/lib/spare-cpu")
OWNER = 65532  # of the images' work directories
# Takes half an hour of a core, and reports every few seconds.
EXPONENT = 1257787
WORK_LIST = f"Test={'0' * 32},{EXPONENT},60,1\n"
REPORT = b"Iter# ="
ITERATIONS = 1000  # between two reports
# The charm chooses more for the exponents of its own list, which are smaller: with 8000, three
# reports of this one take a minute.
SETTINGS = f"CheckInterval = {ITERATIONS}\n"
TIMEOUT = 60.0  # seconds for a search to make its first reports, or to be paused


class Engine(http.client.HTTPConnection):
    """The Docker Engine's API, from within the machine."""

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect("/run/docker.sock")

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the answer. Raises RuntimeError where the engine refuses."""
        headers = {"Content-Type": "application/json"}
        self.request(method, path, json.dumps(body) if body else None, headers)
        answer = self.getresponse()
        text = answer.read().decode()
        if answer.status >= 300 and answer.status != 304:
            raise RuntimeError(f"{method} {path}: {answer.status} {text}")
        return json.loads(text) if text else None

    def inspect(self, name: str) -> dict[str, Any]:
        return self.ask("GET", f"/containers/{name}/json")


def run(*command: str) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def start_all() -> int:
    """Give every search the same long work, and pause each once it works.

    Returns:
        The core that they all work on, which the charm chose.

    Raises:
        RuntimeError: the charm's search is not bound to a core; that is what is measured here.
    """
    engine = Engine("engine")
    there = engine.inspect(CHARM)
    engine.ask("POST", f"/containers/{CHARM}/stop")
    (find_work(CHARM) / "worktodo.ini").write_text(WORK_LIST)
    (find_work(CHARM) / "mlucas.ini").write_text(SETTINGS)
    for name, changes in COPIES.items():
        work = FOLDER / name
        copy_work(work)
        limits = {**there["HostConfig"], "CgroupParent": "", **changes}
        limits["Mounts"] = [{**mount, "Source": str(work)} for mount in limits["Mounts"]]
        wanted = {**there["Config"], "HostConfig": limits}
        engine.ask("POST", f"/containers/create?name={name}", wanted)
    engine.ask("POST", f"/containers/{OTHER}/stop")
    copy_work(find_work(OTHER))
    start_bare(there)
    for name in CONTAINERS:
        engine.ask("POST", f"/containers/{name}/start")
    for name in (*CONTAINERS, BARE):
        switch(name)
        watch(name, reports=2)
    switch()
    core = there["Config"]["Cmd"][-2:]
    if core[:1] != ["-cpu"]:
        raise RuntimeError(f"the search is not bound to a core: {there['Config']['Cmd']}")
    return int(core[1])


def find_work(name: str) -> Path:
    """Return where a search's directory is on the machine."""
    if name == BARE:
        return FOLDER / BARE / "work"
    return Path(Engine("engine").inspect(name)["Mounts"][0]["Source"])


def copy_work(work: Path) -> None:
    """Give another search the settings that the charm wrote, and the work."""
    shutil.copytree(find_work(CHARM), work, dirs_exist_ok=True)
    for path in (work, *work.iterdir()):
        os.chown(path, OWNER, OWNER)


def start_bare(there: dict[str, Any]) -> None:
    """Run the image's program in the image's files, as a service with no limit."""
    root = FOLDER / BARE
    root.mkdir(parents=True)
    archive = FOLDER / "image.tar"
    run("/usr/bin/docker", "export", f"--output={archive}", CHARM)
    run("/usr/bin/tar", "--extract", f"--file={archive}", f"--directory={root}")
    copy_work(root / "work")
    config = there["Config"]
    run(
        "/usr/bin/systemd-run",
        f"--unit={BARE}",
        *(f"--setenv={variable}" for variable in config["Env"]),
        "/usr/sbin/chroot",
        f"--userspec={config['User']}",
        str(root),
        *config["Entrypoint"],
        *config["Cmd"],
    )


def switch(name: str | None = None) -> None:
    """Run one search, or both charms', and pause the others; without a name, pause all."""
    engine = Engine("engine")
    for container in CONTAINERS:
        state = engine.inspect(container)["State"]
        if state["Paused"] == (container in WORKING.get(name or "", (name,))):
            verb = "unpause" if state["Paused"] else "pause"
            ask_until_obeyed(engine, f"/containers/{container}/{verb}")
    signal = "CONT" if name == BARE else "STOP"
    run("/usr/bin/systemctl", "kill", f"--signal={signal}", BARE)


def ask_until_obeyed(engine: Engine, path: str) -> None:
    """Ask the engine until it obeys: what gets no time at the moment can't be paused either."""
    ends = time.monotonic() + TIMEOUT
    while True:
        try:
            engine.ask("POST", path)
        except RuntimeError:
            if time.monotonic() > ends:
                raise
        else:
            return


def restart(name: str) -> None:
    """Restart one search from its checkpoint, and pause the others.

    A process keeps the memory that it was given, and where that lies decides how fast it is.
    """
    switch(name)
    if name == BARE:
        run("/usr/bin/systemctl", "restart", BARE)
    else:
        Engine("engine").ask("POST", f"/containers/{name}/restart")


def watch(name: str, seconds: float = 0, reports: int = 0, margin: float = 0) -> dict[str, float]:
    """Return a search's share of one core's time and its iterations per second.

    Of both charms' searches, the share of the two, and the first one's part of that.

    Args:
        seconds: how long to watch at least; without reports, exactly.
        reports: how many of the program's reports to see at least; its speed needs two.
        margin: how long to sleep before and after, in seconds.

    Raises:
        RuntimeError: it reports nothing.
    """
    if name == BARE:
        pids = [int(run("/usr/bin/systemctl", "show", "--property=MainPID", "--value", BARE))]
    else:
        engine = Engine("engine")
        pids = [engine.inspect(each)["State"]["Pid"] for each in WORKING.get(name, (name,))]
    report = find_work(WORKING.get(name, (name,))[0]) / f"p{EXPONENT}.stat"
    time.sleep(margin)
    began, used, seen = time.monotonic(), [*map(read_time, pids)], count_reports(report)
    moments: list[float] = []
    while (lasted := time.monotonic() - began) < seconds or len(moments) < reports:
        if lasted > max(seconds, TIMEOUT):
            made = f"made {len(moments)} of {reports} reports in {lasted:.0f} s"
            raise RuntimeError(f"the search {name} {made}; {describe(name)}")
        time.sleep(0.02 if reports else seconds)
        if reports and (count := count_reports(report)) > seen:
            seen = count
            moments.append(time.monotonic())
    had = [read_time(pid) - before for pid, before in zip(pids, used, strict=True)]
    found = {"cpu": sum(had) / (time.monotonic() - began)}
    if len(had) > 1 and sum(had):
        found["part"] = had[0] / sum(had)
    time.sleep(margin)
    if reports:
        found["iterations"] = ITERATIONS * (len(moments) - 1) / (moments[-1] - moments[0])
    return found


def describe(name: str) -> str:
    """Return whether a search runs, and what its program wrote last."""
    if name == BARE:
        state = ("/usr/bin/systemctl", "show", "--property=ActiveState,SubState,Result", BARE)
        words = ("/usr/bin/journalctl", f"--unit={BARE}", "--lines=5", "--output=cat")
    else:
        state = ("/usr/bin/docker", "inspect", "--format={{json .State}}", name)
        words = ("/usr/bin/docker", "logs", "--tail=5", name)
    return f"its state: {' '.join(run(*state).split())}; its last words: {run(*words)}"


def count_reports(file: Path) -> int:
    return file.read_bytes().count(REPORT) if file.exists() else 0


def read_time(pid: int) -> float:
    """Return the seconds of processor time that a process has had (proc(5), utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Do what the arguments say, and print what was found."""
    verb, *words = sys.argv[1:]
    try:
        if verb == "start":
            print(start_all())
        elif verb == "switch":
            switch(*words)
        elif verb == "restart":
            restart(*words)
        else:
            name, seconds, reports, margin = words
            print(json.dumps(watch(name, float(seconds), int(reports), float(margin))))
    except subprocess.CalledProcessError as error:
        sys.exit(f"{error}: {error.stderr}")
    except (OSError, RuntimeError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
