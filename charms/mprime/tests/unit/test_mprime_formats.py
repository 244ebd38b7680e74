"""What GIMPS's mprime 30.19 build 20 writes, and how it is read."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from charms.mprime.tests.unit.fake_host import DATA
from harvest.workdir import WorkDirectory
from mprime.assignments import Assignment, parse_worktodo
from mprime.engines import ADAPTERS, Composite, Progress, Results, Settings, Task
from mprime.engines.mprime.log import find_outage, find_unsaved, parse_log
from mprime.engines.mprime.worklist import Entry, find_tests, parse_work_list
from mprime.engines.protocol import read_json_results

MPRIME = ADAPTERS["mprime"]
LOG = (DATA / "mprime-30.19b20.log").read_text().splitlines()
RESULTS = (DATA / "mprime-30.19b20.results.json.txt").read_text()
WORK = (DATA / "mprime-30.19b20.worktodo.txt").read_text()
AID = "0123456789ABCDEF0123456789ABCDEF"


@pytest.fixture
def work(tmp_path: Path, owners: list[tuple[int, int]]) -> WorkDirectory:
    return WorkDirectory(tmp_path)


def log_until(words: str) -> list[str]:
    """The log, put together from lines that were seen, up to the last line with these words."""
    last = max(number for number, line in enumerate(LOG) if words in line)
    return LOG[: last + 1]


def test_a_report_on_another_number_is_of_earlier_work() -> None:
    log = log_until("Iteration: 110000 / 110503")
    assert parse_log(log, Entry(110503)) == Progress(110503, 110000, 110503, 0.027)
    assert parse_log(log, Entry(6972593)) == Progress(6972593, 0, 6972591)


def test_a_stop_is_a_report() -> None:
    assert parse_log(LOG, Entry(1398269)) == Progress(1398269, 21280, 1398269)
    said = ["[Worker Nov 27 22:46] Stopping PRP test of M100000007 at iteration 113 [0.00%]"]
    assert parse_log(said, Entry(100000007)) == Progress(100000007, 113, 100000007)


def test_a_test_that_is_resumed_is_where_it_was_stopped() -> None:
    log = log_until("Resuming primality test")
    assert parse_log(log, Entry(1398269)) == Progress(1398269, 8216, 1398269)
    log = log_until("Iteration: 8216 / 1398269")
    assert parse_log(log, Entry(1398269)) == Progress(1398269, 8216, 1398269)


def test_a_test_that_was_just_started_has_done_nothing() -> None:
    log = [*LOG, "[Worker Nov 27 22:47] Starting primality test of M1398269 using FFT length 72K"]
    assert parse_log(log, Entry(1398269)) == Progress(1398269, 0, 1398267)


@pytest.mark.parametrize(
    ("said", "progress"),
    [
        (
            "Trial factoring M1000003 to 2^61 is 9.43% complete.  Time: 204.959 sec.",
            Progress(1000003, 943, 10000, task=Task.TRIAL_FACTORING, step="to 2^61"),
        ),
        (
            "M1000003 stage 1 is 46.66% complete. Time: 5.123 sec.",
            Progress(1000003, 4666, 10000, task=Task.P_MINUS_1, step="stage 1"),
        ),
    ],
)
def test_factoring_has_a_progress_of_its_own(said: str, progress: Progress) -> None:
    log = [*LOG, f"[Worker Nov 27 22:47] {said}"]
    # Also before the test of a number whose line says that it takes factoring first.
    for task in (progress.task, Task.TEST):
        assert parse_log(log, Entry(1000003, task)) == progress


def test_every_kind_of_work_is_seen() -> None:
    lines = {
        f"Test=N/A,FFT2=4480K,{110503},99,1": Entry(110503),
        f"DoubleCheck={AID},110527,75,1": Entry(110527),
        f"PRP={AID},FFT2=7M,Pass1=1K,1,2,136279841,-1,75,0": Entry(136279841),
        f"PRPDC={AID},1,2,216091,-1": Entry(216091),
        f'PRP={AID},1,2,3500017,-1,99,0,3,5,"7000035"': Entry(3500017, Task.COFACTOR),
        f"Factor={AID},900000011,64,66": Entry(900000011, Task.TRIAL_FACTORING, "to 2^66"),
        f"Pfactor={AID},1,2,110533,-1,70,2": Entry(110533, Task.P_MINUS_1),
        "Pminus1=1,2,110543,-1,1000000,30000000": Entry(110543, Task.P_MINUS_1),
        "Pplus1=1,2,110543,-1,1000000,0,1": Entry(110543, Task.P_PLUS_1),
        f"ECM2={AID},1,2,1277,-1,3000000,0,10": Entry(1277, Task.ECM),
        f"Cert={AID},1,2,82589933,-1,5000": Entry(82589933, Task.CERTIFICATION),
    }
    assert parse_work_list("[Worker #1]\n" + "\n".join(lines)) == list(lines.values())
    # A number that is only factored is not listed for its test.
    assert find_tests(parse_work_list("\n".join(lines))) == [110503, 110527, 136279841, 216091]
    for line in ("ECM2=1,3,1277,-1,1,2,3", "Factor=many,1,2", "PRP=", "Test", "foo=bar", ""):
        assert parse_work_list(line) == []


def test_trial_factoring_alone_is_work(work: WorkDirectory) -> None:
    work.write("worktodo.txt", f"[Worker #1]\nFactor={AID},900000011,64,66\n")
    assert MPRIME.read_progress(work, LOG) == Progress(
        900000011, 0, 0, task=Task.TRIAL_FACTORING, step="to 2^66"
    )
    assert MPRIME.read_work(work) == []
    # Its test is ordered besides.
    MPRIME.add_work(work, Settings((Assignment(900000011),)), running=False)
    assert MPRIME.read_work(work) == [900000011]


def test_the_list_is_read_as_it_was_rewritten() -> None:
    assert find_tests(parse_work_list(WORK)) == [1398269, 2976221, 6972593]
    assert parse_work_list(WORK)[-1].task is Task.TRIAL_FACTORING


def test_results_are_told_as_what_they_are() -> None:
    assert read_json_results(RESULTS) == Results(
        primes=(110503,),
        composites=(Composite(110501, "1E62472A94D878B7"),),
        probable=(216091,),
        unfactored=(900000011,),
    )


def test_a_number_without_a_known_factor_is_not_done() -> None:
    assert 900000011 not in read_json_results(RESULTS).exponents


@pytest.mark.parametrize("status", ["P", "C"])
def test_a_test_of_a_cofactor_tells_nothing_about_the_number(status: str) -> None:
    report = {"status": status, "exponent": 3500017, "worktype": "PRP-3", "res64": "1" * 16}
    assert read_json_results(json.dumps(report)).exponents == {3500017}
    report["known-factors"] = ["7000035"]  # pyright: ignore[reportArgumentType]
    assert read_json_results(json.dumps(report)) == Results()


def test_the_order_of_a_cofactors_test_is_refused_by_name() -> None:
    line = f'PRP={AID},1,2,3500017,-1,99,0,3,5,"7000035"'
    with pytest.raises(ValueError, match=r"tests a cofactor, .* about 2\^3500017 - 1"):
        parse_worktodo(line)


def test_a_list_that_gimps_wrote_is_accepted_as_it_is() -> None:
    text = """
        [Worker #1]
        # what the first machine does
        Test=N/A,FFT2=4480K,110503,99,1

        ; and the second
        [Worker #2]
        // that is all
        DoubleCheck=N/A,216091,99,1
    """
    assert [each.exponent for each in parse_worktodo(text)] == [110503, 216091]


@pytest.mark.parametrize(
    ("line", "fails"),
    [
        ("Running Jacobi error check.  Passed.  Time:  0.478 sec.", False),
        ("Starting Gerbicz error-checking PRP test of M216091 using FFT length 10752", False),
        ("Illegal line in worktodo.txt file: foo=bar", True),
        ("CURL library error: Could not resolve host: v5.mersenne.org", True),
        ("Error writing intermediate file: p6972593", True),
        ("Running Jacobi error check.  Failed.", True),
        ("No work to do at the present time.  Waiting.", False),
        ("Error setting affinity", False),
    ],
)
def test_a_check_for_errors_is_no_failure(line: str, fails: bool) -> None:
    assert bool(MPRIME.failure.search(f"[Worker Nov 27 22:43] {line}")) == fails


def test_primenet_is_out_of_reach_from_the_first_failure_until_it_answers() -> None:
    fails = [
        "[Comm thread {}] CURL library error: Could not resolve host: v5.mersenne.org",
        "[Comm thread {}] Will try contacting server again in 10 minutes.",
    ]
    first = [line.format("Nov 27 22:43") for line in fails]
    second = [line.format("Nov 27 22:53") for line in fails]
    assert find_outage(LOG) == ""
    assert find_outage([*LOG, *first, *second, *LOG]) == "Nov 27 22:43"
    done = ["[Comm thread Nov 27 22:48] Done communicating with server."]
    assert find_outage([*first, *done]) == ""
    assert find_outage([*first, *done, *second]) == "Nov 27 22:53"


def test_work_that_is_not_saved_is_told_by_its_output_alone() -> None:
    assert find_unsaved(LOG) == ""
    said = "[Worker Nov 27 22:50] Error writing intermediate file: p6972593"
    assert find_unsaved([*LOG, said]) == "Error writing intermediate file: p6972593"
    # Its next start tries again.
    assert find_unsaved([said, *LOG]) == ""


@pytest.mark.parametrize(("exit_code", "dies_of_it"), [(136, True), (0, False), (137, False)])
def test_a_prp_test_that_dies_of_sigfpe_lacks_room(exit_code: int, dies_of_it: bool) -> None:
    assert ("SIGFPE" in find_unsaved(LOG, exit_code)) == dies_of_it


class Rewriting:
    """A work list that its program rewrites while it is read; each pause lets it go on."""

    def __init__(self, file: Path, steps: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
        self._file, self._steps, self._now = file, steps, time.time()
        monkeypatch.setattr("mprime.engines.mprime.worklist._WRITES", 2.0)
        monkeypatch.setattr("mprime.engines.mprime.worklist._PATIENCE", 5.0)
        monkeypatch.setattr("time.sleep", self.sleep)
        monkeypatch.setattr("time.monotonic", lambda: self._now)
        monkeypatch.setattr("time.time", lambda: self._now)
        self._write()

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self._now += seconds
        self._write()

    def _write(self) -> None:
        if self._steps:
            self._file.write_text(self._steps.pop(0))
            os.utime(self._file, (self._now, self._now))


def grow(text: str) -> Iterator[str]:
    """A list as it is written: empty, then a line more at a time."""
    lines = text.splitlines(keepends=True)
    yield from ("".join(lines[:number]) for number in range(len(lines) + 1))


def test_a_list_that_is_being_rewritten_is_not_taken_for_an_empty_one(
    work: WorkDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    Rewriting(work.path / "worktodo.txt", list(grow(WORK)), monkeypatch)
    assert MPRIME.read_work(work) == [1398269, 2976221, 6972593]


def test_what_is_being_rewritten_is_not_listed_again(
    work: WorkDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = Settings((Assignment(1398269), Assignment(6972593)))
    # In the middle the machine leaves it no time for a while.
    slowly = [step for step in grow(WORK) for _ in range(3)]
    Rewriting(work.path / "worktodo.txt", slowly, monkeypatch)
    MPRIME.add_work(work, listed, running=True)
    assert not work.has("worktodo.add")


def test_a_list_that_stays_empty_is_left_to_the_next_hook(
    work: WorkDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    Rewriting(work.path / "worktodo.txt", [""] * 30, monkeypatch)
    MPRIME.add_work(work, Settings((Assignment(1398269),)), running=True)
    assert not work.has("worktodo.add")
    # Nobody writes it while the program does not run.
    MPRIME.add_work(work, Settings((Assignment(1398269),)), running=False)
    assert work.read("worktodo.txt").startswith("[Worker #1]\nTest=N/A,1398269")


def test_an_empty_list_of_the_program_is_out_of_work(
    work: WorkDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    Rewriting(work.path / "worktodo.txt", ["", "[Worker #1]\n"], monkeypatch)
    assert MPRIME.read_progress(work, LOG) is None
