"""Every event of the charm, every status, and each option in the container's specification."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import ops
import pytest
from ops import testing

from charms.spare.tests.unit.conftest import CHARM, IMAGE, RELATION, Context
from dockerhost import Image
from harvest.metrics import UnitCollector
from harvest.policy import Policy
from lib.harvest.tests.unit.dashboards import check_dashboard, list_metrics
from lib.harvest.tests.unit.fake_host import Host

EVENTS = ("install", "config_changed", "start", "upgrade_charm", "update_status")
Run = Callable[..., testing.State]


def spec(host: Host) -> Any:
    """The specification that the unit's container was made from."""
    return host.specs["spare-0"]


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_runs_the_image(host: Host, run: Run, event: str) -> None:
    state = run(event)
    assert host.did == ["install", f"pull {IMAGE}", "created"]
    assert state.unit_status == testing.ActiveStatus("running")
    assert state.workload_version == "tell:1"


@pytest.mark.parametrize("event", ["relation_created", "relation_joined", "relation_changed"])
def test_every_event_of_the_relation_runs_the_image(
    host: Host, context: Context, event: str
) -> None:
    state = testing.State(config={"image": IMAGE}, relations={RELATION})
    context.run(getattr(context.on, event)(RELATION), state)
    assert "created" in host.did


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_with_nothing_to_change_changes_nothing(host: Host, run: Run, event: str) -> None:
    options = {"user": "1000:1", "command": "a b", "environment": "A=1"}
    run("install", **options)
    host.did.clear()
    run(event, **options)
    assert host.did == []


def test_sources_of_packages_count_before_an_engine_is_installed_and_go_with_the_unit(
    host: Host, run: Run, context: Context
) -> None:
    one, other = (f"deb http://{name}.example/debian {{series}} main" for name in ("a", "b"))
    run("install", install_sources=one)
    assert host.did == ["sources http://a.example/debian", "install", f"pull {IMAGE}", "created"]
    shown = [status.message for status in context.unit_status_history]
    assert shown.index("reading the sources of packages") < shown.index("installing docker.io")
    host.did.clear()
    run(install_sources=one)
    assert host.did == []
    run("config_changed", install_sources=f"[{one}, {other}]".replace("{series}", "trixie"))
    assert host.did == ["sources http://a.example/debian, http://b.example/debian"]
    run("stop")
    assert host.sources == {}


def test_sources_that_can_not_be_read_block_and_the_program_goes_on(host: Host, run: Run) -> None:
    run()
    assert run(install_sources="http://nowhere stable main").unit_status == testing.BlockedStatus(
        "option install_sources: apt-get update: Could not resolve 'nowhere'"
    )
    assert host.containers["spare-0"].state == "running"


def test_without_an_image_it_is_blocked_and_says_what_to_do(host: Host, run: Run) -> None:
    assert run(image="").unit_status == testing.BlockedStatus(
        "there is no image; give one with the option image or the resource spare-image"
    )
    assert host.containers == {}


def test_an_image_in_a_file_goes_before_the_option(host: Host, run: Run, tmp_path: Path) -> None:
    host.resource, host.archive = tmp_path / "image.tar", Image("sha256:9", {})
    files: dict[str, Any] = {"config.json": {}, "layer.tar": {}}
    files["manifest.json"] = [{"Config": "config.json", "Layers": ["layer.tar"]}]
    with tarfile.open(host.resource, "w") as tar:
        for name, content in files.items():
            data = json.dumps(content).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    state = run()
    assert host.did == ["install", "load", "created"]
    assert spec(host).image == "sha256:9"
    assert state.workload_version == "spare-image"


def test_the_defaults_are_the_least_that_runs_a_program(host: Host, run: Run) -> None:
    run()
    made = spec(host)
    assert (made.command, made.environment) == ((), {})
    assert (made.user, made.network, made.read_only) == ("65532:65532", "none", True)
    assert (made.cap_drop, made.no_new_privileges) == (("ALL",), True)
    assert (made.memory, made.cpus, made.restart) == (2**30, 0, "unless-stopped")
    assert (made.stop_signal, made.stop_timeout) == ("", 10)
    assert [(m.source, m.target) for m in made.mounts] == [(str(host.directory), "/work")]


