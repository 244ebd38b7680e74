from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from dockerhost import EngineUnavailableError, InstallError, ensure_engine, service
from hostkit import charmhelp
from lib.hostkit.tests.unit.fake_apt import FakeApt, replace_programs


class Machine(FakeApt):
    """Stands in for a machine's package manager, service manager and engine."""

    api_version = "1.41"

    def __init__(self) -> None:
        super().__init__()
        self.known = {"apparmor", "ca-certificates", "docker.io"}
        self.answering = False
        self.starts = True

    def answer(self, words: str, command: list[str]) -> tuple[int, str]:
        if words.startswith(("systemctl show", "systemctl reset-failed", "journalctl")):
            return 0, ""
        code, said = super().answer(words, command)
        if words.startswith("systemctl") and not code:
            self.answering = self.starts
        return code, said

    def connect(self, **_: Any) -> Machine:
        if not self.answering:
            raise docker.errors.DockerException("no such file")
        return self

    def close(self) -> None:
        return None


INSTALL = "apt-get install docker.io ca-certificates apparmor"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    machine = Machine()
    replace_programs(machine, monkeypatch)
    monkeypatch.setattr("dockerhost.connection.Client", machine.connect)
    monkeypatch.setattr(service, "DAEMONS", (str(tmp_path / "dockerd"), str(tmp_path / "snap")))
    return machine


def test_an_engine_that_answers_is_left_alone_and_charmhelpers_is_not_loaded(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(charmhelp, "load_fetch")
    machine.answering = True
    assert ensure_engine() is False
    assert machine.ran == []


def test_an_engine_that_is_installed_is_only_started(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "dockerd").touch()
    assert ensure_engine() is True
    assert machine.ran == ["systemctl start docker.service"]


def test_the_snaps_engine_is_started_by_its_own_unit(machine: Machine, tmp_path: Path) -> None:
    (tmp_path / "snap").touch()
    assert ensure_engine() is True
    assert machine.ran == ["systemctl start snap.docker.dockerd.service"]


def test_without_an_engine_the_distributions_is_installed(machine: Machine) -> None:
    steps: list[str] = []
    assert ensure_engine(steps.append) is True
    assert machine.ran == ["dpkg", INSTALL, "systemctl start docker.service"]
    assert steps == ["installing docker.io", "starting the Docker Engine"]


def test_dockers_own_engine_is_installed_where_a_source_has_it(machine: Machine) -> None:
    machine.known = {"apparmor", "ca-certificates", "docker-ce", "docker.io"}
    steps: list[str] = []
    assert ensure_engine(steps.append) is True
    assert machine.ran[1] == INSTALL.replace("docker.io", "docker-ce")
    assert steps[0] == "installing docker-ce"


def test_package_lists_are_fetched_only_where_they_are_wanting(machine: Machine) -> None:
    machine.failing[INSTALL] = ["E: Unable to locate package docker.io\n"]
    assert ensure_engine() is True
    assert machine.ran[1:4] == [INSTALL, "apt-get update", INSTALL]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("dpkg", "dpkg: error: dpkg frontend lock was locked by another process with pid 9614"),
        (INSTALL, "E: Could not get lock /var/lib/dpkg/lock-frontend. It is held by process 7"),
    ],
)
def test_a_package_manager_that_is_at_work_is_waited_for(
    machine: Machine, words: str, said: str
) -> None:
    machine.failing[words] = [said, said]
    assert ensure_engine() is True
    assert machine.ran.count(words) == 3
    assert "apt-get update" not in machine.ran


def test_apts_own_reason_is_told_in_one_line(machine: Machine) -> None:
    reason = "W: something\nE: Unable to locate package docker.io\nE: more\n"
    machine.failing[INSTALL] = [reason, reason]
    with pytest.raises(InstallError, match=r"ca-certificates apparmor: Unable to locate") as told:
        ensure_engine()
    assert "\n" not in str(told.value)


def test_an_engine_that_stays_silent_is_told_with_where_to_look(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.starts = False
    monkeypatch.setattr(service, "_TIMEOUT", 0.001)
    with pytest.raises(EngineUnavailableError, match="see journalctl --unit docker"):
        ensure_engine()


def test_a_program_that_is_not_there_is_named(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if command[0] == "/usr/bin/dpkg":
            raise FileNotFoundError(2, "No such file or directory")
        return machine.run(command, **options)

    monkeypatch.setattr("subprocess.run", run)
    with pytest.raises(InstallError, match="/usr/bin/dpkg: No such file"):
        ensure_engine()


def test_a_program_that_never_ends_is_given_up(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        if command[0] == "/usr/bin/dpkg":
            raise subprocess.TimeoutExpired("dpkg", 900)
        return machine.run(command, **options)

    monkeypatch.setattr("subprocess.run", run)
    with pytest.raises(InstallError, match="did not end within 900 s"):
        ensure_engine()
