"""The program of the image golden-ratio: what it computes, and what it does when it is killed, or
when its files are damaged, or memory or the disk are not enough."""

from __future__ import annotations

import math
import os
import random
import re
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.golden import NOBLE, Golden, compile_program

# OEIS A001622.
FIRST = "61803398874989484820458683436563811772030917980576"
# The last 50 of 1,000,000 decimals, by Python's math.isqrt.
MILLIONTH = "75942021829737743512519707760133872287874153226344"
# Runs a program, and prints what it took of memory at most, in bytes.
PEAK = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024)
"""
examples = settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="session")
def program() -> list[str]:
    return compile_program()


@pytest.fixture
def golden(program: list[str], tmp_path: Path) -> Golden:
    return Golden(program, tmp_path)


@pytest.fixture(scope="module")
def million(program: list[str], tmp_path_factory: pytest.TempPathFactory) -> Golden:
    """A million digits, computed; what a test changes there it must change back."""
    golden = Golden(program, tmp_path_factory.mktemp("million"))
    golden.compute(1_000_000)
    return golden


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[None]:
    options = f"size={size},mode=755"
    subprocess.run(["/usr/bin/mount", "-t", "tmpfs", "-o", options, "none", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["/usr/bin/umount", folder], check=True)


def find_decimals(digits: int) -> str:
    """The decimals of φ, by Python's integers."""
    power, part = 10**digits, 4000  # Python makes no text of more than 4300 digits
    number, parts = (power + math.isqrt(5 * power * power)) // 2 - power, []
    for _ in range(0, digits, part):
        number, rest = divmod(number, 10**part)
        parts.append(f"{rest:0{part}}")
    return "".join(reversed(parts))[-digits:]


def test_the_first_and_the_last_of_a_million_decimals_are_known(million: Golden) -> None:
    decimals = million.decimals()
    assert len(decimals) == 1_000_000
    assert decimals[:50] == FIRST
    assert decimals[-50:] == MILLIONTH
    state = million.state()
    assert (state["phase"], state["digits"], state["verified"]) == ("done", 1_000_000, True)
    assert state["step"] == state["steps"]
    assert state["digits-per-second"] == pytest.approx(1_000_000 / state["seconds"], rel=0.001)
    assert {file.name for file in million.work.iterdir()} == {
        "lock",
        "phi.txt",
        "state.json",
        "step",
    }


def test_the_seconds_of_the_shortest_run_are_as_exact_as_its_speed(golden: Golden) -> None:
    golden.compute(1000)
    state = golden.state()
    assert state["digits-per-second"] == pytest.approx(1000 / state["seconds"], rel=0.01)


@examples
@given(digits=st.integers(1000, 12_000), threads=st.integers(1, 3))
def test_any_number_of_digits_is_as_pythons_integers_have_it(
    golden: Golden, digits: int, threads: int
) -> None:
    golden.compute(digits, THREADS=threads, VERIFY="full")
    assert golden.decimals() == find_decimals(digits)


def test_the_number_of_threads_changes_no_digit(golden: Golden, million: Golden) -> None:
    for threads in (1, 5):
        golden.digits_file.unlink(missing_ok=True)
        golden.compute(1_000_000, THREADS=threads)
        assert golden.decimals() == million.decimals()


def test_a_run_that_is_killed_after_any_step_goes_on_there(
    golden: Golden, million: Golden
) -> None:
    saved = 0
    for _ in range(20):
        with golden.start(DIGITS=1_000_000) as running:
            assert running.stdout
            for line in running.stdout:
                if found := re.match(r"going on after step (\d+) of", line):
                    assert int(found[1]) == saved
                if found := re.match(r"step (\d+) of .*, saved$", line):
                    assert int(found[1]) == saved + 1 or not saved
                    saved = int(found[1])
                    running.kill()
                    break
        if running.returncode == 0:
            break
    assert saved > 3
    assert golden.state()["verified"]
    assert golden.decimals() == million.decimals()


