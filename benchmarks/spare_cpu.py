"""What the search costs its principal, and what it gets of the machine.

apache2 has one core, which the search wants, too: the worst that can happen to both. The load
comes from another machine over the private network, and from another core.
"""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jubilant

from benchmarks.figures import (
    TROUBLE,
    Figure,
    MeasureError,
    Outcome,
    Panel,
    Report,
    end_round,
    explain,
)
from tools import pack
from tools.instance import own_instance, private_registry, publish, sudo

PROBES = Path(__file__).parent / "probes"
# In the home folder of the user that ssh lets in, and that scp copies to.
FOLDER = "/tmp/spare-cpu"  # noqa: S108 - on machines of the benchmark's own

ALONE = "alone"
# What a setting is called here, and the search that works in it: see probes/searches.py.
CHARM, BOTH, SHARES, UNLIMITED, BARE = "mprime-0", "both", "shares", "unlimited", "bare"
SETTINGS = {
    ALONE: "alone",
    CHARM: "with mprime",
    BOTH: "with mprime and spare",
    SHARES: "--cpu-shares 2",
    UNLIMITED: "no limit",
}

# Seconds of each measurement, and of what goes before one is looked into.
SATURATED, PACED, HARVEST, SETTLE = 4.0, 4.0, 8.0, 1.0
# How often each setting has a turn at the paced load in a round. The machine's own work comes in
# bursts, of which a long turn has a few more or less, and p99 with them: short ones in turn share
# them. The controls' harm is plain in one.
TURNS = {ALONE: 8, CHARM: 8, BOTH: 4, SHARES: 1, UNLIMITED: 1}
CONNECTIONS = 32
# The part of the requests that may fail.
ERRORS = 0.001
# Of what the server can do alone: a server that is at work, and keeps up.
PACED_PART = 0.5
# What it means if the search without limit does no harm.
BLIND = "a search that is known to disturb did not, so nothing here can tell"

# On the machine with apache2: it gets one core, and a control group of its own, as every service
# beside Docker has with control groups of version 2. With version 1 systemd may not make one.
PIN = """
set -e
mkdir -p /run/systemd/system/apache2.service.d
printf "[Service]\\nCPUAffinity=%d\\nCPUWeight=100\\n" \\
    >/run/systemd/system/apache2.service.d/spare-cpu.conf
systemctl daemon-reload
systemctl restart apache2
main=$(systemctl show --property=MainPID --value apache2)
if grep -q ":cpu[^:]*:/$" /proc/$main/cgroup; then
    mkdir -p /sys/fs/cgroup/cpu/apache2
    echo $main >/sys/fs/cgroup/cpu/apache2/cgroup.procs
    for child in $(pgrep -P $main); do
        echo $child >/sys/fs/cgroup/cpu/apache2/cgroup.procs
    done
fi
"""


