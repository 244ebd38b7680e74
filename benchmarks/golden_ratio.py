"""Digits of the golden ratio, from the start to the verified file: images/golden-ratio and GMP.

All ways run in turn on one machine of a local model, upon the same libraries of Debian trixie; GMP
has one core, since it knows no threads.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, Protocol, TypedDict

import jubilant

from benchmarks.figures import Figure, MeasureError, Outcome, Panel, Report, end_round
from benchmarks.probes.golden import BARE, CONTAINER, GMP
from tools.image import IMAGES, build_base
from tools.instance import own_instance, sudo

PROBES = Path(__file__).parent / "probes"
# In a folder that the user may make whom ssh lets in, and that scp copies to.
FOLDER = "/tmp/golden"  # noqa: S108 - on a machine of the benchmark's own
WAYS = {GMP: "GMP", BARE: "golden-ratio", CONTAINER: "in a container"}
# How often a round measures each. What takes long has fewer turns, GMP one of the longest.
TURNS = {10**6: 5, 10**7: 3, 10**8: 3}
LARGEST = max(TURNS)

# On the machine as root: makes the image, its file system, and the program that uses GMP.
PREPARE = """
set -eu
cd "$1"
apt-get update -q
apt-get install -q -y --no-install-recommends docker.io
docker import base.tar localhost/base:latest
docker build --quiet --build-arg BASE=localhost/base:latest --tag golden-ratio:latest image
docker build --quiet --tag gmp:latest gmp
mkdir root
image=$(docker create golden-ratio:latest)
gmp=$(docker create gmp:latest true)
docker export "$image" | tar -x -C root
docker cp "$gmp:/golden-gmp" golden-gmp
docker rm "$image" "$gmp"
"""
GMP_IMAGE = """\
FROM localhost/base:latest
RUN apt-get update && apt-get install --yes --no-install-recommends gcc libc6-dev libgmp-dev
COPY golden_gmp.c /
RUN gcc -O3 -static -o /golden-gmp /golden_gmp.c -lgmp
"""


class Run(TypedDict):
    """One computation: its seconds, those of a processor, its most memory, its digits' digest."""

    seconds: float
    processor: float
    bytes: int
    digest: str


# The runs of a round, by digits and way.
Round = dict[int, dict[str, list[Run]]]


class Ground(Protocol):
    """Where it is measured."""

    def compute(self, way: str, digits: int) -> Run:
        """Compute digits in one way."""
        ...


class Machine:
    """A machine of a model with the image, the program alone, and the one that uses GMP."""

    def __init__(self, juju: jubilant.Juju):
        self.juju = juju

    def set_up(self) -> None:
        """Bring everything there and build it; two minutes."""
        self.juju.ssh(0, f"mkdir -p {FOLDER}/gmp")
        self.juju.scp(build_base(), f"0:{FOLDER}/base.tar")
        self.juju.cli("scp", "-r", str(IMAGES / "golden-ratio"), f"0:{FOLDER}/image")
        self.juju.scp(PROBES / "golden_gmp.c", f"0:{FOLDER}/gmp/golden_gmp.c")
        self.juju.scp(PROBES / "golden.py", f"0:{FOLDER}/golden.py")
        sudo(self.juju, f"cat >{FOLDER}/gmp/Dockerfile <<'EOF'\n{GMP_IMAGE}EOF", machine=0)
        sudo(self.juju, "/bin/sh", "-c", PREPARE, "set_up", FOLDER, machine=0)

    def compute(self, way: str, digits: int) -> Run:
        """Compute digits in one way."""
        words = ("/usr/bin/python3", f"{FOLDER}/golden.py", FOLDER, way, str(digits))
        return json.loads(self.juju.ssh(0, "sudo", *words))


def measure(rounds: int, report: Report) -> Outcome:
    """Measure in a local model of its own; about nine minutes with five rounds."""
    report("making a local model, the image, and the program that uses GMP")
    with own_instance("localmodel-bench"), jubilant.temp_model() as juju:
        juju.wait_timeout = 600
        juju.cli("add-machine")
        juju.wait(lambda status: len(status.machines) == 1, successes=1)
        machine = Machine(juju)
        machine.set_up()
        engine = juju.ssh(0, "sudo", "docker", "version", "--format", "{{.Server.Version}}")
        found = list(measure_rounds(machine, rounds, report))
    circumstances = {
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "engine": engine.strip(),
    }
    return Outcome(
        judge(found), {"circumstances": circumstances, "rounds": found}, make_panels(found)
    )