def test_a_run_that_is_killed_at_any_moment_ends_with_the_same_digits(
    golden: Golden, million: Golden
) -> None:
    chance = random.Random(2026)  # noqa: S311 - moments to kill at
    for _ in range(30):
        with golden.start(DIGITS=1_000_000) as running:
            try:
                running.wait(chance.uniform(0, 0.3))
            except subprocess.TimeoutExpired:
                running.kill()
        if chance.random() < 0.2:
            golden.digits_file.unlink(missing_ok=True)
    golden.compute(1_000_000)
    assert golden.decimals() == million.decimals()


def test_a_signal_stops_it_with_its_work_saved(golden: Golden) -> None:
    with golden.start(DIGITS=50_000_000) as running:
        assert running.stdout
        for line in running.stdout:
            if line.endswith("saved\n"):
                running.send_signal(signal.SIGTERM)
                break
        rest = running.stdout.read()
    assert running.returncode == 143
    assert rest.endswith("stopped: the next run goes on where this one was\n")
    assert golden.state()["phase"] == "stopped"
    assert "going on after step" in run_until(golden, "going on", DIGITS=50_000_000)


def run_until(golden: Golden, words: str, **variables: object) -> str:
    """Run it until it says something, and return that line."""
    with golden.start(**variables) as running:
        assert running.stdout
        try:
            return next(line for line in running.stdout if words in line)
        finally:
            running.kill()


@examples
@given(
    at=st.integers(0, 999_999), change=st.integers(1, 9), kind=st.sampled_from(["fast", "full"])
)
def test_one_wrong_digit_anywhere_is_found_by_each_formula(
    million: Golden, at: int, change: int, kind: str
) -> None:
    with million.digits_file.open("r+b") as file:
        file.seek(2 + at)
        right = file.read(1)
        file.seek(2 + at)
        file.write(b"%d" % ((int(right) + change) % 10))
        file.flush()
        try:
            done = million.run("verify", VERIFY=kind)
        finally:
            file.seek(2 + at)
            file.write(right)
    assert done.returncode == 4
    what = "a digit is wrong" if kind == "fast" else "a digit is wrong, by both formulas"
    assert done.stderr == f"golden-ratio: phi.txt, 1,000,000 digits: {what}\n"


def test_the_right_digits_are_found_right_by_both_formulas(million: Golden) -> None:
    for kind in ("fast", "full"):
        done = million.run("verify", VERIFY=kind)
        assert (done.returncode, done.stdout) == (0, "1,000,000 digits, verified\n")


@pytest.mark.parametrize(
    ("find", "replacement"),
    [(b"1.6180", b"1,6180"), (b"1.6180", b"1.618x"), (b"1.6180", b"1.618")],
)
def test_a_file_that_is_no_number_is_told_so(
    golden: Golden, million: Golden, find: bytes, replacement: bytes
) -> None:
    golden.digits_file.write_bytes(million.digits_file.read_bytes().replace(find, replacement, 1))
    for kind in ("fast", "full"):
        done = golden.run("verify", VERIFY=kind)
        assert done.returncode == 4
        assert re.fullmatch(r"golden-ratio: phi\.txt, [\d,]+ digits: .*\n", done.stderr)


def test_digits_that_turn_out_wrong_are_set_aside_and_computed_again(
    golden: Golden, million: Golden
) -> None:
    right = million.digits_file.read_bytes()
    golden.digits_file.write_bytes(right.replace(b"1.618", b"1.619", 1))
    said = golden.compute(1_000_000)
    assert "phi.txt: a digit is wrong\nphi.txt is set aside as phi.txt.bad\n" in said
    assert golden.digits_file.read_bytes() == right
    assert "1,000,000 digits, verified" in golden.run("verify").stdout


