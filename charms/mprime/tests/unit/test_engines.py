from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from charms.mprime.tests.unit.fake_host import DATA
from harvest.workdir import WorkDirectory
from mprime.engines import ADAPTERS, Composite, Progress
from mprime.engines.mlucas import parse_primes, parse_report
from mprime.engines.mlucas import parse_work_list as parse_mlucas_work
from mprime.engines.mprime.log import parse_log
from mprime.engines.mprime.worklist import Entry, find_tests
from mprime.engines.mprime.worklist import parse_work_list as parse_mprime_work
from mprime.engines.protocol import read_json_results

MLUCAS, MPRIME = ADAPTERS["mlucas"], ADAPTERS["mprime"]
exponents = st.integers(2, 10**9)


@pytest.fixture
def work(tmp_path: Path, owners: list[tuple[int, int]]) -> WorkDirectory:
    return WorkDirectory(tmp_path)


def test_a_recorded_prime_is_read_from_its_status_file_alone(work: WorkDirectory) -> None:
    (work.path / "p110503.stat").write_bytes((DATA / "p110503.stat").read_bytes())
    assert MLUCAS.read_results(work).primes == (110503,)


def test_a_recorded_composite_is_read_with_its_residue(work: WorkDirectory) -> None:
    for name in ("results.txt", "p110527.stat"):
        (work.path / name).write_bytes((DATA / name).read_bytes())
    results = MLUCAS.read_results(work)
    assert results.primes == ()
    assert results.composites == (Composite(110527, "DB43B1563828DEB6"),)


def test_recorded_progress_is_the_last_report_of_its_exponent() -> None:
    progress = parse_report((DATA / "p216091.stat").read_text(), 216091)
    assert progress == Progress(216091, 26000, 216089, 0.2673)
    assert progress.seconds_left == pytest.approx(190089 * 0.2673 / 1000)


def test_a_finished_test_is_at_a_hundred_per_cent() -> None:
    progress = parse_report((DATA / "p110503.stat").read_text(), 110503)
    assert progress.percent == 100
    assert progress.seconds_left == 0


def test_a_prime_that_was_not_known_counts_too() -> None:
    said = "M99999989 is a (probable) new MERSENNE PRIME!!!\nPlease send e-mail to …\n"
    assert parse_primes(said) == {99999989}


def test_a_status_file_declares_no_exponent_but_its_own(work: WorkDirectory) -> None:
    (work.path / "p110527.stat").write_text("M110503 is a known MERSENNE PRIME.\n")
    assert MLUCAS.read_results(work).primes == ()


def test_a_finished_line_that_is_still_listed_is_no_work(work: WorkDirectory) -> None:
    (work.path / "p110503.stat").write_bytes((DATA / "p110503.stat").read_bytes())
    lines = (f"Test={'0' * 32},{exponent},60,1\n" for exponent in (110503, 216091))
    (work.path / "worktodo.ini").write_text("".join(lines))
    assert MLUCAS.read_work(work) == [216091]
    assert MLUCAS.read_progress(work, []) == Progress(216091, 0, 216089)


MPRIME_LOG = """\
[Work thread Jul 1 10:00:00] Starting primality test of M110503 using FFT length 5760
[Work thread Jul 1 10:00:02] Iteration: 10000 / 110503 [9.04%], ms/iter:  0.021, ETA: 00:00:02
[Work thread Jul 1 10:00:04] M110503 is prime! We8: 00000000,00000000
[Work thread Jul 1 10:00:04] Starting primality test of M216091 using FFT length 11520
[Work thread Jul 1 10:00:09] Iteration: 20000 / 216091 [9.25%], ms/iter:  0.047, ETA: 00:00:09
""".splitlines()


def test_mprimes_progress_is_the_last_report_of_its_log() -> None:
    assert parse_log(MPRIME_LOG, Entry(216091)) == Progress(216091, 20000, 216091, 0.047)


def test_a_report_on_mprimes_earlier_exponent_is_not_taken_for_the_next() -> None:
    assert parse_log(MPRIME_LOG[:4], Entry(216091)) == Progress(216091, 0, 216089)


def test_mprimes_results_are_lines_of_json(work: WorkDirectory) -> None:
    report = {"status": "P", "exponent": 110503, "worktype": "LL", "res64": "0" * 16}
    factored = {"status": "F", "exponent": 110527, "worktype": "TF", "factors": ["7"]}
    text = f"{json.dumps(report)}\n{json.dumps(factored)}\nhalf a li"
    (work.path / "results.json.txt").write_text(text)
    results = MPRIME.read_results(work)
    assert results.primes == (110503,)
    assert results.composites == (Composite(110527, "", "7"),)


@given(st.lists(exponents, unique=True), st.sampled_from(["Test", "DoubleCheck"]))
def test_a_work_list_is_read_back_in_its_order(numbers: list[int], kind: str) -> None:
    mlucas = "".join(f"{kind}={'A' * 32},{exponent},60,1\n" for exponent in numbers)
    mprime = "".join(f"{kind}=N/A,{exponent},60,1\n" for exponent in numbers)
    assert parse_mlucas_work(mlucas) == numbers
    assert find_tests(parse_mprime_work(mprime)) == numbers


def test_prp_work_is_read_too() -> None:
    assert parse_mlucas_work(f"PRP={'A' * 32},1,2,216091,-1,60,0") == [216091]
    assert parse_mprime_work("PRP=N/A,1,2,216091,-1,60,0") == [Entry(216091)]


@given(st.text(), exponents)
def test_no_file_content_breaks_a_parser(text: str, exponent: int) -> None:
    parse_mlucas_work(text)
    parse_mprime_work(text)
    read_json_results(text)
    log = text.splitlines()
    for progress in (parse_report(text, exponent), parse_log(log, Entry(exponent))):
        assert 0 <= progress.percent <= 100


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=16,
)


@given(
    st.dictionaries(st.sampled_from(["status", "exponent", "res64", "other"]), json_values)
    | json_values
)
def test_no_json_breaks_the_results(report: object) -> None:
    read_json_results(json.dumps(report))


@given(st.text(alphabet="M0123456789 Iter#=[].%completclocksmsec/iter\n:P"), exponents)
def test_nothing_like_a_report_breaks_the_parser(text: str, exponent: int) -> None:
    parse_report(text, exponent)
    parse_primes(text)


@given(exponents, st.integers(0, 10**9), st.floats(0.0001, 10**4))
def test_a_written_report_is_read_back(exponent: int, done: int, speed: float) -> None:
    line = (
        f"[2026-11-23 05:03:19] M{exponent} Iter# = {done} [ 0.90% complete] "
        f"clocks = 00:00:00.205 [{speed:8.4f} msec/iter] Res64: DC25D6694C4B1F09."
    )
    progress = parse_report(line, exponent)
    assert progress.iteration == min(done, progress.iterations)
    assert progress.ms_per_iteration == pytest.approx(speed, abs=0.0001)