def test_each_option_is_in_the_containers_specification(
    host: Host, run: Run, owners: list[tuple[int, int]]
) -> None:
    host.networks.add("fan")
    state = run(
        command="--name 'two words' \"\" $HOME",
        environment="A=1\n# none\n\nB='x=y' \n",
        work_path="/var/lib/job",
        user="1000:100",
        restart="on-failure",
        stop_signal="SIGINT",
        stop_timeout=60,
        network="fan",
        cpus=0.5,
        memory_limit="256M",
        cpuset="0-1",
    )
    assert state.unit_status == testing.ActiveStatus("running")
    made = spec(host)
    assert made.command == ("--name", "two words", "", "$HOME")
    assert made.environment == {"A": "1", "B": "'x=y' "}
    assert (made.mounts[0].target, made.user) == ("/var/lib/job", "1000:100")
    assert (made.restart, made.stop_signal, made.stop_timeout) == ("on-failure", "SIGINT", 60)
    assert (made.network, made.cpus, made.memory, made.cpuset) == ("fan", 0.5, 2**28, "0-1")
    assert owners[-1] == (1000, 100)


def test_another_user_gets_the_work_once_the_container_has_ended(
    host: Host, run: Run, owners: list[tuple[int, int]]
) -> None:
    run()
    (host.directory / "saved").write_text("half")
    host.did.clear()
    owners.clear()
    run(user="1000")
    assert host.did == ["stop", "replaced"]
    assert owners[-1] == (1000, 1000)
    assert spec(host).user == "1000:1000"


def test_units_of_one_application_stand_by_for_each_other(host: Host, run: Run) -> None:
    host.let_work("spare/7")
    assert run().unit_status == testing.ActiveStatus("standby: spare/7 works on this machine")
    assert set(host.containers) == {"spare-7"}


def test_another_application_of_the_charm_runs_its_own_image_beside_it(
    host: Host, run: Run
) -> None:
    host.let_work("boinc/0")
    assert run().unit_status == testing.ActiveStatus("running")
    assert set(host.containers) == {"boinc-0", "spare-0"}


def test_what_a_unit_of_another_application_left_is_cleared_away(host: Host, run: Run) -> None:
    host.let_work("boinc/0")
    (host.agents / "unit-boinc-0").rmdir()
    run()
    assert set(host.containers) == {"spare-0"}


SAID = ["starting", "step 1", "step 2 \x1b[2J", ""]


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({}, testing.ActiveStatus("running: step 2 \ufffd[2J")),
        ({"restarts": 1}, testing.ActiveStatus("running, 1 restart: step 2 \ufffd[2J")),
        ({"restarts": 7}, testing.ActiveStatus("running, 7 restarts: step 2 \ufffd[2J")),
        (
            {"state": "restarting", "exit_code": 3, "restarts": 2},
            testing.WaitingStatus("restarting, code 3, 2 restarts: step 2 \ufffd[2J"),
        ),
        (
            {"state": "restarting", "exit_code": 137, "restarts": 2, "oom_killed": True},
            testing.WaitingStatus("restarting, out of memory, 2 restarts: step 2 \ufffd[2J"),
        ),
    ],
)
def test_the_status_tells_state_restarts_and_the_last_line(
    host: Host, run: Run, state: dict[str, Any], expected: Any
) -> None:
    run()
    host.log = SAID
    host.containers["spare-0"] = replace(host.containers["spare-0"], **state)
    assert run().unit_status == expected


def test_what_a_program_prints_is_bounded_in_the_status(host: Host, run: Run) -> None:
    run()
    host.log = ["x" * 10_000]
    assert run().unit_status == testing.ActiveStatus(f"running: {'x' * 119}…")


def test_a_batch_job_that_has_ended_with_0_is_done(host: Host, run: Run) -> None:
    run(restart="on-failure")
    host.log = ["all 7 files converted"]
    host.end()
    host.did.clear()
    state = run(restart="on-failure")
    assert state.unit_status == testing.ActiveStatus("done: all 7 files converted")
    assert host.did == []


