"""What the programs find in their files, before they start and while they run."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from charms.mprime.tests.unit.fake_host import DATA
from harvest.workdir import WorkDirectory
from mprime.assignments import KNOWN_PRIMES, Assignment, Kind
from mprime.engines import ADAPTERS, Adapter, PrimeNet, Settings
from mprime.engines.mprime.settings import scramble
from mprime.engines.transforms import RANGES, estimate_speed, is_ours, make_table

MLUCAS, MPRIME = ADAPTERS["mlucas"], ADAPTERS["mprime"]
SETTINGS = Settings(KNOWN_PRIMES)
MEMBER = PrimeNet("user", "computer", 150, "http://me:s%40cret@proxy.example:3128")
LISTS = {"mlucas": "worktodo.ini", "mprime": "worktodo.txt"}
adapters = pytest.mark.parametrize("adapter", ADAPTERS.values(), ids=ADAPTERS)


@pytest.fixture
def work(tmp_path: Path, owners: list[tuple[int, int]]) -> WorkDirectory:
    return WorkDirectory(tmp_path)


def start(adapter: Adapter, work: WorkDirectory, settings: Settings = SETTINGS) -> None:
    """What happens before a program starts."""
    if not adapter.is_current(work, settings):
        adapter.ensure_files(work, settings)
    adapter.add_work(work, settings, running=False)


def lines_of(adapter: Adapter, work: WorkDirectory) -> str:
    """A work list without the line with which mprime begins every list."""
    return work.read(LISTS[adapter.name]).removeprefix("[Worker #1]\n")


def stamp(work: WorkDirectory) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in work.path.iterdir()}


@adapters
def test_a_new_directory_gets_settings_and_the_whole_work_list(
    adapter: Adapter, work: WorkDirectory
) -> None:
    assert not adapter.owns(work)
    assert not adapter.is_current(work, SETTINGS)
    start(adapter, work)
    assert adapter.is_current(work, SETTINGS)
    assert adapter.owns(work)
    assert [other.name for other in ADAPTERS.values() if other.owns(work)] == [adapter.name]
    assert adapter.read_work(work) == [each.exponent for each in KNOWN_PRIMES]
    assert not [name for name in work.names() if name.startswith(".")]


@adapters
def test_with_nothing_to_change_nothing_is_written(adapter: Adapter, work: WorkDirectory) -> None:
    start(adapter, work)
    before = stamp(work)
    start(adapter, work)
    adapter.add_work(work, SETTINGS, running=True)
    adapter.ensure_files(work, SETTINGS)
    assert stamp(work) == before


@adapters
def test_another_checkpoint_interval_is_another_setting(
    adapter: Adapter, work: WorkDirectory
) -> None:
    start(adapter, work)
    changed = replace(SETTINGS, checkpoint=60)
    assert not adapter.is_current(work, changed)
    adapter.ensure_files(work, changed)
    assert adapter.is_current(work, changed)
    assert not adapter.is_current(work, SETTINGS)


@adapters
def test_what_is_done_or_listed_is_not_listed_again(adapter: Adapter, work: WorkDirectory) -> None:
    few = replace(SETTINGS, work=(Assignment(110503), Assignment(110527)))
    work.write("results.txt", (DATA / "results.txt").read_text())
    work.write("results.json.txt", (DATA / "results.txt").read_text())
    start(adapter, work, few)
    assert adapter.read_work(work) == [110503]
    assert lines_of(adapter, work).count("\n") == 1


@adapters
def test_work_of_both_kinds_is_read_back(adapter: Adapter, work: WorkDirectory) -> None:
    both = replace(SETTINGS, work=(Assignment(2976221, Kind.PRP), Assignment(110503)))
    start(adapter, work, both)
    assert adapter.read_work(work) == [2976221, 110503]
    assert lines_of(adapter, work).startswith("PRP=")


@adapters
def test_what_an_operator_lists_by_hand_stays_first(adapter: Adapter, work: WorkDirectory) -> None:
    by_hand = "Test=216091,60,1\nPfactor=1,2,3,-1,4,5"
    work.write(LISTS[adapter.name], by_hand)
    start(adapter, work)
    assert work.read(LISTS[adapter.name]).startswith(f"{by_hand}\n")
    assert adapter.read_work(work)[0] == 216091


def test_mlucas_list_grows_in_place_while_it_runs(work: WorkDirectory) -> None:
    start(MLUCAS, work, replace(SETTINGS, work=(Assignment(110503),)))
    before = (work.path / "worktodo.ini").stat().st_ino
    MLUCAS.add_work(work, SETTINGS, running=True)
    assert (work.path / "worktodo.ini").stat().st_ino == before
    assert MLUCAS.read_work(work) == [each.exponent for each in KNOWN_PRIMES]


def test_what_mlucas_overwrote_is_listed_again(work: WorkDirectory) -> None:
    start(MLUCAS, work)
    work.write("worktodo.ini", "")
    MLUCAS.add_work(work, SETTINGS, running=True)
    assert MLUCAS.read_work(work) == [each.exponent for each in KNOWN_PRIMES]


def test_a_list_that_mlucas_had_no_time_to_rename_is_not_lost(work: WorkDirectory) -> None:
    start(MLUCAS, work)
    (work.path / "worktodo.ini").unlink()
    work.write("WINI.TMP", "Test=859433,60,1\n")
    start(MLUCAS, work)
    assert MLUCAS.read_work(work) == [859433, *(each.exponent for each in KNOWN_PRIMES)]


def test_mprime_takes_work_from_a_file_of_its_own_while_it_runs(work: WorkDirectory) -> None:
    start(MPRIME, work, replace(SETTINGS, work=(Assignment(110503),)))
    before = work.read("worktodo.txt")
    some = replace(SETTINGS, work=KNOWN_PRIMES[:2])
    MPRIME.add_work(work, some, running=True)
    assert work.read("worktodo.txt") == before
    assert work.read("worktodo.add") == "Test=N/A,216091,99,1\n"
    # It has not taken that yet: nothing is written over it.
    MPRIME.add_work(work, SETTINGS, running=True)
    assert work.read("worktodo.add").count("\n") == 1
    assert MPRIME.read_work(work) == [110503, 216091]


def test_mlucas_interval_fits_the_largest_exponent_and_the_minutes(work: WorkDirectory) -> None:
    intervals = []
    for minutes in (0.01, 1, 5, 60):
        MLUCAS.ensure_files(work, replace(SETTINGS, checkpoint=minutes))
        intervals.append(int(work.read("mlucas.ini").split()[2]))
    assert intervals == [1000, 1000, 8000, 10000]


@given(
    st.floats(0.01, 60),
    st.lists(st.integers(110_019, 152_816_052), min_size=1, max_size=5),
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)
def test_whatever_the_work_mlucas_takes_its_interval(
    work: WorkDirectory, minutes: float, exponents: list[int]
) -> None:
    wanted = Settings(tuple(map(Assignment, exponents)), checkpoint=minutes)
    work.write("worktodo.ini", "")
    work.write("mlucas.ini", "")
    MLUCAS.ensure_files(work, wanted)
    assert MLUCAS.is_current(work, wanted)
    interval = int(work.read("mlucas.ini").split()[2])
    # What it accepts for every kind of test, and no longer than was asked for.
    assert interval % 1000 == 0
    assert 1_000_000 % interval == 0
    spent = interval * estimate_speed(max(exponents)) / 60_000
    assert interval == 1000 or spent <= minutes


def test_work_that_is_added_restarts_mlucas_only_to_keep_its_promise(work: WorkDirectory) -> None:
    start(MLUCAS, work)
    for exponent, current in ((859433, True), (13466917, True), (57885161, False)):
        more = replace(SETTINGS, work=(*KNOWN_PRIMES, Assignment(exponent)))
        assert MLUCAS.is_current(work, more) == current
    # A shorter interval than needed does no harm.
    assert MLUCAS.is_current(work, replace(SETTINGS, work=KNOWN_PRIMES[:1]))


def test_mlucas_own_options_are_kept(work: WorkDirectory) -> None:
    work.write("mlucas.ini", "LowMem = 1\ncheckinterval=7000\n")
    MLUCAS.ensure_files(work, SETTINGS)
    assert work.read("mlucas.ini") == "CheckInterval = 8000 # for 5 min\nLowMem = 1\n"


def test_a_table_of_transforms_that_others_tuned_is_kept(work: WorkDirectory) -> None:
    tuned = "20.1.1\n         6  msec/iter =    0.10 tuned\n"
    work.write("mlucas.cfg", tuned)
    start(MLUCAS, work)
    assert work.read("mlucas.cfg") == tuned


def test_a_part_of_our_table_is_made_whole(work: WorkDirectory) -> None:
    start(MLUCAS, work)
    work.write("mlucas.cfg", "\n".join(make_table().splitlines()[:5]) + "\n")
    assert not MLUCAS.is_current(work, SETTINGS)
    start(MLUCAS, work)
    assert work.read("mlucas.cfg") == make_table()


def test_the_radices_multiply_to_their_length() -> None:
    lines = make_table().splitlines()
    assert lines[0] == "20.1.1"
    lengths = []
    for line in lines[1:]:
        radices = [int(word) for word in line.partition("radices = ")[2].split() if word != "0"]
        lengths.append(int(line.split()[0]))
        assert 2 * math.prod(radices) == 1024 * lengths[-1]
        # Of the form that the program writes itself, to the column.
        assert len(line) == len((DATA / "mlucas.cfg").read_text().splitlines()[1])
    assert lengths == sorted(set(lengths))
    # Every length that the program has, from 8K on.
    known = {odd << shift for odd in range(8, 16) for shift in range(11)}
    assert set(lengths) - {6} == {length for length in known if length <= 8192}
    assert is_ours(make_table())


@pytest.mark.parametrize(
    ("assignment", "fits"),
    [
        (Assignment(44497), False),
        (Assignment(110503), True),
        (Assignment(130873), False),
        (Assignment(132049), False),
        (Assignment(216091), True),
        (Assignment(136279841), True),
        (Assignment(332192831), False),
        (Assignment(110503, Kind.PRP), False),
        (Assignment(2976221, Kind.PRP), True),
    ],
)
def test_mlucas_names_exponents_that_it_cannot_test(assignment: Assignment, fits: bool) -> None:
    told = MLUCAS.explain_work(assignment)
    assert (told == "") == fits
    assert MLUCAS.explain(Settings((assignment,))) == told
    if told:
        allowed = ", ".join(f"{least} to {most}" for least, most in RANGES[assignment.kind])
        assert told.startswith(f"M{assignment.exponent}: mlucas runs ")
        assert told.endswith(allowed)


@pytest.mark.parametrize(
    ("flags", "greatest"),
    [
        ("fpu sse2 avx avx2 fma avx512f", 1_169_000_000),
        ("fpu sse2 avx avx2 fma", 922_700_000),
        ("fpu sse2 avx", 920_800_000),
        ("fpu sse2", 595_800_000),
    ],
)
def test_mprime_names_an_exponent_that_it_cannot_test_on_this_processor(
    flags: str, greatest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processors = tmp_path / "cpuinfo"
    processors.write_text(f"processor\t: 0\nflags\t\t: {flags}\n")
    monkeypatch.setattr("mprime.engines.mprime.adapter._PROCESSORS", processors)
    assert MPRIME.explain(SETTINGS) == ""
    assert MPRIME.explain_work(Assignment(greatest)) == ""
    for exponent in (2, 3, greatest + 1):
        told = MPRIME.explain(Settings((Assignment(exponent),)))
        assert told == (
            f"M{exponent}: mprime tests exponents from 5 to {greatest} on this machine's processor"
        )


def test_a_larger_exponent_takes_more_memory() -> None:
    assert MLUCAS.choose_memory(KNOWN_PRIMES) == 256 * 2**20
    assert MLUCAS.choose_memory([Assignment(136279841)]) > 400 * 2**20


def test_mprimes_settings_without_a_server(work: WorkDirectory) -> None:
    MPRIME.ensure_files(work, replace(SETTINGS, cores=3, memory=2**30))
    *lines, mark = work.read("prime.txt").splitlines()
    assert mark.startswith("CharmSettings=")
    assert lines == [
        "StressTester=0",
        "UsePrimenet=0",
        "NumCores=3",
        "NumWorkers=1",
        "CoresPerTest=3",
        "Memory=256",
        "DiskWriteTime=5",
        "OutputIterations=1000",
        "ExitWhenOutOfWork=0",
    ]


def test_mprime_takes_another_number_of_threads_over_from_its_own_key(work: WorkDirectory) -> None:
    # What it wrote itself when it first ran on one core, and what the charm wrote before.
    work.write("prime.txt", "CoresPerTest=1\nCoresPerWorker=1\nComputerGUID=0123\n")
    MPRIME.ensure_files(work, replace(SETTINGS, cores=2))
    lines = work.read("prime.txt").splitlines()
    assert {"CoresPerTest=2", "NumCores=2", "ComputerGUID=0123"} <= set(lines)
    assert not [line for line in lines if line.startswith("CoresPerWorker")]


@pytest.mark.parametrize(
    ("exponent", "primenet", "trial", "reports"),
    [
        (110503, None, False, 10_000),
        (6972593, None, False, 2_000),
        (6972593, None, True, 200),
        (110503, MEMBER, False, 50),
    ],
)
def test_mprime_reports_every_ten_seconds_or_more_often(
    exponent: int, primenet: PrimeNet | None, trial: bool, reports: int, work: WorkDirectory
) -> None:
    wanted = Settings((Assignment(exponent),), primenet=primenet, trial=trial)
    MPRIME.ensure_files(work, wanted)
    lines = work.read("prime.txt").splitlines()
    assert f"OutputIterations={reports}" in lines
    assert f"ExitWhenOutOfWork={int(trial)}" in lines
    assert MPRIME.is_current(work, wanted)


def test_work_that_is_added_restarts_mprime_only_if_its_reports_came_too_seldom(
    work: WorkDirectory,
) -> None:
    start(MPRIME, work)
    for exponent, current in ((859433, True), (13466917, True), (57885161, False)):
        more = replace(SETTINGS, work=(*KNOWN_PRIMES, Assignment(exponent)))
        assert MPRIME.is_current(work, more) == current
    assert MPRIME.is_current(work, replace(SETTINGS, work=KNOWN_PRIMES[:1]))


def test_a_limit_of_disk_is_told_to_mprime_in_gigabytes(work: WorkDirectory) -> None:
    MPRIME.ensure_files(work, replace(SETTINGS, disk=3 * 2**30))
    assert "WorkerDiskSpace=3.221" in work.read("prime.txt").splitlines()


@pytest.mark.parametrize(
    ("exponent", "limit", "need"),
    [
        # Seen: 3.2 and 5.3 GB.
        (100_000_007, 0, 3_200_000_224),
        (82_589_933, 0, 5_285_755_712),
        (82_589_933, 3 * 10**9, 2_642_877_856),
    ],
)
def test_a_prp_test_takes_as_much_disk_as_its_proof(exponent: int, limit: int, need: int) -> None:
    wanted = Settings((Assignment(exponent, Kind.PRP), Assignment(110503)), disk=limit)
    assert MPRIME.choose_disk(wanted) == need
    assert MPRIME.choose_disk(replace(wanted, work=(Assignment(exponent),))) == 0


def test_a_proxys_password_that_mprime_would_cut_off_is_refused() -> None:
    for length, told in ((24, False), (25, True)):
        member = replace(MEMBER, proxy=f"http://me:{'x' * length}@proxy.example:3128")
        problem = MPRIME.explain(replace(SETTINGS, primenet=member))
        assert ("its password has 25 bytes, and mprime uses 24" in problem) == told
        assert "xxx" not in problem


def test_mprimes_settings_with_primenet_and_a_proxy(work: WorkDirectory) -> None:
    MPRIME.ensure_files(work, replace(SETTINGS, primenet=MEMBER))
    lines = work.read("prime.txt").splitlines()
    ours = {
        "UsePrimenet=1",
        "V5UserID=user",
        "NetworkRetryTime2=10",
        "ComputerID=computer",
        "WorkPreference=150",
    }
    assert ours <= set(lines)
    assert lines[lines.index("[PrimeNet]") :] == [
        "[PrimeNet]",
        "ProxyHost=proxy.example:3128",
        "ProxyUser=me",
        f"ProxyPass={scramble('s@cret')}",
        "ProxyMask=1",
    ]
    assert (work.path / "prime.txt").stat().st_mode & 0o777 == 0o600


def test_leaving_primenet_takes_its_settings_out(work: WorkDirectory) -> None:
    MPRIME.ensure_files(work, replace(SETTINGS, primenet=MEMBER))
    MPRIME.ensure_files(work, SETTINGS)
    text = work.read("prime.txt")
    assert "user" not in text
    assert "Proxy" not in text


def test_what_mprime_wrote_itself_is_kept(work: WorkDirectory) -> None:
    own = "ComputerGUID=0123\nStressTester=0\n[PrimeNet]\nDebug=1\n"
    work.write("prime.txt", own)
    start(MPRIME, work, replace(SETTINGS, primenet=MEMBER))
    kept = work.read("prime.txt").splitlines()
    assert kept[:2] == own.splitlines()[:2]
    assert "Debug=1" in kept
    # What it changes in the meantime is not undone.
    changed = work.read("prime.txt").replace("WorkPreference=150", "WorkPreference=101")
    work.write("prime.txt", changed + "[Worker #1]\nAffinity=1\n")
    before = work.read("prime.txt")
    start(MPRIME, work, replace(SETTINGS, primenet=MEMBER))
    assert work.read("prime.txt") == before


def test_a_proxys_password_is_kept_as_mprime_keeps_it() -> None:
    # Each letter, exclusive-or with one of /cgi-bin/pnHttp.exe, as two digits.
    assert scramble("/cgi") == "00000000"
    assert scramble("A") == f"{ord('A') ^ ord('/'):02X}"


@pytest.mark.parametrize("proxy", ["http://[broken", "http://proxy.example:many", "http://:80"])
def test_a_proxy_that_is_no_url_is_told(proxy: str) -> None:
    member = replace(MEMBER, proxy=proxy)
    assert "http-proxy is not a URL" in MPRIME.explain(replace(SETTINGS, primenet=member))


@adapters
@given(text=st.text() | st.text(alphabet="CheckInterval=0123456789 #formin\nTest,PRP[]"))
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None
)
def test_whatever_the_files_say_the_program_gets_its_settings(
    adapter: Adapter, work: WorkDirectory, text: str
) -> None:
    for name in ("prime.txt", "mlucas.ini", "mlucas.cfg", *LISTS.values(), "results.txt"):
        (work.path / name).write_text(text, errors="replace")
    before = work.read(LISTS[adapter.name])
    start(adapter, work)
    assert adapter.is_current(work, SETTINGS)
    assert {each.exponent for each in KNOWN_PRIMES} <= set(adapter.read_work(work))
    # Whatever was listed is still there, in front.
    assert work.read(LISTS[adapter.name]).startswith(before)


def test_a_list_that_is_no_file_is_an_error_with_its_name(work: WorkDirectory) -> None:
    os.mkfifo(work.path / "worktodo.ini")
    with pytest.raises(OSError, match="is not a regular file") as caught:
        start(MLUCAS, work)
    assert caught.value.filename == str(work.path / "worktodo.ini")
