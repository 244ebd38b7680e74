"""What a killed command leaves behind: the next one carries on where it was."""

from __future__ import annotations

import itertools
import os
import random
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import jubilant
import pytest

from lib.localmodel.tests.integration.probe import (
    Run,
    as_root,
    events,
    journal,
    pack,
    start,
    touch,
)
from localmodel.machines.processes import read_command_lines, wait_until

# The moments are random; this makes those of a failed run come again.
SEED = int(os.environ.get("LOCALMODEL_SEED", random.SystemRandom().randrange(10**6)))

# Every hook takes its time and calls hook tools before and after.
SLOW = """\
state-set "$name=begun"
sleep 0.3
status-set active "$name is through" || true
echo through >>$probe/$name
"""
HOOKS = ["install", "leader-elected", "config-changed", "start"]


@pytest.fixture(scope="module")
def slow(juju: jubilant.Juju, charms: Path) -> Path:
    """A charm whose hooks take their time; machine 0 is there for its units."""
    juju.deploy(pack(charms, "keeper"))
    return pack(
        charms,
        "slow",
        dict.fromkeys(HOOKS, SLOW),
        config={"number": {"type": "int", "default": 0}},
    )


def boots(juju: jubilant.Juju) -> str:
    """Names the present boot of machine 0."""
    return as_root(juju, 0, "systemctl show --property=UserspaceTimestampMonotonic")


def all_runs(juju: jubilant.Juju, unit: str) -> list[Run]:
    return [r for r in journal(juju) if r.unit == unit]


def supervisors(juju: jubilant.Juju) -> list[str]:
    """The names of the model's machines, once for each systemd-nspawn that runs one."""
    names = {m.hostname for m in juju.status().machines.values()}
    lines = [line for _, line in read_command_lines()]
    found = [a.removeprefix("--machine=") for line in lines for a in line if "nspawn" in line[0]]
    return sorted(n for n in found if n in names)


def kill_after(process: subprocess.Popen[str], seconds: float) -> bool:
    """Kill a command, unless it ends before; whether it still ran."""
    try:
        process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return True
    return False


def check_run(runs: list[Run], wanted: list[str]) -> None:
    """Every wanted hook has ended well at last, in order, one at a time."""
    following = itertools.pairwise(runs)
    assert all(run.ended or run.name == after.name for run, after in following)
    ended = list(dict.fromkeys(r.name for r in runs if r.ended))
    assert ended == wanted
    assert runs[-1].ended


@pytest.mark.parametrize("trial", range(8))
def test_a_model_converges_after_a_kill_at_any_moment(
    juju: jubilant.Juju, slow: Path, trial: int
) -> None:
    moment = random.Random(SEED + trial)  # noqa: S311
    app, unit = f"slow-{'abcdefgh'[trial]}", f"slow-{'abcdefgh'[trial]}/0"
    boot = boots(juju)
    deploy = ["juju", "deploy", "-m", str(juju.model), slow, app, "--to", "0"]

    # Evenly over install, leader-elected, config-changed and start.
    first = 0.3 + (trial + moment.random()) * 0.25
    print(f"LOCALMODEL_SEED={SEED}: deploy is killed after {first:.3f} s")
    kill_after(start(*deploy), first)
    if app not in juju.cli("status", "--format", "json"):
        kill_after(start(*deploy), 60)
    juju.wait(lambda s: jubilant.all_agents_idle(s, app), delay=0.1, successes=1)
    runs = all_runs(juju, unit)
    check_run(runs, HOOKS)

    second = moment.uniform(0.2, 0.8)
    print(f"config is killed after {second:.3f} s")
    kill_after(start("juju", "config", "-m", str(juju.model), app, "number=1"), second)
    saved = juju.config(app)["number"] == 1
    if not saved:
        juju.config(app, {"number": 1})
    juju.wait(lambda s: jubilant.all_agents_idle(s, app), delay=0.1, successes=1)
    check_run(all_runs(juju, unit)[len(runs) :], ["config-changed"])

    for hook in HOOKS:
        assert juju.exec(f"state-get {hook}", unit=unit).stdout == "begun\n"
    assert boots(juju) == boot


