"""What a charm tells by its workload, and what comes of that on a machine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from dockerhost import Container, Image
from harvest.options import Options, OptionsError, parse_options
from harvest.reconcile import Observed, pause, reconcile, remove
from harvest.unit import Unit
from harvest.workdir import WorkDirectory
from harvest.workload import Desired, Job, Report, Share, Workload
from lib.harvest.tests.unit.fake_host import SMALL, Host

IMAGE = "r.example/digits:1"
UNIT = Unit("digits", "digits/0")
Advance = Callable[..., Observed[str]]


@dataclass(frozen=True, kw_only=True)
class PlainJob(Job):
    """A job with settings in a file, and a list of work."""

    settings: str = "fast"

    def is_current(self, work: WorkDirectory) -> bool:
        return work.read("settings") == self.settings

    def ensure_files(self, work: WorkDirectory) -> None:
        work.write("settings", self.settings)

    def add_work(self, work: WorkDirectory, *, running: bool) -> None:
        work.add("list", f"running: {running}")


class Digits(Workload[Options, str]):
    """A workload whose job and report a test chooses."""

    name = "digits"
    options = Options
    files = ("orders",)

    def __init__(self, job: Job):
        self.job = job
        self.share: Share | None = None

    def explain_image(self, image: Image) -> str:
        return "" if "kind" in image.labels else "it has no label kind"

    def make_job(self, desired: Desired[Options], image: Image, share: Share) -> Job:
        self.share = share
        return self.job

    def read(self, container: Container, work: WorkDirectory, log: Sequence[str]) -> Report[str]:
        return Report("digits", "at work", work.read("found"))


JOB = Job("digits", memory=2**26)


@pytest.fixture
def advance(host: Host, tmp_path: Path) -> Advance:
    """Brings about a workload's container on a machine that can pull its image."""
    host.registry[IMAGE] = SMALL

    def advance(workload: Digits, *, resume: bool = False, **options: object) -> Observed[str]:
        given = {"image": IMAGE, "metrics-port": 9999}
        given |= {name.replace("_", "-"): value for name, value in options.items()}
        desired = Desired(UNIT, parse_options(Options, given), tmp_path)
        return reconcile(workload, desired, resume=resume)

    return advance


def test_a_container_is_as_its_job_and_the_options_say(host: Host, advance: Advance) -> None:
    job = replace(
        JOB, command=("1000",), environment={"A": "1"}, inside="/data", labels={"digits.n": "3"}
    )
    workload = Digits(job)
    observed = advance(workload, cpuset="1-2", cpus=0.5)
    assert observed.problem == ""
    assert workload.share == Share((1, 2), 1)
    spec = host.specs["digits-0"]
    assert (spec.command, spec.environment) == (("1000",), {"A": "1"})
    assert [(mount.source, mount.target) for mount in spec.mounts] == [
        (str(host.directory), "/data")
    ]
    assert spec.labels == {"digits.unit": "digits/0", "digits.n": "3"}
    assert (spec.memory, spec.cpus, spec.cpuset) == (2**26, 0.5, "1-2")
    advance(workload, memory_limit="1G")
    assert host.specs["digits-0"].memory == 2**30


def test_an_image_that_is_not_for_the_charm_is_refused_by_its_name(
    host: Host, advance: Advance
) -> None:
    host.registry[IMAGE] = Image("sha256:7", {})
    assert advance(Digits(JOB)).problem == f"image {IMAGE}: it has no label kind"
    assert host.containers == {}


@pytest.mark.parametrize(
    ("restart", "exit_code", "starts"),
    [("on-failure", 0, []), ("on-failure", 1, ["started"]), ("unless-stopped", 0, ["started"])],
)
def test_a_program_that_is_done_stays_so_and_any_other_starts_again(
    host: Host, advance: Advance, restart: str, exit_code: int, starts: list[str]
) -> None:
    workload = Digits(replace(JOB, restart=restart))
    advance(workload)
    host.end(exit_code=exit_code)
    host.did.clear()
    assert advance(workload).problem == ""
    assert host.did == starts


def test_a_job_with_another_command_is_begun(host: Host, advance: Advance) -> None:
    advance(Digits(JOB))
    host.end(exit_code=0)
    host.did.clear()
    advance(Digits(replace(JOB, command=("2000",))))
    assert host.did == ["replaced"]


def test_settings_are_written_while_the_program_does_not_run(host: Host, advance: Advance) -> None:
    job = PlainJob(program="digits", memory=2**26)
    advance(Digits(job))
    assert (host.directory / "settings").read_text() == "fast"
    assert (host.directory / "list").read_text() == "running: False"
    host.did.clear()
    advance(Digits(job))
    assert host.did == []
    advance(Digits(replace(job, settings="slow")))
    assert host.did == ["stop", "started"]
    assert (host.directory / "settings").read_text() == "slow"


def test_what_a_program_has_told_is_seen(host: Host, advance: Advance) -> None:
    advance(Digits(JOB))
    host.log = ["begun", "unable to go on", "bye"]
    (host.directory / "found").write_text("3.14")
    seen = advance(Digits(JOB)).seen
    assert seen
    assert (seen.report.details, seen.last_words, seen.paused) == (
        "3.14",
        "unable to go on",
        False,
    )


def test_a_pause_outlives_the_container_and_ends_by_a_resume(host: Host, advance: Advance) -> None:
    advance(Digits(JOB))
    pause(UNIT)
    host.containers.clear()
    observed = advance(Digits(JOB))
    assert (observed.held, observed.seen) == (True, None)
    assert advance(Digits(JOB), resume=True).seen
    assert not UNIT.hold.exists()


def test_two_charms_of_this_kind_work_side_by_side(host: Host, advance: Advance) -> None:
    host.charm = "primes"
    host.let_work("primes/0")
    host.charm = "digits"
    advance(Digits(JOB))
    assert set(host.containers) == {"primes-0", "digits-0"}


@pytest.mark.parametrize("work", [False, True])
def test_a_unit_that_goes_leaves_its_work_or_takes_it_along_with_what_belongs_to_it(
    host: Host, advance: Advance, work: bool
) -> None:
    advance(Digits(JOB))
    orders = UNIT.find_file("orders")
    orders.write_text("3.14")
    remove(Digits(JOB), UNIT, work=work)
    assert host.containers == {}
    assert (host.directory.exists(), orders.exists()) == (not work, not work)


def test_a_charm_has_to_have_a_port_of_its_own() -> None:
    with pytest.raises(OptionsError, match=r"^option metrics-port: "):
        parse_options(Options, {})