def test_digits_that_are_there_are_verified_and_not_computed_again(golden: Golden) -> None:
    golden.compute(100_000)
    before = golden.digits_file.stat(), golden.state()
    for _ in range(20):
        assert "verifying them" in golden.compute(100_000)
        after = golden.digits_file.stat(), golden.state()
        assert after[0].st_mtime_ns == before[0].st_mtime_ns
        assert after[1]["seconds"] == before[1]["seconds"]


def test_digits_of_which_nobody_knows_what_they_took_have_no_speed(
    golden: Golden, million: Golden
) -> None:
    golden.digits_file.write_bytes(million.digits_file.read_bytes())
    assert golden.compute(1_000_000).endswith("1,000,000 digits, verified\n")
    assert golden.state()["digits-per-second"] is None


@pytest.fixture
def half_done(golden: Golden) -> bytes:
    """What a run that was killed after a step has saved."""
    run_until(golden, "saved", DIGITS=1_000_000)
    return (golden.work / "step").read_bytes()


@examples
@given(data=st.data())
def test_a_saved_step_that_is_damaged_is_set_aside_and_told(
    golden: Golden, half_done: bytes, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(half_done) - 1))
    cut = data.draw(st.booleans())
    damaged = bytearray(half_done[:at] if cut else half_done)
    if not cut:
        damaged[at] ^= data.draw(st.integers(1, 255))
    (golden.work / "step").write_bytes(damaged)
    golden.digits_file.unlink(missing_ok=True)
    said = golden.compute(1_000_000)
    assert re.search(r"^the file step .*\nstep is set aside as step\.bad$", said, re.MULTILINE)
    assert "going on" not in said
    assert (golden.work / "step.bad").read_bytes() == damaged


def sign_step(step: bytes) -> bytes:
    """Put the right checksum into a saved step: the header's last word."""
    header, limbs = step[:48] + bytes(8), step[56:]
    total = 1
    for (word,) in struct.iter_unpack("<Q", header + limbs):
        total = (total ^ word) * 0x9E3779B97F4A7C15 % 2**64
        total ^= total >> 32
    return step[:48] + struct.pack("<Q", total) + limbs


def test_a_step_that_was_saved_wrong_is_noticed_and_computed_again(
    golden: Golden, million: Golden, half_done: bytes
) -> None:
    assert sign_step(half_done) == half_done
    wrong = half_done[:-8] + struct.pack("<Q", struct.unpack("<Q", half_done[-8:])[0] + 1)
    (golden.work / "step").write_bytes(sign_step(wrong))
    done = golden.run(DIGITS=1_000_000)
    assert done.returncode == 1
    assert re.fullmatch(r"golden-ratio: step \d+ is wrong, so the next run .*\n", done.stderr)
    golden.compute(1_000_000)
    assert golden.decimals() == million.decimals()


def test_a_saved_step_of_other_digits_is_set_aside_and_told(
    golden: Golden, half_done: bytes
) -> None:
    said = golden.compute(1000)
    assert "the file step belongs to another number of digits\n" in said
    assert (golden.work / "step.bad").read_bytes() == half_done
    assert golden.decimals() == find_decimals(1000)


def test_more_digits_than_fit_into_memory_are_refused_with_the_number_that_fits(
    golden: Golden,
) -> None:
    done = golden.run(DIGITS=10_000_000_000)
    assert done.returncode == 3
    found = re.fullmatch(
        r"golden-ratio: 10,000,000,000 digits need more than the [\d,]+ MB of memory that there "
        r"are; ([\d,]+) fit\n",
        done.stderr,
    )
    assert found, done.stderr
    assert 10_000_000 < int(found[1].replace(",", "")) < 10_000_000_000
    state = golden.state()
    assert (state["phase"], state["verified"]) == ("failed", False)
    assert f"golden-ratio: {state['message']}\n" == done.stderr


