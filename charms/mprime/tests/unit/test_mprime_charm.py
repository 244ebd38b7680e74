from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import ops
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ops import testing

from charms.mprime.tests.unit.fake_host import DATA, MLUCAS, MPRIME, Host
from dockerhost import Image
from lib.harvest.tests.unit.fake_host import BASE
from lib.harvest.tests.unit.fixtures import RELATION

CA = (DATA / "ca.crt").read_text()
REGISTRY = "172.30.0.3:5000"
IMAGE = f"{REGISTRY}/mlucas:1"
EVENTS = ("install", "config_changed", "start", "upgrade_charm", "update_status")
Run = Callable[..., testing.State]


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_starts_the_search(host: Host, run: Run, event: str) -> None:
    host.registry[IMAGE] = MLUCAS
    state = run(event, image=IMAGE)
    assert host.did == ["install", f"pull {IMAGE}", "created"]
    assert state.unit_status == testing.ActiveStatus("M110503: 0.0 %")
    assert state.workload_version == "mlucas 20.1.1"


@pytest.mark.parametrize("event", ["relation_created", "relation_joined", "relation_changed"])
def test_every_event_of_the_relation_starts_the_search(
    host: Host, context: testing.Context[ops.CharmBase], event: str
) -> None:
    host.registry[IMAGE] = MLUCAS
    state = testing.State(config={"image": IMAGE}, relations={RELATION})
    context.run(getattr(context.on, event)(RELATION), state)
    assert "created" in host.did


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_with_nothing_to_change_changes_nothing(host: Host, run: Run, event: str) -> None:
    host.registry[IMAGE] = MLUCAS
    run("install", image=IMAGE, **{"registry-ca": CA})
    files = {path: path.stat().st_mtime_ns for path in host.work.rglob("*")}
    host.did.clear()
    run(event, image=IMAGE, **{"registry-ca": CA})
    assert host.did == []
    assert {path: path.stat().st_mtime_ns for path in host.work.rglob("*")} == files


def test_the_steps_that_take_time_show_in_the_status(
    host: Host, run: Run, context: testing.Context[ops.CharmBase]
) -> None:
    host.registry[IMAGE] = MLUCAS
    run("install", image=IMAGE)
    shown = [(status.name, status.message) for status in context.unit_status_history]
    assert ("maintenance", "installing docker.io") in shown
    assert ("maintenance", f"pulling {IMAGE}") in shown


def test_the_search_has_no_privileges_and_one_writable_place(
    host: Host, run: Run, owners: list[tuple[int, int]]
) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE)
    spec = host.specs["mprime-0"]
    assert spec.user == "65532:65532"
    assert spec.network == "none"
    assert spec.read_only
    assert spec.no_new_privileges
    assert spec.cap_drop == ("ALL",)
    assert (spec.memory, spec.pids_limit) == (256 * 1024 * 1024, 64)
    assert (spec.oom_score_adj, spec.restart) == (1000, "on-failure")
    assert [(mount.source, mount.target) for mount in spec.mounts] == [
        (str(host.directory), "/work")
    ]
    assert host.directory.stat().st_mode & 0o777 == 0o700
    assert set(owners) == {(65532, 65532)}


def test_the_search_joins_the_network_that_is_named_and_runs_on_while_there_is_none(
    host: Host, run: Run
) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE)
    assert run(image=IMAGE, network="fan").unit_status == testing.BlockedStatus(
        "option network: Docker has no network fan on this machine; "
        "the charm fan makes one named fan"
    )
    assert host.specs["mprime-0"].network == "none"
    assert host.containers["mprime-0"].state == "running"
    host.networks.add("fan")
    assert run(image=IMAGE, network="fan").unit_status == testing.ActiveStatus("M110503: 0.0 %")
    assert host.specs["mprime-0"].network == "fan"


def test_progress_and_the_time_left_show_in_the_status(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE)
    host.show("p216091.stat")
    host.list_work(216091)
    assert run(image=IMAGE).unit_status == testing.ActiveStatus("M216091: 12.0 %, 51 s left")


def test_what_was_found_comes_first_in_the_status(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE)
    host.show("p110503.stat", "p216091.stat")
    host.list_work(216091)
    status = run(image=IMAGE).unit_status
    assert status == testing.ActiveStatus("M110503 is prime; M216091: 12.0 %, 51 s left")


def test_a_search_that_is_out_of_work_is_not_started_again(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE, worktodo="110503")
    host.show("p110503.stat")
    host.list_work()
    host.end()
    host.did.clear()
    status = run(image=IMAGE, worktodo="110503").unit_status
    assert status == testing.ActiveStatus("out of work; 1 prime found: M110503")
    assert host.did == []


def test_a_search_that_ended_while_there_is_work_is_started(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE)
    host.end(exit_code=1, ran=3)
    host.did.clear()
    assert run(image=IMAGE).unit_status == testing.ActiveStatus("M110503: 0.0 %")
    assert host.did == ["started"]


