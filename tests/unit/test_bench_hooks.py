from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import hooks
from benchmarks.figures import MeasureError
from benchmarks.hooks import CHARMS
from benchmarks.probes import hook, hook_parts


class Machine:
    """Runs hooks of so many seconds and megabytes, until one fails."""

    def __init__(self, *, seconds: float = 0.3, megabytes: float = 45.0, fails: int = -1):
        size = megabytes * 1e6
        self.took = {"seconds": seconds, "bytes": size, "bytes-together": 2 * size}
        self.fails = fails
        self.ran: list[tuple[str, str]] = []

    def run(self, charm: str, what: str) -> Any:
        if len(self.ran) == self.fails:
            raise MeasureError("the unit is gone")
        self.ran.append((charm, what))
        return {"time": self.took, "changes": [], "parts": {"rest": {"seconds": 0.1}}}[what]


def measure(machine: Machine, rounds: int = 3) -> Any:
    return hooks.measure_on(machine, rounds, lambda what, part=None: None, {})


def test_every_charm_is_measured_in_each_round_and_each_begins_one() -> None:
    machine = Machine()
    outcome = measure(machine, len(CHARMS))
    timed = [charm for charm, what in machine.ran if what == "time"][len(CHARMS) :]
    assert set(timed[:: len(CHARMS)]) == set(CHARMS)
    for found in outcome.details["rounds"]:
        assert {charm: "parts" in found[charm] for charm in CHARMS} == dict.fromkeys(CHARMS, True)
    assert [figure for figure in outcome.figures if not figure.is_met] == []


def test_a_hook_that_is_slow_or_large_is_told() -> None:
    for machine, unit in ((Machine(seconds=0.36), "s"), (Machine(megabytes=51.0), "MB")):
        missed = [figure for figure in measure(machine).figures if not figure.is_met]
        assert [figure.unit for figure in missed] == [unit] * len(CHARMS)


def test_a_change_made_by_a_hook_is_named() -> None:
    (changes,) = hooks.judge([], {"fan": ["/etc/docker/x"]})
    assert not changes.is_met
    assert "/etc/docker/x" in changes.explain_miss()


def test_every_figure_fits_a_line_of_80_columns() -> None:
    for figure in measure(Machine(seconds=0.123456, megabytes=51.2345)).figures:
        assert len(figure.summarize()) <= 80


def test_what_was_measured_before_a_hook_failed_is_kept() -> None:
    before = 2 * len(CHARMS) + 2 * len(CHARMS)
    outcome = measure(Machine(fails=before + 1))
    assert outcome.failure == "the unit is gone"
    assert len(outcome.details["rounds"]) == 1
    assert {len(figure.values) for figure in outcome.figures} == {1}


@pytest.mark.parametrize(
    "line",
    [
        '7 openat(AT_FDCWD</charm>, "/etc/x", O_WRONLY|O_CREAT, 0644) = 3</etc/x>',
        '7 rename("/charm/x", "/etc/x") = 0',
        '7 mkdirat(AT_FDCWD</charm>, "/etc/x", 0777) = 0',
        "7 fchown(4</etc/x>, 0, 0) = 0",
        '7 openat(3</etc>, "x", O_RDWR) = 4</etc/x>',
    ],
)
def test_a_write_outside_of_the_charm_is_found(line: str) -> None:
    assert hook.find_writes(line, "/charm") == ["/etc/x"]


@pytest.mark.parametrize(
    "line",
    [
        '7 openat(AT_FDCWD</charm>, "/etc/x", O_RDONLY|O_CLOEXEC) = 3</etc/x>',
        '7 openat(AT_FDCWD</charm>, "state.db", O_RDWR) = 3</charm/state.db>',
        '7 unlink("state.db-journal") = 0',
        '7 openat(AT_FDCWD</charm>, "/dev/null", O_RDWR) = 3</dev/null>',
        "7 +++ exited with 0 +++",
    ],
)
def test_reading_and_the_charms_own_files_are_no_changes(line: str) -> None:
    assert hook.find_writes(line, "/charm") == []


def test_memory_is_that_of_each_process_of_a_hook_its_own_first() -> None:
    # The shell waits for its child, so both are there when the child has answered.
    words = ["/bin/sh", "-c", "echo; cat; true"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        shell.stdin.write(b"x")
        shell.stdin.flush()
        assert shell.stdout.read(2) == b"\nx"
        own = int((Path("/proc") / str(shell.pid) / "statm").read_text().split()[1])
        first, second = hook.list_sizes(shell.pid)
        # The kernel counts pages in batches.
        assert first == pytest.approx(own * os.sysconf("SC_PAGE_SIZE"), rel=0.2)
        assert second > 0
        shell.stdin.close()


def test_a_process_that_has_ended_has_no_memory() -> None:
    with subprocess.Popen(["/bin/true"]) as ended:
        ended.wait()
    assert hook.list_sizes(ended.pid) == []


DISPATCH = """\
#!/bin/sh
python_path={python}
dispatch_path="$(dirname $(realpath $0))"
export PYTHONPATH="${{dispatch_path}}/src"
exec "${{python_path}}" "${{dispatch_path}}/src/charm.py"
"""
CHARM = """\
import subprocess
import other
subprocess.run([{tool!r}])
subprocess.run(["/bin/true"])
assert __name__ == "__main__"
"""


def test_a_hook_is_taken_apart_as_its_dispatch_runs_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "tools" / "is-leader"
    for folder in ("src", "tools"):
        (tmp_path / folder).mkdir()
    tool.symlink_to("/bin/true")
    (tmp_path / "dispatch").write_text(DISPATCH.format(python=sys.executable))
    (tmp_path / "src" / "charm.py").write_text(CHARM.format(tool=str(tool)))
    (tmp_path / "src" / "other.py").write_text("")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        hook, "HOOK", {**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}"}
    )
    parts = hook.measure_parts()
    assert set(parts) == {"interpreter", *hook_parts.PARTS}
    assert (parts["hook-tools"]["times"], parts["programs"]["times"]) == (1, 1)
    assert parts["imports"]["times"] >= 1
    assert all(part["seconds"] >= 0 for part in parts.values())


def test_a_dispatch_that_starts_the_charm_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "dispatch").write_text("#!/bin/sh\nexec python3 src/charm.py\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="does not start the charm with"):
        hook.measure_parts()


def test_each_moment_counts_for_the_innermost_part_alone() -> None:
    moments = iter([0.0, 1.0, 3.0, 6.0, 10.0, 15.0])
    clock = hook_parts.Clock(lambda: next(moments))
    with clock.during("imports"), clock.during("engine"):
        pass
    found = {part: (said["seconds"], said["times"]) for part, said in clock.document().items()}
    assert found["imports"] == (6.0, 1)
    assert found["engine"] == (3.0, 1)
    assert found["rest"] == (6.0, 0)


def test_a_request_to_an_engine_counts_from_when_it_is_sent_to_its_answer() -> None:
    assert hook_parts.choose_program(["/bin/true"]) == "programs"
    # The names that the probe takes the place of, in whatever Python a machine has.
    for owner, name in (
        (http.client.HTTPConnection, "endheaders"),
        (http.client.HTTPConnection, "getresponse"),
        (http.client.HTTPResponse, "read"),
    ):
        assert callable(getattr(owner, name))


def test_the_parts_are_json() -> None:
    assert json.loads(json.dumps(hook_parts.Clock().document()))["rest"]["times"] == 0