def test_a_control_groups_limit_counts(golden: Golden) -> None:
    root = Path("/sys/fs/cgroup")
    version_1 = (root / "memory").is_dir()
    group = (root / "memory" if version_1 else root) / f"golden-test-{os.getpid()}"
    limit = group / ("memory.limit_in_bytes" if version_1 else "memory.max")
    group.mkdir()
    try:
        limit.write_text("100000000")
        enter = f'echo $$ >{group}/cgroup.procs; exec "$@"'
        limited = Golden(["/bin/sh", "-c", enter, "sh", *golden.program], golden.work)
        done = limited.run(DIGITS=50_000_000)
        assert done.returncode == 3
        most = int(re.findall(r"([\d,]+) fit", done.stderr)[0].replace(",", ""))
        assert most < 100_000_000 / 8
        limited.compute(most)
    finally:
        group.rmdir()


def test_it_is_the_same_with_what_ubuntu_has(tmp_path: Path) -> None:
    golden = Golden(compile_program(NOBLE), tmp_path)
    golden.compute(10_000, VERIFY="full")
    assert golden.decimals() == find_decimals(10_000)


def test_it_takes_at_most_twelve_bytes_a_digit(golden: Golden) -> None:
    # Of a Python of its own: the kernel counts what a process was forked from, too.
    small = Golden([sys.executable, "-S", "-c", PEAK, *golden.program], golden.work)
    for kind in ("fast", "full"):
        peak = int(small.compute(5_000_000, VERIFY=kind).splitlines()[-1])
        assert 1_000_000 < peak <= 12 * 5_000_000
        golden.digits_file.unlink()


@pytest.mark.parametrize("size", [500_000, 1_100_000])
def test_a_full_disk_is_told_in_one_line(golden: Golden, size: int) -> None:
    with small_disk(golden.work, size):
        done = golden.run(DIGITS=1_000_000)
        assert done.returncode == 5
        assert re.fullmatch(r"golden-ratio: .* No space left on device\n", done.stderr)
        assert not golden.digits_file.exists()
        assert golden.run(DIGITS=100_000).returncode == 0


def test_a_second_run_in_the_same_directory_is_refused(golden: Golden) -> None:
    with golden.start(DIGITS=50_000_000) as running:
        assert running.stdout
        next(running.stdout)
        second = golden.run(DIGITS=1000)
        running.kill()
    assert second.returncode == 6
    assert second.stderr.startswith("golden-ratio: another run works in ")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"DIGITS": 999}, "DIGITS is '999'; it must be a number between 1000 and 10000000000"),
        ({"DIGITS": "1e6"}, "DIGITS is '1e6'; it must"),
        ({"DIGITS": -5}, "DIGITS is '-5'; it must"),
        ({"THREADS": 0}, "THREADS is '0'; it must be a number between 1 and 256"),
        ({"VERIFY": "no"}, "VERIFY is 'no'; it must be fast or full"),
        ({"VERIFY": "\n\x1b[1m"}, "VERIFY is '??[1m'; it must be fast or full"),
    ],
)
def test_a_bad_value_is_told_with_what_is_allowed(
    golden: Golden, variables: dict[str, object], said: str
) -> None:
    done = golden.run(**variables)
    assert done.returncode == 2
    assert done.stderr.startswith(f"golden-ratio: {said}")
    assert done.stderr.count("\n") == 1


def test_any_digits_are_printed(million: Golden) -> None:
    assert million.run("digits", 1, 50).stdout == FIRST + "\n"
    assert million.run("digits", 999_951, 50).stdout == MILLIONTH + "\n"
    assert million.run("digits", 1, 1_000_000).stdout == million.decimals() + "\n"
    for words in ((0, 1), (1, 1_000_001), (1_000_001, 1), (1,)):
        assert million.run("digits", *words).returncode == 2


def test_a_directory_without_digits_is_told(golden: Golden) -> None:
    for words in (("verify",), ("digits", 1, 1)):
        done = golden.run(*words)
        assert done.returncode == 5
        assert done.stderr == (
            "golden-ratio: there is no phi.txt with digits in the work directory\n"
        )
