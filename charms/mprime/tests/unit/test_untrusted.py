"""What a hostile container or image says, as it arrives at an operator."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import ops
import pytest
from ops import testing

from charms.mprime.tests.unit.conftest import Act, Hook
from charms.mprime.tests.unit.fake_host import MLUCAS, MPRIME, Host
from dockerhost import Mount
from dockerhost.containers import SPEC_LABEL
from harvest import workdir
from harvest.metrics import UnitCollector
from harvest.policy import Policy
from harvest.workdir import WorkDirectory
from hostkit.trees import remove_tree
from lib.hostkit.tests.unit.test_trees import dig
from mprime.engines import ADAPTERS, protocol
from mprime.engines.mprime.log import parse_log
from mprime.engines.mprime.worklist import Entry
from mprime.engines.protocol import read_json_results
from mprime.metrics import describe_search
from mprime.search import SEARCH

IMAGE = "172.30.0.3:5000/mlucas:1"
UGLY = "\x00\ud800\x1b[2J\x1b]0;x\x07\x9b\u202e"
LONGEST = 131_071  # bytes of an argument; execve(2)
Context = testing.Context[ops.CharmBase]
Run = Callable[..., testing.State]


def check(text: object) -> None:
    """Check that Juju's tools take a text, and that a terminal shows it and does nothing else."""
    words = str(text)
    assert all(line.isprintable() for line in words.split("\n")), ascii(words[:200])
    assert len(words.encode()) < LONGEST


def test_a_status_names_a_few_primes_and_counts_the_rest(search: Host, hook: Hook) -> None:
    lines = (f'{{"exponent":{p},"status":"P","worktype":"LL"}}\n' for p in range(3, 20_003))
    (search.directory / "results.txt").write_text("".join(lines))
    message = hook().message
    assert "and 19995 more are prime" in message
    check(message)
    assert len(message) <= 500


def test_the_results_that_juju_takes_are_listed_and_the_rest_is_counted(
    search: Host, act: Act
) -> None:
    exponents = range(2**32 - 20_000, 2**32)
    lines = (
        f'{{"exponent":{p},"status":"C","worktype":"LL","res64":"{p:016X}"}}\n' for p in exponents
    )
    (search.directory / "results.txt").write_text("".join(lines))
    results = act("results")
    for value in results.values():
        check(value)
    assert results["not-listed"] == 19_000
    listed = json.loads(results["json"])["composites"]
    assert len(listed) == 1000
    assert listed[-1] == {"exponent": 2**32 - 1, "residue": f"{2**32 - 1:016X}", "factor": ""}


@pytest.mark.parametrize(
    "ugly", [UGLY, *"\x00\ud800\x1b\x9b\u202e", "e", "M7 is prime", "1" * 17, "12 34"]
)
def test_a_residue_that_is_none_is_left_out(search: Host, act: Act, ugly: str) -> None:
    line = json.dumps({"exponent": 110527, "status": "C", "worktype": "LL", "res64": ugly})
    (search.directory / "results.txt").write_text(f"{line}\n")
    assert act("results")["composites"] == "M110527"


@pytest.mark.parametrize("exponent", [-3, 0, 1, 2**32, 10**400, 1e300, "1e5", None, [3]])
@pytest.mark.parametrize("status", ["P", "C"])
def test_an_exponent_that_is_none_is_no_result(exponent: object, status: str) -> None:
    line = json.dumps({"exponent": exponent, "status": status, "worktype": "LL"})
    assert read_json_results(line).exponents == frozenset()


@pytest.mark.parametrize(
    ("adapter", "name"), [("mlucas", "worktodo.ini"), ("mprime", "worktodo.txt")]
)
def test_an_exponent_that_is_none_is_no_work(tmp_path: Path, adapter: str, name: str) -> None:
    work = WorkDirectory(tmp_path)
    (tmp_path / name).write_text("Test=1,60,1\nTest=9999999999,60,1\nTest=110503,60,1\n")
    assert ADAPTERS[adapter].read_work(work) == [110503]


def test_log_lines_arrive_short_and_printable(search: Host, hook: Hook, act: Act) -> None:
    search.log = [f"error {UGLY} {'x' * 1_000_000}"] * 1000
    search.list_work(110503)
    search.end(exit_code=0, ran=1)
    assert hook().name == "blocked"
    check(hook().message)
    logs = act("logs", lines=1000)["logs"]
    check(logs)
    assert len(logs.split("\n")) > 100


def test_a_log_of_the_widest_characters_is_cut_to_what_juju_takes(search: Host, act: Act) -> None:
    search.log = ["\U0001f600" * 16_000] * 1000
    check(act("logs", lines=1000)["logs"])


def test_labels_of_an_image_arrive_short_and_printable(host: Host, run: Run) -> None:
    labels = {**MLUCAS.labels, "mersenne.engine.version": f"20{UGLY}{'x' * 200_000}"}
    host.registry[IMAGE] = replace(MLUCAS, labels=labels)
    version = run("install", image=IMAGE).workload_version
    check(version)
    assert version.startswith("mlucas 20")
    assert len(version) < 60