def test_a_program_that_refuses_its_work_is_told_with_its_last_words(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE)
    host.log = [" Return with code ERR_RUN_SELFTEST_FORLENGTH", "Init threadpool", ""]
    host.end(exit_code=0, ran=1)
    assert run(image=IMAGE).unit_status == testing.BlockedStatus(
        "mlucas ends at once, with work left (M110503): "
        "Return with code ERR_RUN_SELFTEST_FORLENGTH"
    )


def test_an_engine_that_restarts_is_waited_for(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE)
    host.log = ["worktodo.ini file not found"]
    host.end(state="restarting", exit_code=1)
    assert run(image=IMAGE).unit_status == testing.WaitingStatus(
        "mlucas is restarting: worktodo.ini file not found"
    )


def test_an_image_that_cannot_be_pulled_blocks_and_heals_by_itself(host: Host, run: Run) -> None:
    host.refusal = "connection refused"
    state = run("install", image=IMAGE)
    assert state.unit_status == testing.BlockedStatus(f"image {IMAGE}: connection refused")
    host.registry[IMAGE] = MLUCAS
    assert run(image=IMAGE).unit_status == testing.ActiveStatus("M110503: 0.0 %")


def test_a_failed_pull_leaves_the_old_container_running(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE)
    before = host.containers["mprime-0"]
    status = run("config_changed", image=f"{REGISTRY}/mlucas:2").unit_status
    assert status == testing.BlockedStatus(f"image {REGISTRY}/mlucas:2: manifest unknown")
    assert host.containers["mprime-0"] is before


def test_another_image_replaces_the_container_and_keeps_the_work(host: Host, run: Run) -> None:
    host.registry |= {IMAGE: MLUCAS, f"{REGISTRY}/mprime:1": MPRIME}
    run(image=IMAGE)
    host.list_work(216091)
    host.did.clear()
    state = run("config_changed", image=f"{REGISTRY}/mprime:1")
    assert host.did == [f"pull {REGISTRY}/mprime:1", "stop", "replaced"]
    assert "216091" in (host.directory / "worktodo.ini").read_text()
    assert state.workload_version == "mprime 30.19"


@pytest.mark.parametrize(("label", "shown"), [(None, "''"), ("boinc", "'boinc'")])
def test_an_image_without_an_engine_we_know_blocks(
    host: Host, run: Run, label: str | None, shown: str
) -> None:
    labels = {"mersenne.engine": label} if label else {}
    host.registry[IMAGE] = Image("sha256:3", labels)
    assert run(image=IMAGE).unit_status == testing.BlockedStatus(
        f"image {IMAGE}: its label mersenne.engine is {shown}, and must be one of: mlucas, mprime"
    )
    assert not host.containers


def test_without_an_image_one_is_built_from_the_charms_dockerfile(
    host: Host, context: testing.Context[ops.CharmBase], charm_images: None
) -> None:
    host.registry["debian:trixie-slim"] = BASE
    host.unbuildable = {"mprime"}
    context.run(context.on.install(), testing.State())
    state = context.run(context.on.update_status(), testing.State())
    # This registry lacks what is pinned.
    steps = ["install", "pull debian:trixie-slim", "build mlucas", "prune", "created"]
    assert host.did == steps
    assert state.unit_status == testing.ActiveStatus("M110503: 0.0 %")


def test_an_image_that_cannot_be_built_blocks_and_says_what_else_to_do(
    host: Host, run: Run, charm_images: None
) -> None:
    host.refusal = "docker.io: no such host"
    assert run("install").unit_status == testing.BlockedStatus(
        "no image can be built here: image debian:trixie-slim: docker.io: no such host; "
        "give a ready one with the option image or the resource mprime-image"
    )


def test_a_registrys_authority_is_trusted_and_given_back(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE, **{"registry-ca": CA})
    assert (host.certificates / REGISTRY / "ca.crt").read_text().endswith(CA)
    run("config_changed", image=IMAGE)
    assert not (host.certificates / REGISTRY).exists()


def test_an_authority_moves_with_the_image(host: Host, run: Run) -> None:
    host.registry |= {IMAGE: MLUCAS, "r.example/mlucas:1": MLUCAS}
    run(image=IMAGE, **{"registry-ca": CA})
    run(image="r.example/mlucas:1", **{"registry-ca": CA})
    assert [path.name for path in host.certificates.iterdir()] == ["r.example"]


def test_stop_removes_the_container_and_the_authority_and_keeps_the_work(
    host: Host, run: Run
) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE, **{"registry-ca": CA})
    run("stop", image=IMAGE, **{"registry-ca": CA})
    assert not host.containers
    assert list(host.certificates.iterdir()) == []
    assert (host.directory / "worktodo.ini").exists()


