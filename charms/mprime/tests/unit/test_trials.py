"""Benchmarks and stress tests, which run beside the frozen search."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import ops
import pytest
from ops import testing

from charms.mprime.tests.unit.conftest import Act, Hook
from charms.mprime.tests.unit.fake_host import DATA, Host
from dockerhost import Change, ContainerError, ContainerSpec, Mount

Context = testing.Context[ops.CharmBase]


class Clock:
    """Time that passes while somebody sleeps, and what happens then."""

    def __init__(self) -> None:
        self.now = 0.0
        self.then: Callable[[], None] = lambda: None

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        self.then()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "sleep", clock.sleep)
    monkeypatch.setattr(time, "monotonic", lambda: clock.now)
    return clock


REPORT = "M1257787 Iter# = 2000 [ 0.16% complete] clocks = 00:00:01.4 [ {} msec/iter]\n"


def test_a_benchmark_measures_beside_the_frozen_search(
    search: Host, act: Act, clock: Clock, context: Context
) -> None:
    trial = search.work / "mprime-0.trial"
    seen: list[ContainerSpec] = []

    def report() -> None:
        assert search.containers["mprime-0"].state == "paused"
        assert ",1257787," in (trial / "worktodo.ini").read_text()
        (trial / "p1257787.stat").write_text(REPORT.format("1.5000"))
        seen.append(search.specs["mprime-0.trial"])

    clock.then = report
    results = act("benchmark", seconds=40)
    assert results == {
        "engine": "mlucas",
        "exponent": 1257787,
        "ms-per-iteration": 1.5,
        "iterations-per-second": 666.67,
    }
    assert clock.now >= 40
    spec, own = seen[0], search.specs["mprime-0"]
    assert (spec.memory, spec.cpus, spec.cpuset) == (own.memory, own.cpus, own.cpuset)
    assert (spec.cgroup_parent, spec.user, spec.command) == (
        own.cgroup_parent,
        own.user,
        own.command,
    )
    assert [(mount.source, mount.target) for mount in spec.mounts] == [(str(trial), "/work")]
    assert search.did == ["freeze", "created", "remove", "thaw"]
    assert search.containers["mprime-0"].state == "running"
    assert not trial.exists()
    assert [log.split(",")[0] for log in context.action_logs] == ["1.5 ms/iteration"] * 2


def test_a_benchmark_without_a_report_says_what_to_do(
    search: Host, act: Act, clock: Clock
) -> None:
    search.log = ["still testing itself", ""]
    with pytest.raises(testing.ActionFailed) as caught:
        act("benchmark", seconds=5)
    assert caught.value.message == (
        "mlucas reported no speed within 5 s: still testing itself; give more seconds"
    )
    assert search.containers["mprime-0"].state == "running"


@pytest.mark.parametrize("action", ["benchmark", "stress-test"])
def test_the_search_goes_on_after_an_action_that_failed(
    search: Host, act: Act, clock: Clock, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    def refuse(_: ContainerSpec) -> Change:
        raise ContainerError("no space left on device")

    monkeypatch.setattr(search, "ensure", refuse)
    with pytest.raises(testing.ActionFailed, match="no space left on device"):
        act(action)
    assert search.did == ["freeze", "thaw"]


def specify_trial(search: Host) -> ContainerSpec:
    """Return the container of a trial, whose work directory is its own."""
    own = (Mount(str(search.work / "mprime-0.trial"), "/work"),)
    return replace(search.specs["mprime-0"], name="mprime-0.trial", mounts=own)


def test_the_search_goes_on_at_the_next_hook_after_an_action_that_was_killed(
    search: Host, act: Act, hook: Hook
) -> None:
    # What a killed action leaves.
    search.freeze("mprime-0")
    search.ensure(specify_trial(search))
    (search.work / "mprime-0.trial").mkdir()
    search.did.clear()
    hook()
    assert search.did == ["remove", "thaw"]
    assert sorted(path.name for path in search.work.iterdir()) == ["mprime-0"]


def test_a_trial_that_was_left_is_cleared_up_beside_a_paused_search(
    search: Host, act: Act, hook: Hook
) -> None:
    search.ensure(specify_trial(search))
    act("pause")
    hook()
    assert list(search.containers) == ["mprime-0"]


PRIME = "M110503 is a known MERSENNE PRIME.\n"
WRONG = (DATA / "results.txt").read_text().replace("DB43B1563828DEB6", "0000000000000001")


def test_a_stress_test_counts_tests_over_and_over(
    search: Host, act: Act, clock: Clock, context: Context
) -> None:
    trial = search.work / "mprime-0.trial"

    def finish() -> None:
        clock.now += 25
        (trial / "results.txt").write_text((DATA / "results.txt").read_text())
        (trial / "p110503.stat").write_text(PRIME)
        ended = replace(search.containers["mprime-0.trial"], state="exited", pid=0)
        search.containers["mprime-0.trial"] = ended

    clock.then = finish
    assert act("stress-test", minutes=2) == {"engine": "mlucas", "tests": 10, "errors": 0}
    assert "2 tests done, 0 errors, 1.6 min left" in context.action_logs
    assert search.containers["mprime-0"].state == "running"


def test_a_wrong_outcome_fails_a_stress_test_and_is_told(
    search: Host, act: Act, clock: Clock, context: Context
) -> None:
    trial = search.work / "mprime-0.trial"

    def finish() -> None:
        (trial / "results.txt").write_text(WRONG.replace('"exponent":110503', ""))
        ended = replace(search.containers["mprime-0.trial"], state="exited", pid=0)
        search.containers["mprime-0.trial"] = ended

    clock.then = finish
    search.log = ["ERROR: out of luck"]
    with pytest.raises(testing.ActionFailed) as caught:
        act("stress-test", minutes=2)
    assert caught.value.message == (
        "2 errors in 1 tests: M110527 has the residue 0000000000000001; "
        "mlucas ended early: ERROR: out of luck; don't trust this machine's processor or memory"
    )
    assert context.action_results == {"engine": "mlucas", "tests": 1, "errors": 2}