class Ground:
    """Machine 0 with apache2 and the searches, machine 1 with the load."""

    def __init__(self, juju: jubilant.Juju):
        self.juju = juju
        self.url = f"http://{juju.status().machines['0'].ip_addresses[0]}/"
        self.core, self.load_core = -1, -1

    def set_up(self) -> None:
        """Install the probes, make the searches, and give everything its core."""
        self._copy(0, "searches.py")
        self._copy(1, "paced.py")
        install = "apt-get install -q -y --no-install-recommends wrk"
        sudo(self.juju, f"{install} || (apt-get update -q && {install})", machine=1)
        # The charm chose it; apache2 is to want the same.
        self.core = int(self.probe(0, "searches.py", "start"))
        others = os.sched_getaffinity(0) - {self.core}
        if not others:
            raise MeasureError("the load needs a core of its own: use a machine with two or more")
        self.load_core = min(others)
        sudo(self.juju, PIN % self.core, machine=0)

    def _copy(self, machine: int, probe: str) -> None:
        self.juju.ssh(machine, f"mkdir -p {FOLDER}")
        self.juju.scp(PROBES / probe, f"{machine}:{FOLDER}/{probe}")

    def probe(self, machine: int, name: str, *words: object) -> str:
        """Run a probe as root and return what it printed."""
        command = ["/usr/bin/python3", f"{FOLDER}/{name}", *map(str, words)]
        with naming(" ".join(["the probe", name, *map(str, words)])):
            return self.juju.ssh(machine, "sudo", *command)

    def switch(self, search: str) -> None:
        """Run one search, or none."""
        self.probe(0, "searches.py", "switch", *([] if search == ALONE else [search]))

    def watch(
        self, search: str, seconds: float, *, reports: int = 0, margin: float = 0.0
    ) -> dict[str, float]:
        """Return the part of a core that a search has and, from reports, its iterations/s."""
        words = ("watch", CHARM if search == ALONE else search, seconds, reports, margin)
        return json.loads(self.probe(0, "searches.py", *words))

    def saturate(self, seconds: float) -> float:
        """Return the most requests per second that apache2 answers."""
        options = f"--threads 1 --connections {CONNECTIONS} --duration {seconds:.0f}s --latency"
        with naming("the load by wrk"):
            said = self.juju.ssh(1, f"taskset -c {self.load_core} wrk {options} {self.url}")
        return read_wrk(said)

    def pace(self, rate: float, seconds: float) -> list[float]:
        """Return each answer's latency, in seconds, at so many requests per second."""
        client = f"/usr/bin/python3 {FOLDER}/paced.py {self.url} {rate:.0f} {seconds:.0f}"
        with naming("the load by paced.py"):
            said = self.juju.ssh(1, f"taskset -c {self.load_core} {client}")
        return [latency / 1e6 for latency in json.loads(said)]

    def measure_saturated(self, search: str) -> dict[str, float]:
        """Return the requests/s, and the search's part of the core meanwhile."""
        self.switch(search)
        with self.watched(search, SATURATED) as watching:
            requests = self.saturate(SATURATED + 2 * SETTLE)
        return {"requests": requests, "saturated-cpu": watching.result()["cpu"]}

    def measure_paced(self, rate: float) -> dict[str, dict[str, float]]:
        """Return each setting's latencies, in seconds, and its search's part of the core."""
        latencies: dict[str, list[float]] = {name: [] for name in TURNS}
        cpu: dict[str, list[float]] = {name: [] for name in TURNS}
        parts: list[float] = []
        for turn in range(max(TURNS.values())):
            names = [name for name, turns in TURNS.items() if turn < turns]
            for name in names if turn % 2 else reversed(names):
                self.switch(name)
                with self.watched(name, PACED) as watching:
                    latencies[name] += self.pace(rate, PACED + 2 * SETTLE)
                seen = watching.result()
                cpu[name].append(seen["cpu"])
                parts += [seen["part"]] if "part" in seen else []
        found = {
            name: {"paced-cpu": statistics.mean(cpu[name]), **summarize(latencies[name])}
            for name in TURNS
        }
        if parts:
            found[BOTH]["part"] = statistics.mean(parts)
        return found

    @contextmanager
    def watched(self, search: str, seconds: float) -> Iterator[Future[dict[str, float]]]:
        """Watch a search in the midst of the block, which begins a while after what watches.

        That starts before the load, sleeps while it lasts and ends after it, also where there is
        no search: a server with a core of its own would feel a program that starts there.
        """
        with ThreadPoolExecutor(1) as thread:
            watching = thread.submit(self.watch, search, seconds, margin=2 * SETTLE)
            time.sleep(SETTLE)
            yield watching


def measure(rounds: int, report: Report) -> Outcome:
    """Measure in a local model of its own; about twenty minutes with five rounds."""
    report("packing")
    charms = pack.pack(["apache2", "mprime", "spare", "registry"])
    report("making a local model, and the image")
    with own_instance("localmodel-bench"), deploy(charms) as juju:
        return measure_on(Ground(juju), rounds, report)