Begun = tuple[subprocess.Popen[str], list[Run]]

GATE = """\
[ ! -e $probe/closed ] || while [ ! -e $probe/open ]; do sleep 0.05; done
"""


@pytest.fixture(scope="module")
def gated(juju: jubilant.Juju, slow: Path, charms: Path) -> str:
    """A unit whose config-changed waits until it is let through."""
    charm = pack(
        charms, "gated", {"config-changed": GATE}, config={"number": {"type": "int", "default": 0}}
    )
    juju.deploy(charm, to="0")
    return "gated/0"


@pytest.fixture
def begun(juju: jubilant.Juju, gated: str) -> Iterator[Begun]:
    """A command whose hook has begun and waits; and what had run before it."""
    before = all_runs(juju, gated)
    as_root(juju, 0, "rm -f /var/lib/probe/open")
    touch(juju, "closed")
    number = juju.config("gated")["number"]
    assert isinstance(number, int)
    words = ["juju", "config", "-m", str(juju.model), "gated", f"number={number + 1}"]
    with start(*words) as process:
        try:
            assert wait_until(lambda: len(all_runs(juju, gated)) > len(before), timeout=30)
            yield process, before
        finally:
            # Whatever the test found, nothing of it waits on.
            touch(juju, "open")
            process.kill()


def test_an_interrupted_hook_goes_on_is_waited_for_and_run_again(
    juju: jubilant.Juju, gated: str, begun: Begun
) -> None:
    process, before = begun
    process.kill()
    process.communicate()
    status = start("juju", "status", "-m", str(juju.model))
    # The hook has not ended, so nothing else may run on its machine.
    with pytest.raises(subprocess.TimeoutExpired):
        status.communicate(timeout=2)
    assert events(all_runs(juju, gated)[len(before) :], gated) == ["config-changed"]
    touch(juju, "open")
    status.communicate(timeout=20)
    runs = all_runs(juju, gated)[len(before) :]
    # The last is the second of the two that follow each change.
    assert [(r.name, r.ended) for r in runs] == [("config-changed", True)] * 3
    assert len({r.context for r in runs}) == 3
    assert runs[1].alone


def test_an_interrupt_at_the_terminal_ends_the_command_and_not_the_hook(
    juju: jubilant.Juju, gated: str, begun: Begun
) -> None:
    process, before = begun
    os.killpg(process.pid, signal.SIGINT)
    _, words = process.communicate(timeout=10)
    assert process.returncode == 130
    assert "interrupted" in words
    assert "Traceback" not in words
    touch(juju, "open")
    assert jubilant.all_agents_idle(juju.status(), "gated")
    runs = all_runs(juju, gated)[len(before) :]
    assert [(r.name, r.ended) for r in runs] == [("config-changed", True)] * 3


def test_a_reader_does_not_wait_for_a_hook(juju: jubilant.Juju, gated: str, begun: Begun) -> None:
    process, _ = begun
    unit = juju.status().apps["gated"].units[gated]
    assert (unit.juju_status.current, unit.juju_status.message) == (
        "executing",
        "running config-changed hook",
    )
    touch(juju, "open")
    _, words = process.communicate(timeout=20)
    assert (process.returncode, words) == (0, "")


@pytest.mark.parametrize("trial", range(3))
def test_machines_boot_once_though_the_command_was_killed(
    juju: jubilant.Juju, slow: Path, trial: int
) -> None:
    before = set(juju.status().machines)
    moment = 0.25 + (trial + random.Random(SEED + trial).random()) * 0.3  # noqa: S311
    print(f"LOCALMODEL_SEED={SEED}: add-machine is killed after {moment:.3f} s")
    kill_after(start("juju", "add-machine", "-m", str(juju.model), "-n", "2"), moment)
    machines = juju.status().machines
    new = sorted(set(machines) - before)
    assert len(new) in (0, 2)
    assert {m.juju_status.current for m in machines.values()} == {"started"}
    assert supervisors(juju) == sorted(m.hostname for m in machines.values())
    for number in new:
        assert as_root(juju, number, "systemctl is-system-running").strip() == "running"
        juju.cli("remove-machine", number)
    assert set(juju.status().machines) == before
