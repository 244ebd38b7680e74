"""Runs as a unit on a machine that faults hit: lets it recover, and tells what is not as before.

A hook is run twice: the first repairs what there is to repair, the second must find
nothing left to change.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.probes.hook import DISPATCH, DOCKER, HOOK, look_at_files
from benchmarks.probes.searches import CHARM, Engine

WORK = Path("/var/lib/mprime/mprime-0")
NEIGHBOUR = "neighbour"
TIMEOUT = 60.0  # seconds for what must come by itself
# Of a network device: not its counters, nor its state, which changes by itself.
DEVICE = ("ifindex", "ifname", "mtu", "master", "address")
# What each program says must be the same before and after; the -s of nft leaves counters out.
LOOKS = {
    "address": ("/usr/sbin/ip", "-4", "-o", "address"),
    "route": ("/usr/sbin/ip", "-4", "route", "show", "table", "all"),
    "rules": ("/usr/sbin/nft", "-a", "-s", "list", "ruleset"),
    "queue": ("/usr/sbin/tc", "qdisc"),
}

_REPORT = re.compile(r"\bM(\d+) Iter# = (\d+) ")
_START = re.compile(r"Restarting M(\d+) at iteration = (\d+)|no (restart) file found")
_OUTCOME = re.compile(r"^M\d+ is (?:not prime|a known MERSENNE PRIME|a \(probable\))", re.M)


class Start(NamedTuple):
    """A program that has begun or gone on.

    Attributes:
        at: the iteration that it went on from; 0 where it began.
        reports: the iterations that it had reported before, in order, each before it wrote its
            checkpoint.
    """

    exponent: int
    at: int
    reports: tuple[int, ...]

    def count_lost(self, written: int = 0) -> int:
        """Return how many whole checkpoints came after the one that it went on from.

        Args:
            written: an iteration whose checkpoint is known to have been whole.
        """
        # A kill may have come between the last report and its checkpoint, and the next report
        # comes after that.
        whole = max(written, *self.reports[-2:-1], 0)
        return len({each for each in self.reports if self.at < each <= whole})


def read_starts(exponent: int, status: str) -> Iterator[Start]:
    """Yield the starts that a status file of Mlucas tells of, in order."""
    reports: list[int] = []
    for line in status.splitlines():
        if match := _REPORT.search(line):
            reports.append(int(match[2]))
        elif match := _START.search(line):
            at = int(match[2] or 0)
            yield Start(exponent, at, tuple(reports))
            # What comes later has only what is written since to go on from.
            reports = [each for each in reports if each <= at]


def read_checkpoint(data: bytes, exponent: int) -> int:
    """Return the iteration of a savefile of Mlucas; 0 if it is not whole.

    Its header is two bytes and the iteration in eight, lowest first; the residue follows, with
    eight bits of the exponent in each byte, and then checksums (Mlucas.c, write_ppm1_savefiles).
    """
    if len(data) <= 10 + (exponent + 7) // 8:
        return 0
    return int.from_bytes(data[2:10], "little")


def read_search() -> dict[str, Any]:
    """Return where the search is, by its newest whole checkpoint, and all its starts."""
    starts: list[Start] = []
    finished = []
    for file in WORK.glob("p*.stat"):
        exponent, status = int(file.stem[1:]), file.read_text()
        starts += read_starts(exponent, status)
        if _OUTCOME.search(status):
            finished.append(exponent)
    exponent, iteration = 0, 0
    # The list is rewritten between two exponents, and then not there for a moment.
    if listed := re.search(r"^Test=[^,]*,(\d+),", read_file(WORK / "worktodo.ini").decode(), re.M):
        exponent = int(listed[1])
        files = (WORK / f"{letter}{exponent}" for letter in "pq")
        iteration = max(read_checkpoint(read_file(file), exponent) for file in files)
    return {
        "exponent": exponent,
        "iteration": iteration,
        "finished": sorted(finished),
        "starts": starts,
    }


def read_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def run(*command: str) -> str:
    """Return what a program says, also where it fails."""
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    return done.stdout + done.stderr


def dispatch() -> str:
    """Run the hook; return what is wrong with that, or with what the unit tells then."""
    done = subprocess.run([DISPATCH], check=False, env=HOOK, stdout=subprocess.DEVNULL)
    if done.returncode:
        return f"the hook failed with {done.returncode}"
    status = json.loads(run("status-get", "--include-data", "--format=json"))
    return "" if status["status"] == "active" else f"{status['status']}: {status['message']}"


def look() -> set[tuple[str, str]]:
    """Return what the machine is like, as far as a hook could change it: (kind, what) each."""
    seen = {(kind, line) for kind, words in LOOKS.items() for line in run(*words).splitlines()}
    links = json.loads(run("/usr/sbin/ip", "-j", "link"))
    seen |= {("device", str([link.get(key) for key in DEVICE])) for link in links}
    for link in links:
        if link["ifname"].startswith("fan-"):
            for direction in ("ingress", "egress"):
                said = run("/usr/sbin/tc", "filter", "show", "dev", link["ifname"], direction)
                seen.add(("program", f"{link['ifname']} {said}"))
    engine = Engine("engine")
    seen |= {("network", each["Id"]) for each in engine.ask("GET", "/networks")}
    seen |= {("image", each["Id"]) for each in engine.ask("GET", "/images/json")}
    for each in engine.ask("GET", "/containers/json?all=1"):
        there = engine.inspect(each["Id"])
        seen.add(("container", f"{there['Id']} {there['Name']} {there['State']['StartedAt']}"))
    seen |= {("file", f"{path} {facts}") for path, facts in look_at_files()}
    settings = sorted(WORK.glob("mlucas.*"))
    return seen | {("file", f"{path} {path.stat().st_mtime_ns}") for path in settings}


def describe_drift(before: set[tuple[str, str]], after: set[tuple[str, str]]) -> list[str]:
    """Return what differs, in words."""
    gone = [f"the hook took away {kind}: {what}" for kind, what in sorted(before - after)]
    return gone + [f"the hook made {kind}: {what}" for kind, what in sorted(after - before)]


def wait(condition: Callable[[], bool]) -> bool:
    """Wait until something is so; return whether it came."""
    ends = time.monotonic() + TIMEOUT
    while not condition():
        if time.monotonic() > ends:
            return False
        time.sleep(0.05)
    return True


def runs(*containers: str) -> bool:
    """Return whether containers run; not while the engine does not answer."""
    try:
        return all(Engine("engine").inspect(name)["State"]["Running"] for name in containers)
    except (OSError, HTTPException, RuntimeError):
        return False


def repair(seconds: dict[str, float], unit: str) -> list[str]:
    """Let the hook repair what it can; return what is not as it should be afterwards.

    Args:
        seconds: takes down how long that took, as the unit's.
    """
    began = time.monotonic()
    problems = [dispatch()]
    seconds[unit] = time.monotonic() - began
    if not wait(lambda: runs(CHARM, NEIGHBOUR)):
        problems.append("not all containers run again")
    before = look()
    problems.append(dispatch())
    return [*filter(None, problems), *describe_drift(before, look())]


def check_fan(peer: str, seconds: dict[str, float]) -> list[str]:
    """Return what is wrong with the fan, whose containers must reach those of another host.

    Args:
        seconds: takes down how long fanctl took.
    """
    fanctl = (str(Path("venv/bin/python").absolute()), "-m", "fannet")
    began = time.monotonic()
    states = json.loads(run(*fanctl, "show", "--format", "json"))
    seconds["fanctl"] = time.monotonic() - began
    problems = [f"fan {each['overlay']}: {text}" for each in states for text in each["problems"]]
    if len(states) != 1:
        problems.append(f"not one fan is up: {[state['overlay'] for state in states]}")
    checked = subprocess.run([*fanctl, "check"], check=False, capture_output=True, text=True)
    if checked.returncode:
        problems.append(f"fanctl check: {checked.stdout}{checked.stderr}")
    said = ""

    def is_reached() -> bool:
        # The engine may not let a program into a container yet, since it was only just told of it.
        nonlocal said
        ask = ("/usr/bin/python3", "-m", "benchmarks.probes.stream", "ask", peer, "5")
        done = subprocess.run(
            [DOCKER, "exec", NEIGHBOUR, *ask], check=False, capture_output=True, text=True
        )
        said = done.stderr.strip()
        return done.returncode == 0

    if not wait(is_reached):
        problems.append(f"a container reaches {peer} no more: {said or 'no answer'}")
    return problems


def wait_for_progress(exponent: int, iteration: int) -> list[str]:
    """Wait until the search has a later checkpoint; return what is wrong if it has not."""

    def has_gone_on() -> bool:
        now = read_search()
        return (now["exponent"], now["iteration"]) > (exponent, iteration)

    if wait(has_gone_on):
        return []
    return [f"the search does not go on beyond iteration {iteration} of M{exponent}"]


def main() -> None:
    """Do what the arguments say, and print what was found."""
    verb, *words = sys.argv[1:]
    seconds: dict[str, float] = {}
    found: dict[str, Any] = {"drift": [], "seconds": seconds}
    if verb != "search":
        found["drift"] = repair(seconds, verb)
    if verb == "fan":
        peer, exponent, iteration = words
        found["drift"] += check_fan(peer, seconds)
        found["drift"] += wait_for_progress(int(exponent), int(iteration))
    if verb != "mprime":
        found["search"] = read_search()
    print(json.dumps(found))


if __name__ == "__main__":
    main()