def measure_on(ground: Ground, rounds: int, report: Report) -> Outcome:
    """Measure on machines that are there; what was measured before a failure is kept."""
    report("making the searches, and waiting until each works")
    ground.set_up()
    ground.switch(ALONE)
    rate = PACED_PART * ground.saturate(SATURATED)
    details: dict[str, Any] = {"circumstances": describe(ground, rate)}
    found = details | {"rounds": [], "harvests": []}
    failure = ""
    try:
        for sample in measure_rounds(ground, rate, rounds, report):
            found["rounds"].append(sample)
        for harvest in measure_harvest(ground, rounds, report):
            found["harvests"].append(harvest)
    except MeasureError as error:
        failure = str(error)
    return Outcome(judge(found), found, make_panels(found["rounds"]), failure)


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Say what it was that failed. Raises MeasureError in place of what the block raises."""
    try:
        yield
    except TROUBLE as error:
        raise MeasureError(f"{what}: {explain(error)}") from error


@contextmanager
def deploy(charms: dict[str, Path]) -> Iterator[jubilant.Juju]:
    """A model with apache2, mprime at work and spare attached to it, and an empty machine."""
    with private_registry(charms["registry"]) as registry, jubilant.temp_model() as juju:
        published = publish(registry, "mlucas")
        juju.wait_timeout = 600
        juju.deploy(charms["apache2"])
        options = {"image": published.image, "registry-ca": published.authority}
        juju.deploy(charms["mprime"], config=options)
        juju.integrate("apache2", "mprime")
        juju.cli("add-machine")
        juju.wait(lambda status: bool(status.get_units("mprime")), successes=1)
        juju.wait(jubilant.all_active, error=jubilant.any_blocked, successes=1)
        # The same program on the same core; probes/searches.py gives it work, which it lacks now.
        core = find_core(juju)
        juju.deploy(charms["spare"], config={**options, "command": f"-cpu {core}"})
        juju.integrate("apache2", "spare")
        juju.wait(lambda status: bool(status.get_units("spare")), successes=1)
        juju.wait(jubilant.all_agents_idle, successes=1)
        yield juju


def find_core(juju: jubilant.Juju) -> int:
    """Return the core that the charm gave its search: the last word of its command."""
    form = "{{index .Config.Cmd 1}}"
    return int(juju.ssh(0, "sudo", "docker", "inspect", "--format", f"'{form}'", CHARM))


def measure_rounds(
    ground: Ground, rate: float, rounds: int, report: Report
) -> Iterator[dict[str, dict[str, float]]]:
    """Measure every setting in each round, each time beginning with another."""
    names = list(SETTINGS)
    for number in range(rounds):
        turn = number % len(names)
        saturated = {}
        for name in names[turn:] + names[:turn]:
            report(f"apache2 saturated: round {number + 1} of {rounds}, {SETTINGS[name]}")
            saturated[name] = ground.measure_saturated(name)
        report(f"apache2 at a paced load: round {number + 1} of {rounds}, settings in turn")
        paced = ground.measure_paced(rate)
        end_round(report, "apache2", number, rounds)
        yield {name: saturated[name] | paced[name] for name in names}


def measure_harvest(
    ground: Ground, rounds: int, report: Report
) -> Iterator[dict[str, dict[str, float]]]:
    """Measure the search and the bare program on the idle machine, in turn."""
    for number in range(rounds):
        found = {}
        for name in (CHARM, BARE) if number % 2 else (BARE, CHARM):
            report(f"idle machine: round {number + 1} of {rounds}, {name}")
            ground.probe(0, "searches.py", "restart", name)
            found[name] = ground.watch(name, HARVEST, reports=3)
        end_round(report, "idle machine", number, rounds)
        yield found


def judge(found: dict[str, Any]) -> tuple[Figure, ...]:
    """Return the figures of all that was measured, which may be only a part."""
    load = judge_load(found["rounds"]) if found["rounds"] else ()
    harvest = judge_harvest(found["harvests"]) if found["harvests"] else ()
    return load + harvest


def judge_load(samples: list[dict[str, dict[str, float]]]) -> tuple[Figure, ...]:
    """Return what the searches cost apache2, each compared with alone in the same round."""

    def compare(search: str, key: str) -> tuple[float, ...]:
        return tuple(found[search][key] / found[ALONE][key] for found in samples)

    def harvest(key: str) -> tuple[float, ...]:
        return tuple(found[CHARM][key] for found in samples)

    return (
        Figure("requests/s with mprime", "of alone", compare(CHARM, "requests"), at_least=0.95),
        Figure("p99 with mprime", "x alone", compare(CHARM, "p99"), at_most=1.2),
        Figure("requests/s with two searches", "of alone", compare(BOTH, "requests"), None, 0.95),
        Figure("p99 with two searches", "x alone", compare(BOTH, "p99"), at_most=1.2),
        Figure("requests/s with --cpu-shares 2", "of alone", compare(SHARES, "requests")),
        Figure("p99 with --cpu-shares 2", "x alone", compare(SHARES, "p99")),
        Figure(
            "requests/s with no limit",
            "of alone",
            compare(UNLIMITED, "requests"),
            at_most=0.8,
            consequence=BLIND,
        ),
        Figure(
            "p99 with no limit",
            "x alone",
            compare(UNLIMITED, "p99"),
            at_least=1.5,
            consequence=BLIND,
        ),
        Figure("mprime beside saturated apache2", "of a core", harvest("saturated-cpu")),
        Figure("mprime beside paced apache2", "of a core", harvest("paced-cpu")),
        Figure(
            "mprime beside spare",
            "of both",
            tuple(found[BOTH]["part"] for found in samples),
            at_most=0.6,
            at_least=0.4,
        ),
    )


def judge_harvest(harvests: list[dict[str, dict[str, float]]]) -> tuple[Figure, ...]:
    """Return what the search gets of an idle machine, compared with the bare program."""

    def compare(key: str) -> tuple[float, ...]:
        return tuple(found[CHARM][key] / found[BARE][key] for found in harvests)

    bare = tuple(found[BARE]["cpu"] for found in harvests)
    return (
        Figure(
            "the bare program, machine idle",
            "of a core",
            bare,
            at_least=0.95,
            consequence="others work on this machine, so none of these figures tells much",
        ),
        Figure("CPU time, machine idle", "of bare", compare("cpu"), at_least=0.9),
        Figure("iterations/s, machine idle", "of bare", compare("iterations"), at_least=0.9),
    )


def make_panels(samples: list[dict[str, dict[str, float]]]) -> tuple[Panel, ...]:
    """Return the plot of what apache2 and the searches had; none without a round."""
    if not samples:
        return ()

    def collect(key: str, factor: float = 1.0) -> dict[str, tuple[float, ...]]:
        return {
            label: tuple(found[name][key] * factor for found in samples)
            for name, label in SETTINGS.items()
        }

    requests, latency = collect("requests"), collect("p99", 1000)
    alone = SETTINGS[ALONE]
    return (
        Panel("requests/s, saturated", requests, 0.95 * statistics.median(requests[alone])),
        Panel("p99 in ms, paced", latency, 1.2 * statistics.median(latency[alone])),
        Panel("search's part of the core, saturated", collect("saturated-cpu")),
        Panel("search's part of the core, paced", collect("paced-cpu")),
    )


def describe(ground: Ground, rate: float) -> dict[str, Any]:
    """Return under which circumstances it was measured."""
    return {
        "kernel": platform.release(),
        "cores": os.cpu_count(),
        "engine": json.loads(ground.juju.ssh(0, "sudo docker info --format '{{json .}}'")),
        "core of apache2 and the search": ground.core,
        "core of the load": ground.load_core,
        "connections, saturated": CONNECTIONS,
        "requests/s, paced": rate,
    }


def summarize(latencies: list[float]) -> dict[str, float]:
    """Return how many answers there were, and the percentiles of their latency."""
    ranked = sorted(latencies)
    shown = {f"p{part:g}": ranked[int(len(ranked) * part / 100)] for part in (50, 99, 99.9)}
    return {"answers": len(ranked), **shown}


def read_wrk(said: str) -> float:
    """Return the requests per second that wrk reports.

    Raises:
        MeasureError: it reports nothing, answers that are not pages, or many errors.
    """
    rate = re.search(r"^Requests/sec: *([\d.]+)$", said, re.MULTILINE)
    requests = re.search(r"^ *(\d+) requests in ", said, re.MULTILINE)
    if not rate or not requests or "Non-2xx or 3xx responses" in said:
        raise MeasureError(f"wrk: {said}")
    # apache2 hangs up on a connection now and then, and wrk takes another.
    errors = re.search(r"Socket errors: (.*)$", said, re.MULTILINE)
    failed = sum(map(int, re.findall(r"\d+", errors[1]))) if errors else 0
    if failed > ERRORS * int(requests[1]):
        raise MeasureError(f"wrk: {failed} of {requests[1]} requests failed: {said}")
    return float(rate[1])
