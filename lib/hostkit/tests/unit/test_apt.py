from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tomli

from hostkit import apt, charmhelp
from lib.hostkit.tests.unit.fake_apt import FakeApt, replace_programs

ROOT = Path(__file__).parents[4]
INSTALL = "apt-get install web ca-certificates"
LOCKED = "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7\n"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> FakeApt:
    machine = FakeApt()
    replace_programs(machine, monkeypatch)
    return machine


def install() -> None:
    apt.ensure_packages("web", "ca-certificates")


def test_what_is_missing_is_installed_after_what_was_left_half_done(machine: FakeApt) -> None:
    install()
    assert machine.ran == ["dpkg", INSTALL]
    assert machine.logged[-1].startswith("Installing ['web', 'ca-certificates'] with options")


def test_what_is_installed_is_not_installed_again(machine: FakeApt) -> None:
    machine.installed = {"ca-certificates"}
    install()
    assert machine.ran == ["dpkg", "apt-get install web"]
    machine.ran.clear()
    install()
    assert machine.ran == ["dpkg"]


def test_package_lists_are_fetched_only_where_they_are_wanting(machine: FakeApt) -> None:
    machine.failing[INSTALL] = ["E: Unable to locate package web\n"]
    install()
    assert machine.ran == ["dpkg", INSTALL, "apt-get update", INSTALL]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("dpkg", "dpkg: error: dpkg frontend lock was locked by another process with pid 9614"),
        (INSTALL, LOCKED),
    ],
)
def test_a_package_manager_that_is_at_work_is_waited_for(
    machine: FakeApt, words: str, said: str
) -> None:
    machine.failing[words] = [said, said]
    install()
    assert machine.ran.count(words) == 3
    assert "apt-get update" not in machine.ran


def test_one_that_fetches_lists_is_waited_for_too(machine: FakeApt) -> None:
    machine.failing[INSTALL] = ["E: Unable to locate package web\n"]
    machine.failing["apt-get update"] = ["E: Could not get lock /var/lib/apt/lists/lock.\n"]
    install()
    assert machine.ran == ["dpkg", INSTALL, "apt-get update", "apt-get update", INSTALL]


def test_apts_own_reason_is_told_in_one_line(machine: FakeApt) -> None:
    reason = "W: something\nE: Unable to locate package web\nE: more\n"
    machine.failing[INSTALL] = [reason, reason]
    with pytest.raises(OSError, match=r"^apt-get install .*tificates: Unable to locate p.* web$"):
        install()


def test_where_lists_can_not_be_fetched_that_is_told_beside_the_reason(machine: FakeApt) -> None:
    machine.failing[INSTALL] = ["E: Unable to locate package web\n"] * 2
    machine.failing["apt-get update"] = ["Ign:1 x\nE: Failed to fetch http://x  timed out\n"]
    with pytest.raises(OSError, match=r"web; apt-get update: Failed to fetch http://x timed out$"):
        install()


def test_a_source_that_does_not_answer_does_not_keep_those_out_that_do(machine: FakeApt) -> None:
    machine.failing[INSTALL] = ["E: Unable to locate package web\n"]
    machine.failing["apt-get update"] = ["E: Failed to fetch http://x  timed out\n"]
    install()
    assert machine.installed == {"web", "ca-certificates"}


def test_no_mirror_is_waited_for_without_end(machine: FakeApt) -> None:
    machine.failing[INSTALL] = ["E: Unable to locate package web\n"]
    install()
    assert len(machine.options) == 3
    for options in machine.options:
        assert {"--option=Acquire::http::Timeout=20", "--option=Acquire::Retries=1"} <= {*options}


def test_what_charmhelpers_can_not_find_out_is_told_with_what_it_was_for(
    machine: FakeApt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_down(*_: Any) -> None:
        raise subprocess.CalledProcessError(2, ["dpkg-query"])

    monkeypatch.setattr(charmhelp.load_fetch(), "filter_installed_packages", break_down)
    with pytest.raises(OSError, match=r"^installing web ca-certificates: .*'dpkg-query'"):
        install()


def test_without_juju_what_it_logs_is_no_trouble(
    machine: FakeApt, monkeypatch: pytest.MonkeyPatch
) -> None:
    def call(command: list[str], **options: Any) -> int:
        if command[0] == "juju-log":
            raise FileNotFoundError(2, "No such file or directory")
        return machine.call(command, **options)

    monkeypatch.setattr("subprocess.call", call)
    machine.failing[INSTALL] = ["E: no\n"] * 2
    with pytest.raises(OSError, match=r"ca-certificates: no$"):
        install()


# Runs in a Python of its own, as what is imported stays.
LOOK = """
import sys
from hostkit import {imports}
{do}
print(*sorted(name for name in sys.modules if name.split(".")[0] in ("charmhelpers", "distutils")))
"""


def look(imports: str, do: str = "") -> list[str]:
    words = [sys.executable, "-W", "error", "-c", LOOK.format(imports=imports, do=do)]
    done = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.split()


def test_charmhelpers_is_loaded_where_there_is_something_to_do_and_not_before() -> None:
    assert look("apt") == []


def test_a_charm_is_packed_with_those_modules_of_it_that_are_loaded() -> None:
    settings = tomli.loads((ROOT / "tools" / "charmhelpers" / "pyproject.toml").read_text())
    hook = settings["tool"]["hatch"]["build"]["targets"]["wheel"]["hooks"]["custom"]
    packed = {
        ".".join(["charmhelpers", *Path(each).with_suffix("").parts]).removesuffix(".__init__")
        for each in hook["modules"]
    }
    # What stands in for distutils is gone again.
    assert set(look("charmhelp", "charmhelp.load_fetch()")) == packed