def test_a_program_of_any_name_is_refused_in_a_short_line(host: Host, run: Run) -> None:
    host.registry[IMAGE] = replace(MLUCAS, labels={"mersenne.engine": f"{UGLY}{'x' * 200_000}"})
    status = run("install", image=IMAGE).unit_status
    assert status.name == "blocked"
    check(status.message)
    assert status.message.endswith("must be one of: mlucas, mprime")


def test_what_an_engine_says_at_length_fits_a_status(host: Host, run: Run) -> None:
    host.broken = UGLY + "x" * 200_000
    check(run("install", image=IMAGE).unit_status.message)


def test_why_an_action_failed_is_short_and_printable(
    search: Host, context: Context, act: Act
) -> None:
    search.broken = UGLY + "x" * 200_000
    with pytest.raises(testing.ActionFailed) as failed:
        act("progress")
    check(failed.value.message)


def test_metrics_carry_a_version_that_is_printable(
    search: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = search.containers["mprime-0"]
    labels = {**there.labels, "mersenne.engine.version": UGLY}
    search.containers["mprime-0"] = replace(there, labels=labels)
    told = [
        s
        for m in UnitCollector(SEARCH, "mprime/0", Policy.IDLE, describe_search).collect()
        for s in m.samples
    ]
    assert "mprime_search_info" in {sample.name for sample in told}
    for sample in told:
        check(" ".join(sample.labels.values()))


# How much is read. Work is counted, as time depends on the machine.


@contextmanager
def counting(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> Iterator[list[int]]:
    """Count the calls of a function, and how long their first arguments are."""
    sizes: list[int] = []
    real = getattr(owner, name)

    def count(first: Any, *rest: Any, **options: Any) -> Any:
        sizes.append(len(first) if isinstance(first, str) else 0)
        return real(first, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, count)
        yield sizes


@pytest.mark.parametrize("line", ["x\n", "{\n", "[[[[\n", '{"exponent":3}\n'])
def test_a_hook_parses_a_huge_file_of_results_once_and_in_part(
    search: Host, hook: Hook, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    (search.directory / "results.txt").write_text(line * (16 * 2**20 // len(line)))
    with counting(monkeypatch, protocol.json, "loads") as parsed:
        assert hook().name == "active"
    assert len(parsed) <= protocol._LINES + 100  # ops parses some JSON of its own


def test_a_line_of_results_of_any_length_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = (
        '{"exponent":' + "9" * 4_000_000 + '}\n{"exponent":110503,"status":"P","worktype":"LL"}'
    )
    with counting(monkeypatch, protocol.json, "loads") as parsed:
        assert read_json_results(lines).primes == (110503,)
    assert sum(parsed) < 100


def test_of_thousands_of_status_files_some_are_read_and_each_in_part(
    search: Host, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = search.directory / "p3.stat"
    first.write_text("M3 is a known MERSENNE PRIME.\n" * 10_000)
    for number in range(5, 4005):
        (search.directory / f"p{number}.stat").hardlink_to(first)
    with counting(monkeypatch, workdir, "read_file") as files:
        assert hook().name == "active"
    assert len(files) <= 5 * workdir._FILES


def test_reading_many_files_ends_when_it_takes_long(
    search: Host, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(1000):
        (search.directory / f"p{number}.stat").touch()
    moments = iter(range(10_000))
    monkeypatch.setattr(workdir.time, "monotonic", lambda: next(moments))
    work = WorkDirectory(search.directory)
    read = list(work.scan((f"p{number}.stat" for number in range(1000)), 100))
    assert len(read) == workdir._PATIENCE


def test_of_a_directory_with_too_many_names_some_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workdir, "_NAMES", 10)
    for number in range(20):
        (tmp_path / f"p{number}").touch()
    assert len(WorkDirectory(tmp_path).names()) == 10


def test_a_log_line_of_any_length_is_matched_in_part(search: Host, hook: Hook) -> None:
    mprime = search.containers["mprime-0"]
    search.containers["mprime-0"] = replace(mprime, labels={**mprime.labels, **MPRIME.labels})
    (search.directory / "worktodo.txt").write_text("Test=N/A,110503,99,1\n")
    seen: list[int] = []

    class Line(str):
        """A text that tells how much of it was taken."""

        def __getitem__(self, part: Any) -> str:
            seen.append(len(super().__getitem__(part)))
            return super().__getitem__(part)

    search.log = [Line("test " * 3_000_000)] * 100
    assert "M110503" in hook().message
    assert seen
    assert max(seen) <= 1600


def test_words_that_begin_a_report_again_and_again_are_no_report() -> None:
    assert parse_log(["test " * 80], Entry(110503)).iteration == 0


# What stands in the work directory instead of a file.


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_outside(path: Path) -> None:
    path.symlink_to("/etc/hostname")


def make_folder(path: Path) -> None:
    path.mkdir()


ODD = (make_pipe, make_loop, make_outside, make_folder)
FILES = ("results.txt", "worktodo.ini", "mlucas.ini", "mlucas.cfg", "p110503.stat", "p110503")


@pytest.mark.parametrize("make", ODD)
@pytest.mark.parametrize("name", FILES)
def test_nothing_that_stands_for_a_file_does_harm(
    search: Host, hook: Hook, make: Callable[[Path], None], name: str
) -> None:
    path = search.directory / name
    path.unlink(missing_ok=True)
    make(path)
    try:
        status = hook()
        assert status.name in ("active", "blocked")
        check(status.message)
        assert Path("/etc/hostname").stat().st_uid == 0
    finally:
        remove_tree(search.directory)


def test_a_unit_goes_with_its_work_however_deep_that_is(search: Host, run: Run) -> None:
    dig(search.directory, 1200)
    run("stop", image=IMAGE, **{"remove-work": True})
    assert not search.directory.exists()
    assert search.containers == {}


def test_a_disk_that_the_work_fills_is_told(search: Host, hook: Hook) -> None:
    search.space = 10**9
    assert hook() == testing.ActiveStatus("M110503: 0.0 %")
    search.space = 312_500_000
    assert hook() == testing.ActiveStatus("M110503: 0.0 %; 312 MB left on its disk")


# Whose a container is.

CLONE = {"mprime.unit": "mprime/0", SPEC_LABEL: "copied"}


@pytest.mark.parametrize(
    ("name", "labels", "source"),
    [
        ("theirs", {"mprime.unit": "mprime/9"}, ""),  # docker run --label
        ("theirs", {**CLONE, "mprime.unit": "mprime/9"}, ""),
        ("theirs", CLONE, ""),  # docker commit, docker run
        ("theirs", CLONE, "mprime-0"),
        ("theirs", {**CLONE, "mprime.unit": "mprime/9"}, "theirs"),
        ("mprime-9", {"mprime.unit": "mprime/9"}, "mprime-9"),
        ("mprime-9", {**CLONE, "mprime.unit": "mprime/9"}, ""),
        ("mprime-9", {**CLONE, "mprime.unit": "mprime/9"}, "mprime-0"),
        ("mprime-9", {**CLONE, "mprime.unit": UGLY}, "mprime-9"),
        ("mprime-7", {**CLONE, "mprime.unit": "mprime/7"}, ""),  # of a unit that lives here
        ("theirs", {**CLONE, "mprime.unit": "mprime/7"}, "mprime-7"),
    ],
)
def test_a_container_that_has_a_units_label_alone_is_left_alone_and_in_silence(
    search: Host, hook: Hook, name: str, labels: dict[str, str], source: str
) -> None:
    (search.agents / "unit-mprime-7").mkdir(parents=True)
    mounts = (Mount(str(search.work / source), "/work"),) if source else ()
    theirs = replace(search.containers["mprime-0"], name=name, labels=labels, mounts=mounts)
    search.containers[name] = theirs
    assert hook() == testing.ActiveStatus("M110503: 0.0 %")
    assert search.containers[name] is theirs
    assert search.did == []


def test_a_container_of_others_under_the_units_name_is_told_and_left_alone(
    search: Host, hook: Hook, run: Run, context: Context
) -> None:
    theirs = replace(search.containers["mprime-0"], mounts=())
    search.containers["mprime-0"] = theirs
    status = hook()
    assert status.name == "blocked"
    assert status.message.startswith("a container named mprime-0 exists that this unit did not")
    for action in ("progress", "pause", "logs", "benchmark"):
        with pytest.raises(testing.ActionFailed, match="there is no search"):
            context.run(context.on.action(action), testing.State(config={"image": IMAGE}))
    run("stop", image=IMAGE, **{"remove-work": True})
    assert search.containers["mprime-0"] is theirs
    assert search.did == ["prune"]
    assert not search.directory.exists()


@pytest.mark.parametrize("volumes", [("/data",), ("/work/more",), ("/data", "/work"), (UGLY,)])
def test_an_image_with_more_places_to_write_is_refused_by_their_name(
    host: Host, run: Run, volumes: tuple[str, ...]
) -> None:
    host.registry[IMAGE] = replace(MLUCAS, volumes=volumes)
    status = run("install", image=IMAGE).unit_status
    assert status.name == "blocked"
    assert status.message.startswith(f"image {IMAGE}: it has a VOLUME ")
    check(status.message)
    assert host.containers == {}


@pytest.mark.parametrize("volume", ["/work", "/work/"])
def test_an_image_may_declare_its_work_directory(host: Host, run: Run, volume: str) -> None:
    host.registry[IMAGE] = replace(MLUCAS, volumes=(volume,))
    assert run("install", image=IMAGE).unit_status.name == "active"
