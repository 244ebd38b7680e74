"""What a hook of each charm takes that has nothing to change, and what that is made of."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import jubilant

from benchmarks.figures import TROUBLE, Figure, MeasureError, Outcome, Report, end_round, explain
from tools import pack
from tools.instance import own_instance, private_registry, publish, sudo

PROBES = Path(__file__).parent / "probes"
# In the home folder of the user that ssh lets in, and that scp copies to.
FOLDER = "/tmp/hooks"  # noqa: S108 - on a machine of the benchmark's own
CHARMS = ("mprime", "golden-ratio", "spare", "fan")
SECONDS, MEGABYTES = 0.35, 50.0

# What a round found of each charm: its hook, and what another run of it was made of.
Round = dict[str, dict[str, Any]]


class Ground(Protocol):
    """Where it is measured."""

    def run(self, charm: str, what: str) -> Any:
        """Let a charm handle an update-status under the eyes of probes/hook.py."""
        ...


class Machine:
    """A machine with apache2 and every charm beside it, and a second one for the fan's peer."""

    def __init__(self, juju: jubilant.Juju):
        self.juju = juju

    def prepare(self) -> None:
        """Install the probes."""
        install = "apt-get install -q -y --no-install-recommends strace"
        sudo(self.juju, f"{install} || (apt-get update -q && {install})", machine=0)
        self.juju.ssh(0, f"mkdir -p {FOLDER}")
        for probe in ("hook.py", "hook_parts.py"):
            self.juju.scp(PROBES / probe, f"0:{FOLDER}/{probe}")

    def run(self, charm: str, what: str) -> Any:
        """Let a charm handle an update-status under the eyes of probes/hook.py."""
        words = ("/usr/bin/python3", f"{FOLDER}/hook.py", what)
        unit = find_unit(self.juju, charm)
        try:
            said = self.juju.exec(*words, unit=unit).stdout
        except TROUBLE as error:
            raise MeasureError(f"the probe hook.py {what} of {unit}: {explain(error)}") from error
        # Its first line is the probe's; nothing follows it.
        return json.loads(said.splitlines()[-1])


def find_unit(juju: jubilant.Juju, charm: str) -> str:
    """Return which unit of a charm is beside apache2."""
    beside = juju.status().apps["apache2"].units["apache2/0"].subordinates
    return next(unit for unit in beside if unit.partition("/")[0] == charm)


def measure(rounds: int, report: Report) -> Outcome:
    """Measure in a local model of its own; about three minutes, half of them for the ground."""
    report("packing")
    charms = pack.pack(["apache2", "registry", *CHARMS])
    report("making a local model, and the images")
    with own_instance("localmodel-bench"), deploy(charms) as juju:
        machine = Machine(juju)
        machine.prepare()
        circumstances = {
            "kernel": platform.release(),
            "cores": os.cpu_count(),
            "engine": json.loads(juju.ssh(0, "sudo docker info --format '{{json .}}'")),
        }
        return measure_on(machine, rounds, report, circumstances)


@contextmanager
def deploy(charms: dict[str, Path]) -> Iterator[jubilant.Juju]:
    """A model with apache2, every charm attached to it and settled, and a peer of the fan."""
    with private_registry(charms["registry"]) as registry, jubilant.temp_model() as juju:
        mlucas, golden = publish(registry, "mlucas"), publish(registry, "golden-ratio")
        juju.wait_timeout = 600
        juju.deploy(charms["apache2"])
        juju.deploy(charms["apache2"], "neighbour")
        trusted = {"registry-ca": mlucas.authority}
        options: dict[str, dict[str, str]] = {
            "mprime": {"image": mlucas.image, **trusted},
            "golden-ratio": {"image": golden.image, **trusted},
            "spare": {"image": golden.image, **trusted, "restart": "on-failure"},
            "fan": {},
        }
        for name in CHARMS:
            juju.deploy(charms[name], config=options[name])
            juju.integrate("apache2:juju-info", f"{name}:juju-info")
        juju.integrate("neighbour:juju-info", "fan:juju-info")
        juju.wait(lambda status: len(status.get_units("fan")) == 2, successes=1)
        juju.wait(jubilant.all_active, error=jubilant.any_blocked, successes=1)
        yield juju


def measure_on(
    ground: Ground, rounds: int, report: Report, circumstances: dict[str, Any]
) -> Outcome:
    """Measure on machines that are there; what was measured before a failure is kept."""
    found: list[Round] = []
    changes: dict[str, list[str]] = {}
    failure = ""
    try:
        for charm in CHARMS:
            # The first after a while reads its files from the disk, and may compile them.
            ground.run(charm, "time")
            changes[charm] = ground.run(charm, "changes")
        for sample in measure_rounds(ground, rounds, report):
            found.append(sample)  # noqa: PERF402 - what was measured before a failure is kept
    except MeasureError as error:
        failure = str(error)
    details = {"circumstances": circumstances, "rounds": found, "changes": changes}
    return Outcome(judge(found, changes), details, failure=failure)


def measure_rounds(ground: Ground, rounds: int, report: Report) -> Iterator[Round]:
    """Measure every charm in each round, each time beginning with another."""
    for number in range(rounds):
        turn = number % len(CHARMS)
        found: Round = {}
        for charm in CHARMS[turn:] + CHARMS[:turn]:
            report(f"hooks: round {number + 1} of {rounds}, {charm}")
            found[charm] = {**ground.run(charm, "time"), "parts": ground.run(charm, "parts")}
        end_round(report, "hooks", number, rounds)
        yield found


def judge(rounds: list[Round], changes: dict[str, list[str]]) -> tuple[Figure, ...]:
    """Return the figures of all that was measured, which may be only a part."""
    figures: list[Figure] = []
    for charm in CHARMS if rounds else ():
        seconds = tuple(found[charm]["seconds"] for found in rounds)
        megabytes = tuple(found[charm]["bytes"] / 1e6 for found in rounds)
        figures.append(Figure(f"{charm}: hook", "s", seconds, at_most=SECONDS))
        figures.append(Figure(f"{charm}: memory", "MB", megabytes, at_most=MEGABYTES))
        together = tuple(found[charm]["bytes-together"] / 1e6 for found in rounds)
        figures.append(Figure(f"{charm}: memory with its programs", "MB", together))
    for charm, changed in changes.items():
        what, said = f"{charm}: what it changes", ", ".join(changed[:5])
        number = (float(len(changed)),)
        figures.append(Figure(what, "things", number, at_most=0.0, consequence=said))
    return tuple(figures)