@pytest.mark.parametrize(("restart", "code"), [("on-failure", 1), ("unless-stopped", 0)])
def test_a_program_that_somebody_stopped_is_started_again(
    host: Host, run: Run, restart: str, code: int
) -> None:
    run(restart=restart)
    host.end(exit_code=code, ran=1)
    host.did.clear()
    assert run(restart=restart).unit_status == testing.ActiveStatus("running")
    assert host.did == ["started"]


@pytest.mark.parametrize("code", [0, 1])
def test_a_service_that_becomes_a_batch_job_is_started_once_more(
    host: Host, run: Run, code: int
) -> None:
    run()
    host.end(exit_code=code)
    host.did.clear()
    run(restart="on-failure")
    assert host.did == ["started"]
    host.end()
    assert run(restart="on-failure").unit_status == testing.ActiveStatus("done")


def test_a_secrets_values_are_the_programs_variables_and_nowhere_else(
    host: Host, context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    value = "correct horse battery staple"
    secret = testing.Secret({"account-key": value}, latest_content={"account-key": f"{value} 2"})
    state = testing.State(
        config={"image": IMAGE, "environment": "A=1", "environment-secret": secret.id},
        relations={RELATION},
        secrets={secret},
    )
    out = context.run(context.on.secret_changed(secret), state)
    made = spec(host)
    assert made.environment == {"A": "1", "ACCOUNT_KEY": f"{value} 2"}
    assert out.unit_status == testing.ActiveStatus("running")
    labels = host.containers["spare-0"].labels
    shown = [repr(made), repr(labels), caplog.text, repr(context.juju_log), repr(made.command)]
    assert not [text for text in shown if "horse" in text]


def test_a_secret_that_was_rotated_replaces_the_container(host: Host, context: Context) -> None:
    def change(value: str) -> None:
        secret = testing.Secret({"key": value})
        state = testing.State(
            config={"image": IMAGE, "environment-secret": secret.id},
            relations={RELATION},
            secrets={secret},
        )
        context.run(context.on.secret_changed(secret), state)

    change("one")
    host.did.clear()
    change("one")
    assert host.did == []
    change("two")
    assert host.did == ["replaced"]
    assert spec(host).environment == {"KEY": "two"}


def test_a_secret_that_was_not_granted_blocks_and_tells_how_to_grant_it(run: Run) -> None:
    status = run(environment_secret="secret:cvq3b1kvmp25c9d8zzzz").unit_status
    assert status.name == "blocked"
    assert status.message.startswith("option environment-secret: there is no secret secret:cvq3b")
    assert "juju grant-secret NAME spare" in status.message


def test_a_program_starts_where_its_image_says_or_else_where_it_can_write(
    host: Host, run: Run
) -> None:
    host.registry[IMAGE] = Image("sha256:1", {}, working_dir="/opt/job")
    run()
    assert spec(host).working_dir == ""
    host.registry["172.30.0.3:5000/jobs/bare:1"] = Image("sha256:2", {})
    run(image="172.30.0.3:5000/jobs/bare:1", work_path="/var/lib/job")
    assert spec(host).working_dir == "/var/lib/job"


def test_an_image_that_names_no_program_needs_a_command(host: Host, run: Run) -> None:
    host.registry[IMAGE] = Image("sha256:1", {}, names_program=False)
    assert run().unit_status == testing.BlockedStatus(
        "tell:1 does not say what it runs; build it with an ENTRYPOINT or a CMD, or give the "
        "program with the option command"
    )
    assert run(command="/bin/job").unit_status == testing.ActiveStatus("running")


@pytest.mark.parametrize(
    ("volumes", "message"),
    [
        (("/data/",), "option work-path: /work is not the image's VOLUME; give /data/"),
        (
            ("/data", "/more"),
            f"image {IMAGE}: it has a VOLUME /data, where the program could write, too; "
            "give an image without it",
        ),
    ],
)
def test_an_image_with_other_volumes_is_refused(
    host: Host, run: Run, volumes: tuple[str, ...], message: str
) -> None:
    host.registry[IMAGE] = Image("sha256:1", {}, volumes=volumes)
    assert run().unit_status == testing.BlockedStatus(message)
    assert host.containers == {}


def test_a_volume_may_be_where_the_work_is(host: Host, run: Run) -> None:
    host.registry[IMAGE] = Image("sha256:1", {}, volumes=("/data/",))
    assert run(work_path="/data").unit_status == testing.ActiveStatus("running")


def test_a_network_that_is_not_there_blocks(run: Run) -> None:
    assert run(network="lost").unit_status == testing.BlockedStatus(
        "option network: Docker has no network lost on this machine; "
        "the charm fan makes one named fan"
    )


def test_a_broken_engine_blocks_and_no_hook_fails(host: Host, run: Run) -> None:
    host.broken = "the Docker Engine does not answer"
    assert run().unit_status == testing.BlockedStatus("the Docker Engine does not answer")


def test_a_program_goes_on_while_an_option_is_wrong(host: Host, run: Run) -> None:
    run()
    host.did.clear()
    status = run(command="'").unit_status
    assert status.name == "blocked"
    assert "option command: " in status.message
    assert host.did == []


def test_it_is_paused_and_resumed(host: Host, run: Run, context: Context) -> None:
    run()
    state = testing.State(config={"image": IMAGE}, relations={RELATION})
    context.run(context.on.action("pause"), state)
    assert context.action_results == {"message": "paused; run the action resume to continue"}
    paused = testing.MaintenanceStatus("paused; run the action resume to continue")
    assert run().unit_status == paused
    context.run(context.on.action("resume"), state)
    assert context.action_results == {"message": "running"}


def test_its_log_is_shown(host: Host, run: Run, context: Context) -> None:
    run()
    host.log = ["one", "two \x07"]
    state = testing.State(config={"image": IMAGE}, relations={RELATION})
    context.run(context.on.action("logs", params={"lines": 1}), state)
    assert context.action_results == {"logs": "two \ufffd"}


def test_it_adopts_work_and_gives_it_to_its_own_user(
    host: Host, run: Run, context: Context, owners: list[tuple[int, int]]
) -> None:
    run()
    (host.work / "spare-7").mkdir()
    (host.work / "spare-7" / "saved").write_text("half")
    state = testing.State(config={"image": IMAGE, "user": "1000"}, relations={RELATION})
    context.run(context.on.action("adopt-work", params={"source": "spare/7"}), state)
    assert context.action_results == {"adopted": "spare-7", "former-work": "spare-0.1"}
    assert (host.directory / "saved").read_text() == "half"
    assert owners[-1] == (1000, 1000)


@pytest.mark.parametrize(("remove", "kept"), [(False, True), (True, False)])
def test_a_unit_that_stops_gives_all_back_but_its_work(
    host: Host, run: Run, context: Context, *, remove: bool, kept: bool
) -> None:
    run()
    state = testing.State(config={"image": IMAGE, "remove-work": remove}, relations={RELATION})
    context.run(context.on.stop(), state)
    assert host.containers == {}
    assert host.images == {}
    assert host.directory.exists() == kept


def test_what_it_brought_goes_with_its_principal(host: Host, run: Run, context: Context) -> None:
    run()
    state = testing.State(config={"image": IMAGE}, relations={RELATION})
    context.run(context.on.relation_broken(RELATION), state)
    assert host.containers == {}


def test_it_has_the_metrics_of_every_such_charm(
    host: Host, run: Run, charm_type: type[ops.CharmBase]
) -> None:
    run()
    workload = getattr(charm_type, "workload")  # noqa: B009
    collector = UnitCollector(workload, "spare/0", Policy.IDLE)
    found = {sample.name: sample.value for each in collector.collect() for sample in each.samples}
    assert found["spare_running"] == 1
    assert found["spare_cpu_policy_in_force"] == 1
    assert found["spare_restarts_total"] == 0
    assert (found["spare_has_work"], found["spare_refused"]) == (1, 0)
    # What it saves its work in is not known, and what it took is the kernel's to say.
    unknown = {"spare_checkpoint_age_seconds", "spare_cpu_seconds_total"}
    assert list_metrics(workload, CHARM) == found.keys() | unknown
    check_dashboard(workload, CHARM)