def measure_rounds(ground: Ground, rounds: int, report: Report) -> Iterator[Round]:
    """Measure all ways in each turn, each time beginning with another.

    Raises:
        MeasureError: two ways have different digits.
    """
    names = list(WAYS)
    for number in range(rounds):
        found: Round = {digits: {way: [] for way in names} for digits in TURNS}
        for digits, turns in TURNS.items():
            report(f"round {number + 1} of {rounds}: {digits:,} digits")
            for turn in range(turns):
                first = (number + turn) % len(names)
                for way in names[first:] + names[:first]:
                    if way != GMP or digits < LARGEST or turn == 0:
                        found[digits][way].append(ground.compute(way, digits))
            runs = [run for way in names for run in found[digits][way]]
            if len({run["digest"] for run in runs}) > 1:
                raise MeasureError(f"{digits:,} digits differ from one way to another")
        end_round(report, "digits", number, rounds)
        yield found


def find_median(
    found: Round, digits: int, way: str, key: Literal["seconds", "processor"]
) -> float:
    """Return a round's median."""
    return statistics.median(run[key] for run in found[digits][way])


def find_seconds(found: Round, digits: int, way: str) -> float:
    """Return a round's median of the seconds."""
    return find_median(found, digits, way, "seconds")


def list_speeds(rounds: list[Round], digits: int, way: str) -> tuple[float, ...]:
    """Return the digits/s of each round."""
    return tuple(digits / find_seconds(found, digits, way) for found in rounds)


def compare(rounds: list[Round], digits: int, way: str, other: str) -> tuple[float, ...]:
    """Return, for each round, how many times the speed of another a way has."""
    return tuple(
        find_seconds(found, digits, other) / find_seconds(found, digits, way) for found in rounds
    )


def compare_turns(found: Round, digits: int) -> float:
    """Return a container's seconds of the bare program's, turn by turn: the round's median."""
    turns = zip(found[digits][CONTAINER], found[digits][BARE], strict=True)
    return statistics.median(inside["seconds"] / bare["seconds"] for inside, bare in turns)


def judge(rounds: list[Round]) -> tuple[Figure, ...]:
    """Return the figures, with their bars at the most digits."""
    figures = [
        Figure(f"{WAYS[way]}, {digits:,} digits", "digits/s", list_speeds(rounds, digits, way))
        for digits in TURNS
        for way in WAYS
    ]
    for digits in TURNS:
        least = 4.0 if digits == LARGEST else None
        speeds = compare(rounds, digits, BARE, GMP)
        figures.append(Figure(f"{digits:,} digits", "x GMP's speed", speeds, at_least=least))
    for digits in TURNS:
        most = 1.02 if digits == LARGEST else None
        cost = tuple(compare_turns(found, digits) for found in rounds)
        figures.append(
            Figure(f"in a container, {digits:,} digits", "x the bare time", cost, at_most=most)
        )
    for digits in TURNS:
        parts = tuple(
            find_median(found, digits, BARE, "processor")
            / find_median(found, digits, GMP, "processor")
            for found in rounds
        )
        figures.append(Figure(f"{digits:,} digits", "of GMP's processor time", parts))
    shares = tuple(
        find_median(found, LARGEST, GMP, "processor") / find_seconds(found, LARGEST, GMP)
        for found in rounds
    )
    figures.append(
        Figure(
            f"{WAYS[GMP]}, {LARGEST:,} digits",
            "of a core",
            shares,
            at_least=0.9,
            consequence="others work on this machine, so no speed here tells much",
        )
    )
    peaks = tuple(max(run["bytes"] for run in found[LARGEST][BARE]) / LARGEST for found in rounds)
    figures.append(Figure(f"memory, {LARGEST:,} digits", "bytes a digit", peaks, at_most=12.0))
    return tuple(figures)


def make_panels(rounds: list[Round]) -> tuple[Panel, ...]:
    """Return the plot of all speeds."""
    return tuple(
        Panel(
            f"million digits/s, {digits:,} digits",
            {
                label: tuple(speed / 1e6 for speed in list_speeds(rounds, digits, way))
                for way, label in WAYS.items()
            },
            4e-6 * statistics.median(list_speeds(rounds, digits, GMP))
            if digits == LARGEST
            else None,
        )
        for digits in TURNS
    )
