"""A charm that was written from the tutorial alone, on a machine of the tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ops
import pytest
from ops import testing

from dockerhost import Image
from harvest.metrics import UnitCollector
from harvest.policy import Policy
from lib.cosagent.tests.unit.fixtures import untraced
from lib.harvest.tests.unit.fake_host import BASE, Host
from lib.harvest.tests.unit.fixtures import (
    RELATION,
    MakeHost,
    context,
    kernel,
    make_host,
    owners,
)
from tests.charms.load import load_charm

__all__ = ["context", "kernel", "make_host", "owners", "untraced"]
CHARM = Path(__file__).parents[2]
STATE = testing.State(relations={RELATION})
Context = testing.Context[ops.CharmBase]


@pytest.fixture(scope="module")
def charm_type() -> type[ops.CharmBase]:
    return load_charm("counter").CounterCharm


@pytest.fixture
def host(make_host: MakeHost, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(ops.CharmBase, "charm_dir", CHARM)
    recipes, registry = {"counter": Image("sha256:1", {})}, {"debian:trixie-slim": BASE}
    return make_host(Host, "counter", recipes=recipes, registry=registry)


@pytest.fixture
def status(host: Host, context: Context) -> Callable[[], Any]:
    """Runs a hook, and returns the unit's status."""
    return lambda: context.run(context.on.update_status(), STATE).unit_status


def test_it_builds_its_image_runs_it_and_tells_how_far_it_is(
    host: Host, status: Callable[[], Any]
) -> None:
    assert status() == testing.ActiveStatus("at 0")
    assert host.did == ["install", "pull debian:trixie-slim", "build counter", "created"]
    (host.directory / "count").write_text("1302\n")
    assert status() == testing.ActiveStatus("at 1302")
    spec = host.specs["counter-0"]
    assert (spec.command, spec.network, spec.user) == (("4",), "none", "65532:65532")
    assert [(mount.source, mount.target) for mount in spec.mounts] == [
        (str(host.directory), "/work")
    ]


def test_what_its_container_writes_is_a_count_or_none(
    host: Host, status: Callable[[], Any]
) -> None:
    status()
    (host.directory / "count").write_text("9" * 100_000)
    assert status() == testing.ActiveStatus(f"at {'9' * 18}")
    (host.directory / "count").write_text("\x1b[2J")
    assert status() == testing.ActiveStatus("at 0")


def test_it_is_paused_resumed_and_removed_as_every_such_charm(
    host: Host, status: Callable[[], Any], context: Context
) -> None:
    status()
    context.run(context.on.action("pause"), STATE)
    assert status() == testing.MaintenanceStatus("paused; run the action resume to continue")
    context.run(context.on.action("resume"), STATE)
    assert context.action_results == {"message": "at 0"}
    context.run(context.on.stop(), STATE)
    assert host.containers == {}
    assert host.directory.exists()


def test_it_goes_on_after_somebody_stopped_its_container(
    host: Host, status: Callable[[], Any]
) -> None:
    status()
    host.end(exit_code=0)  # as it ends when a signal tells it to
    host.did.clear()
    assert status() == testing.ActiveStatus("at 0")
    assert host.did == ["started"]


def test_it_has_the_metrics_of_every_such_charm_and_its_own(
    host: Host, status: Callable[[], Any]
) -> None:
    status()
    (host.directory / "count").write_text("7\n")
    from counter import Count, describe_count

    collector = UnitCollector(Count(), "counter/0", Policy.IDLE, describe_count)
    found = {sample.name: sample.value for each in collector.collect() for sample in each.samples}
    assert found["counter_running"] == 1
    assert found["counter_cpu_policy_in_force"] == 1
    assert found["counter_checkpoint_age_seconds"] >= 0
    assert found["counter_count"] == 7
