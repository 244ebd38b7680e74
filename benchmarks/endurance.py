"""What kills and faults cost: checkpoints, packets of others, and a machine that is as it was.

Machines 0 and 1 have a fan, and a container each; numbered datagrams go between these two all the
while. Machine 2 has the same fan, a third container, and the search; all faults hit that one. See
docs/explanation/endurance.md for what counts as lost.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from math import isqrt
from pathlib import Path
from typing import Any

import jubilant

from benchmarks.faults import KINDS, Fault, draw_faults
from benchmarks.figures import TROUBLE, Figure, Outcome, Report, explain
from benchmarks.probes.searches import CHARM
from benchmarks.probes.stream import PATIENCE
from benchmarks.probes.witness import NEIGHBOUR, Start
from tools import pack
from tools.instance import own_instance, private_registry, publish, sudo

PROBES = Path(__file__).parent / "probes"
# Where the user may write that ssh lets in, and what is still there after a reset.
FOLDER = "/var/tmp/endurance"  # noqa: S108 - on machines of the benchmark's own
PYTHON = (
    f"env PYTHONPATH={FOLDER} PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m benchmarks.probes."
)

SENDER, RECEIVER, DISTURBED = 0, 1, 2
FAN, MPRIME = "fan/2", "mprime/0"
# Of the first exponent, known to give a prime; each takes the search a minute or two, with a
# checkpoint about twice a second. So many more are there that the work outlasts the faults.
EXPONENT, ROUNDS_EACH = 216091, 10
# Each restarts the search, and both are short enough for the shortest interval that Mlucas has.
CHECKPOINT_MINUTES = (0.01, 0.012)
BOOT_TIMEOUT = 120.0  # seconds

# An image of nothing: its containers run the machine's own Python.
IMAGE = "tar --create --files-from /dev/null | docker import - empty"
OPTIONS = (
    "--network fan --volume /usr:/usr:ro --volume /lib:/lib:ro --volume /lib64:/lib64:ro "
    f"--volume {FOLDER}:{FOLDER}:ro --env PYTHONPATH={FOLDER} --env PYTHONDONTWRITEBYTECODE=1 "
    "empty"
)
STREAM = "/usr/bin/python3 -m benchmarks.probes.stream"
ECHO = f"docker run --detach --restart always --name {{}} {OPTIONS} {STREAM} echo"
ADDRESS = "docker inspect --format '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}' "

# What the units made on machine 2, and must take away with them; a line for each thing.
LEFTOVERS = r"""
ip -o link | grep -o ' \(fan\|veth\)[^:@]*' | sed 's/^ /device /'
docker ps --all --format 'container {{.Names}}'
docker network ls --format 'network {{.Name}}' | grep -v ' \(bridge\|host\|none\)$'
nft list tables | grep fannet
find /run/lock /run/fannet* -name '*fannet*' -type f ! -exec flock --nonblock {} true \; -print
find /sys/fs/cgroup -type d -name '*mprime*'
grep -o ' [^ ]*\(mprime\|/docker/[^ ]*merged\|/docker/netns\)[^ ]*' /proc/self/mountinfo
find /etc /run/systemd -name '*.new' -o -name 'fan-*.service' -o -name 'mprime-*'
find /var/lib/mprime -name '*.new'
pgrep --list-full --full '^[^ ]*(mlucas|dispatch)|^[^ ]*python[^ ]* .*(fannet|/charm\.py)'
true
"""


@dataclass(frozen=True)
class Round:
    """What one fault cost.

    Attributes:
        began, seconds: when it began, as time.time() has it, and what it took.
        lost: how many checkpoints.
        drift: what was not as it should be after the recovery, in words.
    """

    number: int
    fault: Fault
    began: float
    seconds: float
    lost: int
    drift: tuple[str, ...]

    def __str__(self) -> str:
        """The round in one line."""
        found = [f"{self.lost} checkpoints lost"] if self.lost else []
        found += self.drift
        return f"round {self.number}: {self.fault}: {'; '.join(found) or 'nothing lost'}"


class Ground:
    """Three machines on a fan, the third with the search."""

    def __init__(self, juju: jubilant.Juju):
        self.juju = juju
        self.peer = ""
        self.search: dict[str, Any] = {}
        # How long each victim took when it ran to its end the last time.
        self.seconds = {"mprime": 0.5, "fan": 0.5, "fanctl": 0.1, "command": 1.0, "": 0.0}

    def set_up(self) -> None:
        """Start the containers, the datagrams, and see where the search is."""
        for machine in (SENDER, RECEIVER, DISTURBED):
            folder = f"{FOLDER}/benchmarks/probes"
            self.juju.ssh(machine, f"mkdir -p {folder}")
            for probe in ("hook.py", "searches.py", "stream.py", "witness.py"):
                self.juju.scp(PROBES / probe, f"{machine}:{folder}/{probe}")
            self.run(IMAGE, machine)
        self.run(ECHO.format("receiver"), RECEIVER)
        self.run(ECHO.format(NEIGHBOUR), DISTURBED)
        self.peer = self.run(f"{ADDRESS} receiver", RECEIVER).strip()
        # The first has to ask who has the address; the stream begins when that is known.
        ask = f"{STREAM} ask {self.peer} {BOOT_TIMEOUT}"
        self.run(f"docker exec {NEIGHBOUR} {ask}", DISTURBED)
        self.run(f"docker run --rm {OPTIONS} {ask}", SENDER)
        self.run(f"docker run --detach --name sender {OPTIONS} {STREAM} send {self.peer}", SENDER)
        self.search = self.witness(MPRIME, "search")["search"]

    def run(self, script: str, machine: int = DISTURBED) -> str:
        """Run a script as root on a machine; return what it printed."""
        return sudo(self.juju, script, machine=machine).stdout

    def witness(self, unit: str, *words: object) -> dict[str, Any]:
        """Run probes/witness.py as a unit of machine 2; return what it found."""
        said = self.juju.exec(f"{PYTHON}witness {' '.join(map(str, words))}", unit=unit).stdout
        found = json.loads(said.splitlines()[-1])
        self.seconds |= found["seconds"]
        # The command starts, and then the hook does.
        self.seconds["command"] = 1.5 * self.seconds["mprime"]
        return found

    def inject(self, fault: Fault) -> None:
        """Cause a fault."""
        kind = KINDS[fault.kind]
        after = max(0.01, fault.part * self.seconds[kind.victim])
        script = kind.script.format(after=f"{after:.3f}", search=CHARM, neighbour=NEIGHBOUR)
        if kind.where == "model":
            self._kill_command(after)
        elif fault.kind == "reset":
            booted = self._read_boot()[0]
            with suppress(*TROUBLE):  # it takes the connection along
                self.run(script)
            self._wait_for_boot(booted)
        elif kind.where == "machine":
            self.run(script)
        else:
            self.juju.exec(script, unit=MPRIME if kind.where == "mprime" else FAN)

    def _kill_command(self, after: float) -> None:
        """Kill a command that changes an option of mprime, in the middle of what follows."""
        before = self.juju.config("mprime")["checkpoint-minutes"]
        (other,) = {*CHECKPOINT_MINUTES} - {before}
        words = (
            "config",
            "--model",
            str(self.juju.model),
            "mprime",
            f"checkpoint-minutes={other}",
        )
        with subprocess.Popen(
            ["juju", *words],  # noqa: S607 - as jubilant finds it stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        ) as command:
            with suppress(subprocess.TimeoutExpired):
                command.wait(after)
            command.kill()

    def _read_boot(self) -> list[str]:
        """Return what names the present boot, and what state it is in."""
        ask = "systemctl show --property UserspaceTimestampMonotonic --value"
        # The second fails where something failed to start.
        return self.run(f"{ask}; systemctl is-system-running || true").split()

    def _wait_for_boot(self, before: str) -> None:
        """Wait until a machine that was reset has started everything. Raises TimeoutError."""
        ends = time.monotonic() + BOOT_TIMEOUT
        while time.monotonic() < ends:
            with suppress(*TROUBLE, ValueError):  # its systemd may not listen yet
                booted, state = self._read_boot()
                if booted != before and state in ("running", "degraded"):
                    return
        raise TimeoutError(f"machine {DISTURBED} did not start within {BOOT_TIMEOUT:.0f} s")

    def play(self, number: int, fault: Fault) -> Round:
        """Cause a fault, wait for the recovery, and return what it cost."""
        clock, began = time.time(), time.monotonic()
        before = self.search
        self.inject(fault)
        drift = self.witness(MPRIME, "mprime")["drift"]
        position = before["exponent"], before["iteration"]
        found = self.witness(FAN, "fan", self.peer, *position)
        self.search = found["search"]
        return Round(
            number,
            fault,
            clock,
            time.monotonic() - began,
            count_lost(before, self.search),
            (*drift, *found["drift"]),
        )

    def end_stream(self) -> dict[str, Any]:
        """Return how many datagrams were sent, and which have no answer."""
        self.run(f"docker stop --time {2 * PATIENCE:.0f} sender", SENDER)
        return json.loads(self.run("docker logs sender", SENDER))

    def list_leftovers(self) -> list[str]:
        """Remove the units, and return what they left on machine 2."""
        self.run(f"docker rm --force {NEIGHBOUR}")
        self.juju.remove_relation("disturbed:juju-info", "mprime:juju-info")
        self.juju.remove_relation("disturbed:juju-info", "fan:juju-info")
        self.juju.wait(
            lambda status: not status.apps["disturbed"].units["disturbed/0"].subordinates,
            successes=1,
        )
        return sorted(self.run(LEFTOVERS).splitlines())


def count_lost(before: dict[str, Any], after: dict[str, Any]) -> int:
    """Return how many checkpoints a search lost between two looks at it.

    Args:
        before: what witness.read_search found.
        after: the same, later.
    """
    starts = [Start(*each) for each in after["starts"]]
    for each in before["starts"]:
        starts.remove(Start(*each))
    exponent, iteration = before["exponent"], before["iteration"]
    lost = sum(
        start.count_lost(iteration if start.exponent == exponent else 0) for start in starts
    )
    # An exponent that is no longer listed must have come to its end.
    is_gone = exponent != after["exponent"] and exponent not in after["finished"]
    went_back = (after["exponent"], after["iteration"]) < (exponent, iteration)
    return lost or int(is_gone or went_back)


def measure(rounds: int, report: Report, seed: int) -> Outcome:
    """Measure in a local model of its own.

    Args:
        seed: decides which faults happen.
    """
    report("packing")
    charms = pack.pack(["apache2", "fan", "mprime", "registry"])
    report("making a local model, and the image")
    name = f"{os.environ.get('SUITE_NAME', 'localmodel')}-endure"
    with own_instance(name), deploy(charms, rounds) as juju:
        outcome = measure_on(Ground(juju), draw_faults(seed, rounds), report)
    return Outcome(outcome.figures, {"seed": seed, **outcome.details}, failure=outcome.failure)


@contextmanager
def deploy(charms: dict[str, Path], rounds: int) -> Iterator[jubilant.Juju]:
    """A model with the fan on three machines, and the search at work on the third."""
    with private_registry(charms["registry"]) as registry, jubilant.temp_model() as juju:
        published = publish(registry, "mlucas")
        juju.wait_timeout = 600
        juju.deploy(charms["apache2"], num_units=2)
        juju.deploy(charms["apache2"], "disturbed")
        juju.deploy(charms["fan"])
        options = {
            "image": published.image,
            "registry-ca": published.authority,
            "worktodo": " ".join(map(str, list_exponents(2 + rounds // ROUNDS_EACH))),
        }
        juju.deploy(charms["mprime"], config=options)
        # Not with the others: Juju 4.0.15 takes no float when it deploys.
        juju.config("mprime", {"checkpoint-minutes": CHECKPOINT_MINUTES[0]})
        juju.integrate("apache2:juju-info", "fan:juju-info")
        juju.wait(lambda status: len(status.get_units("fan")) == 2, successes=1)
        juju.integrate("disturbed:juju-info", "fan:juju-info")
        juju.integrate("disturbed:juju-info", "mprime:juju-info")
        juju.wait(lambda status: bool(status.get_units("mprime")), successes=1)
        juju.wait(jubilant.all_active, error=jubilant.any_blocked, successes=1)
        yield juju


def list_exponents(number: int) -> list[int]:
    """Return so many primes from EXPONENT on, in order."""
    odd = itertools.count(EXPONENT, 2)
    primes = (n for n in odd if all(n % factor for factor in range(3, isqrt(n) + 1, 2)))
    return list(itertools.islice(primes, number))


def measure_on(ground: Ground, faults: Sequence[Fault], report: Report) -> Outcome:
    """Measure on machines that are there; what was measured before a failure is kept."""
    report("starting containers and datagrams")
    ground.set_up()
    rounds: list[Round] = []
    stream: dict[str, Any] = {}
    leftovers: list[str] = []
    doing = "nothing"
    try:
        for number, fault in enumerate(faults, 1):
            doing = f"round {number} of {len(faults)}: {fault}"
            report(doing)
            rounds.append(ground.play(number, fault))
            report(f"{rounds[-1]} ({rounds[-1].seconds:.1f} s)", number / len(faults))
        failure = ""
    except (*TROUBLE, KeyboardInterrupt) as error:
        failure = f"{doing}: {explain(error)}"
    try:
        report("counting")
        stream = ground.end_stream()
        leftovers = ground.list_leftovers()
    except (*TROUBLE, ValueError) as error:
        failure = failure or f"at the end: {explain(error)}"
    details = {
        "circumstances": {"kernel": platform.release(), "cores": os.cpu_count()},
        "rounds": [asdict(each) for each in rounds],
        "datagrams": stream,
        "leftovers": leftovers,
    }
    return Outcome(judge(rounds, stream, leftovers), details, failure=failure)


def judge(
    rounds: Sequence[Round], stream: dict[str, Any], leftovers: Sequence[str]
) -> tuple[Figure, ...]:
    """Return what came out, with the bars that all but the first have."""
    lost = [(number, find_round(rounds, sent)) for number, sent in stream.get("lost", [])]
    hurt = {each.number for _, each in lost if each}
    survived = [r for r in rounds if not r.lost and not r.drift and r.number not in hurt]
    drifted = [each for each in rounds if each.drift]
    checkpoints = [each for each in rounds if each.lost]

    def figure(name: str, unit: str, value: int, causes: Sequence[object]) -> Figure:
        shown = "; ".join(map(str, causes[:5])) + ("; …" if len(causes) > 5 else "")
        return Figure(name, unit, (float(value),), at_most=0, consequence=shown)

    return (
        Figure("faults survived", "faults", (float(len(survived)),)),
        figure("checkpoints lost", "checkpoints", sum(r.lost for r in rounds), checkpoints),
        figure(
            "packets lost between undisturbed hosts",
            "packets",
            len(lost),
            [f"number {number} in {each or 'no round'}" for number, each in lost],
        ),
        figure(
            "drift left",
            "things",
            sum(len(each.drift) for each in drifted) + len(leftovers),
            [*drifted, *(f"left in the end: {each}" for each in leftovers)],
        ),
    )


def find_round(rounds: Sequence[Round], moment: float) -> Round | None:
    """Return the round that was going on at a moment of time.time()."""
    return next((r for r in rounds if r.began <= moment < r.began + r.seconds), None)
