"""What a charm shows of its workload's report, and what a trial tells of its program."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import ops
import pytest
from ops import testing

from dockerhost import Container, Image, Mount
from harvest.charm import HarvestCharm
from harvest.options import Options
from harvest.reconcile import make_plan
from harvest.tasks import TaskError
from harvest.trial import trying
from harvest.unit import Unit
from harvest.workdir import WorkDirectory
from harvest.workload import Desired, Job, Report, Share, Workload
from lib.harvest.tests.unit.fake_host import SMALL, Host

META = {
    "name": "digits",
    "subordinate": True,
    "requires": {"juju-info": {"interface": "juju-info", "scope": "container"}},
    "provides": {"cos-agent": {"interface": "cos_agent"}},
}
OPTIONS = {"options": {"image": {"type": "string"}, "metrics-port": {"type": "int"}}}
ACTIONS = {name: {} for name in ("pause", "resume", "logs", "adopt-work")}
CONFIG = {"image": "r.example/small:1", "metrics-port": 9650}


class Digits(Workload[Options, None]):
    name = "digits"
    options = Options

    def make_job(self, desired: Desired[Options], image: Image, share: Share) -> Job:
        return Job("digits", memory=2**26, mode=0o755)

    def read(
        self, container: Container, work: WorkDirectory, log: Sequence[str]
    ) -> Report[None] | None:
        return Report("digits", "computing", None, refused=log[-1] if log else "")


class DigitsCharm(HarvestCharm[Options, None]):
    workload = Digits()


@pytest.fixture
def context(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> testing.Context[ops.CharmBase]:
    monkeypatch.setattr(ops.CharmBase, "charm_dir", tmp_path)
    return testing.Context(
        DigitsCharm, META, config=OPTIONS, actions=ACTIONS, unit_id=0, app_name="digits"
    )


def test_what_a_program_refuses_blocks_the_unit_until_it_does_it(
    host: Host, context: testing.Context[ops.CharmBase]
) -> None:
    host.registry["r.example/small:1"] = SMALL
    state = testing.State(config={**CONFIG})
    assert context.run(context.on.install(), state).unit_status == testing.ActiveStatus(
        "computing"
    )
    host.log = ["only 4 fit"]
    host.end(state="restarting", exit_code=3)
    status = context.run(context.on.update_status(), state).unit_status
    assert status == testing.BlockedStatus("only 4 fit")


def test_a_job_says_who_may_read_its_work_directory(
    host: Host, context: testing.Context[ops.CharmBase]
) -> None:
    host.registry["r.example/small:1"] = SMALL
    context.run(context.on.install(), testing.State(config={**CONFIG}))
    assert host.directory.stat().st_mode & 0o777 == 0o755


def test_a_trial_runs_other_words_and_tells_what_they_ended_with(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    host.images["small"] = SMALL
    config = Options(metrics_port=9650)
    desired = Desired(Unit("digits", "digits/0"), config, tmp_path)
    plan = make_plan(Digits(), desired, host.engine, SMALL)
    plan = replace(plan, spec=replace(plan.spec, command=("verify",)))
    with trying(desired, host.engine, plan) as trial:
        trial.start(lambda work: work.write("a", "text"))
        spec = host.specs["digits-0.trial"]
        assert spec.command == ("verify",)
        assert spec.mounts == (Mount(str(trial.work.path), "/work"),)
        with pytest.raises(TaskError, match="did not end within 0 s; try again later"):
            trial.await_end(0, told.clear)
        there = host.containers["digits-0.trial"]
        ended = replace(there, state="exited", exit_code=4)
        monkeypatch.setattr(
            time, "sleep", lambda _: host.containers.update({"digits-0.trial": ended})
        )
        monkeypatch.setattr(trial, "is_due", lambda: True)
        assert trial.await_end(60, lambda: told.append("waiting")) == 4
    assert told == ["waiting"]
    assert not trial.work.path.exists()