def test_work_that_is_there_is_never_overwritten(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MLUCAS
    host.directory.mkdir(parents=True)
    host.list_work(2976221)
    (host.directory / "mlucas.cfg").write_text("tuned\n")
    run("install", image=IMAGE)
    assert (host.directory / "mlucas.cfg").read_text() == "tuned\n"
    assert "2976221" in (host.directory / "worktodo.ini").read_text()


def test_work_that_is_done_is_not_begun_again(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MLUCAS
    host.directory.mkdir(parents=True)
    host.show("p110503.stat")
    status = run("install", image=IMAGE, worktodo="110503").unit_status
    assert (host.directory / "worktodo.ini").read_text() == ""
    assert status == testing.ActiveStatus("out of work; 1 prime found: M110503")


def test_an_engine_that_does_not_work_blocks_every_event_and_fails_none(
    host: Host, run: Run
) -> None:
    host.broken = "apt-get install docker.io: Unable to locate package docker.io"
    for event in EVENTS:
        assert run(event).unit_status == testing.BlockedStatus(host.broken)
    run("stop")


def test_a_work_directory_that_cannot_be_made_blocks(host: Host, run: Run) -> None:
    host.registry[IMAGE] = MLUCAS
    host.work.write_text("")
    assert run(image=IMAGE).unit_status == testing.BlockedStatus(
        f"{host.directory}: Not a directory"
    )


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"image": "Not One"}, "option image: 'Not One' is not an image reference"),
        ({"registry-ca": "hello"}, "option registry-ca: contains no certificate"),
        ({"install_sources": "jammy"}, "option install_sources: 'jammy' is not a source that is"),
        ({"install_sources": "http://a b c", "install_keys": "9DC8"}, "option install_keys: '9D"),
        (
            {"registry-ca": f"-----BEGIN PRIVATE KEY-----{CA}"},
            "option registry-ca: contains a priv",
        ),
    ],
)
def test_a_wrong_option_blocks_by_name_and_leaves_the_search_alone(
    host: Host, run: Run, config: dict[str, str], told: str
) -> None:
    host.registry[IMAGE] = MLUCAS
    run(image=IMAGE)
    host.did.clear()
    status = run("config_changed", **config).unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert status.message.startswith(told)
    assert "\n" not in status.message
    assert host.did == []


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)
@given(image=st.text(max_size=60), ca=st.text(max_size=60))
def test_no_configuration_fails_a_hook(
    host: Host, run: Run, charm_images: None, image: str, ca: str
) -> None:
    host.refusal = "connection refused"
    config: dict[str, Any] = {"image": image, "registry-ca": ca}
    assert run("config_changed", **config).unit_status.name in ("active", "blocked")


def test_the_action_progress_tells_all_numbers(
    host: Host, run: Run, context: testing.Context[ops.CharmBase]
) -> None:
    host.registry[IMAGE] = MLUCAS
    state = run(image=IMAGE)
    host.show("p216091.stat")
    host.list_work(216091)
    after = context.run(context.on.action("progress"), state)
    assert context.action_results == {
        "exponent": 216091,
        "percent": 12.03,
        "iteration": 26000,
        "iterations": 216089,
        "ms-per-iteration": 0.2673,
        "seconds-left": 51,
    }
    assert after.unit_status == state.unit_status


def test_the_action_progress_says_when_there_is_no_work(
    host: Host, run: Run, context: testing.Context[ops.CharmBase]
) -> None:
    host.registry[IMAGE] = MLUCAS
    state = run(image=IMAGE)
    host.list_work()
    context.run(context.on.action("progress"), state)
    assert context.action_results == {"message": "out of work"}


def test_the_action_results_lists_primes_and_residues(
    host: Host, run: Run, context: testing.Context[ops.CharmBase]
) -> None:
    host.registry[IMAGE] = MLUCAS
    state = run(image=IMAGE)
    host.show("p110503.stat", "results.txt")
    context.run(context.on.action("results"), state)
    results = context.action_results
    assert results
    assert results["primes"] == "M110503"
    assert results["composites"] == "M110527 DB43B1563828DEB6"
    assert json.loads(results["json"]) == {
        "primes": [110503],
        "composites": [{"exponent": 110527, "residue": "DB43B1563828DEB6", "factor": ""}],
        "probable": [],
        "unfactored": [],
    }


@pytest.mark.parametrize("action", ["progress", "results"])
def test_an_action_without_a_search_fails_with_one_clear_line(
    host: Host, context: testing.Context[ops.CharmBase], action: str
) -> None:
    with pytest.raises(testing.ActionFailed, match="no search on this machine yet"):
        context.run(context.on.action(action), testing.State())


@pytest.mark.parametrize("action", ["progress", "results"])
def test_an_action_without_an_engine_fails_with_its_reason(
    host: Host, context: testing.Context[ops.CharmBase], action: str
) -> None:
    host.broken = "the Docker Engine does not answer"
    with pytest.raises(testing.ActionFailed, match="does not answer"):
        context.run(context.on.action(action), testing.State())


def test_an_action_on_a_blocked_unit_leaves_it_blocked(
    host: Host, context: testing.Context[ops.CharmBase]
) -> None:
    status = testing.BlockedStatus("image x: connection refused")
    host.registry[IMAGE] = MLUCAS
    context.run(context.on.update_status(), testing.State(config={"image": IMAGE}))
    after = context.run(context.on.action("progress"), testing.State(unit_status=status))
    assert after.unit_status == status
