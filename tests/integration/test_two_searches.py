"""Two charms that want spare processor time on one machine: mprime and spare beside apache2."""

from __future__ import annotations

import json
from pathlib import Path

import jubilant
import pytest

from tests.integration.steps import list_subordinates
from tests.integration.test_spare import is_idle
from tools.instance import Published, sudo

# By charm: its container, and what finds its control group.
NAMES = {"mprime": "mprime-0", "spare": "spare-0"}
GROUPS = {"mprime": "mprime_0", "spare": "spare_0"}
CORE = 0  # both want it, and no other
# Runs on the machine: an image of what takes all that it can get of a core, on the search's own.
BUILD = """
printf 'FROM %s\\nSTOPSIGNAL SIGKILL\\nENTRYPOINT ["/bin/sh", "-c", "while :; do :; done"]\\n' \\
    "$1" \\
    | docker build --quiet --tag busy:1 -
"""
# Runs on the machine until containers have had so many seconds of a processor together, and prints
# how many each had, and how many the core had nothing to do meanwhile.
SHARE = """
import json, os, pathlib, subprocess, sys, time
wanted, core, names = float(sys.argv[1]), sys.argv[2], sys.argv[3:]
tick = os.sysconf("SC_CLK_TCK")
pids = subprocess.run(["docker", "inspect", "--format", "{{.State.Pid}}", *names],
    check=True, capture_output=True, text=True).stdout.split()
def look():
    seen = {}
    for name, pid in zip(names, pids):
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        seen[name] = (int(stat[11]) + int(stat[12])) / tick
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        if line.split()[0] == f"cpu{core}":
            seen["idle"] = int(line.split()[4]) / tick
    return seen
before, ends = look(), time.monotonic() + 240
while True:
    had = {name: value - before[name] for name, value in look().items()}
    if sum(had[name] for name in names) >= wanted or time.monotonic() > ends:
        break
    time.sleep(0.05)
print(json.dumps(had))
"""


def measure(juju: jubilant.Juju, *charms: str, seconds: int = 4) -> dict[str, float]:
    """Processor time that containers had until they had so much together, and that nobody had."""
    names = [NAMES[charm] for charm in charms]
    words = ("/usr/bin/python3", "-c", SHARE, str(seconds), str(CORE), *names)
    had: dict[str, float] = json.loads(sudo(juju, *words, machine=0, wait=300).stdout)
    print(f"of core {CORE}: {had}")
    assert sum(had[name] for name in names) >= seconds
    return had


def identify(juju: jubilant.Juju, charm: str) -> str:
    """What changes when a container is replaced or restarted."""
    form = "{{.Id}} {{.State.StartedAt}}"
    return sudo(juju, "docker", "inspect", "--format", form, NAMES[charm], machine=0).stdout


@pytest.fixture(scope="module")
def both(
    shared_juju: jubilant.Juju, charms: dict[str, Path], published: Published
) -> jubilant.Juju:
    """A machine with apache2, on which both are at work."""
    juju, options = shared_juju, {"cpuset": str(CORE)}
    juju.deploy(charms["apache2"])
    trusted = {"image": published.image, "registry-ca": published.authority}
    juju.deploy(charms["mprime"], config={**options, **trusted})
    juju.integrate("apache2:juju-info", "mprime:juju-info")
    juju.wait(lambda status: "mprime/0" in list_subordinates(status), successes=1)
    juju.wait(jubilant.all_active, successes=1)
    sudo(juju, "/bin/sh", "-c", BUILD, "build", published.image, machine=0)
    juju.deploy(charms["spare"], config={**options, "image": "busy:1"})
    juju.integrate("apache2:juju-info", "spare:juju-info")
    juju.wait(lambda status: "spare/0" in list_subordinates(status), successes=1)
    juju.wait(jubilant.all_active, successes=1)
    return juju


def test_both_are_in_the_kernels_idle_class(both: jubilant.Juju) -> None:
    assert [charm for charm in NAMES if not is_idle(both, GROUPS[charm])] == []


def test_each_has_about_half_of_what_is_spare(both: jubilant.Juju) -> None:
    had = measure(both, *NAMES, seconds=12)
    part = had[NAMES["mprime"]] / (had[NAMES["mprime"]] + had[NAMES["spare"]])
    # Both groups weigh the same. The kernel evens turns of some ms out over the seconds that are
    # looked at; one that weighed twice as much would have two thirds.
    assert 0.4 <= part <= 0.6


def test_while_one_is_paused_the_other_has_all_that_is_spare(both: jubilant.Juju) -> None:
    both.run("mprime/0", "pause")
    had = measure(both, "spare")
    both.run("mprime/0", "resume")
    # What the core's own interrupts and switches leave unaccounted for is far less.
    assert had["idle"] < 0.1 * had[NAMES["spare"]]
    measure(both, "mprime", seconds=1)


def test_the_removal_of_one_leaves_the_other_untouched(both: jubilant.Juju) -> None:
    before = identify(both, "spare")
    both.remove_relation("apache2:juju-info", "mprime:juju-info")
    both.wait(lambda status: not status.get_units("mprime"), successes=1)
    both.wait(jubilant.all_agents_idle, successes=1)
    there = sudo(both, "docker", "ps", "--all", "--format", "{{.Names}}", machine=0).stdout
    assert there.split() == [NAMES["spare"]]
    groups = ("/sys/fs/cgroup", "-name", f"{GROUPS['mprime']}*")
    assert sudo(both, "find", *groups, machine=0).stdout == ""
    assert identify(both, "spare") == before
    assert is_idle(both, GROUPS["spare"])
    measure(both, "spare", seconds=1)
