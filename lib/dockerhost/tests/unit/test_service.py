from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import docker.errors
import pytest
import requests.exceptions

from dockerhost import EngineSilentError, EngineUnavailableError, InstallError, service

UNIT = "docker.service"
DEBIAN = "/usr/sbin/dockerd -H fd:// $DOCKER_OPTS"


class Machine:
    """Stands in for systemd, its journal and an engine.

    Attributes:
        properties: what systemd tells of the engine's unit; a list stands there line by line.
        faults: what programs say that fail, by their first words.
        journal: what the engine has written, by and by.
        connects: what comes of each connection; the last one, of all that follow.
    """

    api_version = "1.41"

    def __init__(self) -> None:
        self.properties: dict[str, str | list[str]] = {"TriggeredBy": "docker.socket"}
        self.faults: dict[str, str] = {}
        self.journal: list[str] = [""]
        self.connects: list[Exception | None] = [None]
        self.ran: list[str] = []

    def run(self, command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        words = " ".join([Path(command[0]).name, *(w for w in command[1:] if w[0] != "-")])
        if words.startswith("systemctl show"):
            return subprocess.CompletedProcess(command, 0, self.show(command[2]), "")
        if words.startswith("journalctl"):
            said = self.journal.pop(0) if len(self.journal) > 1 else self.journal[0]
            return subprocess.CompletedProcess(command, 0, said, "")
        self.ran.append(words)
        for start, said in self.faults.items():
            if words.startswith(start):
                return subprocess.CompletedProcess(command, 1, "", said)
        return subprocess.CompletedProcess(command, 0, "", "")

    def show(self, asked: str) -> str:
        lines = []
        for name in asked.removeprefix("--property=").split(","):
            values = self.properties.get(name, "")
            each = values if isinstance(values, list) else [values]
            lines += [f"{name}={value}" for value in each]
        return "\n".join(lines) + "\n"

    def connect(self, **_: Any) -> Machine:
        comes = self.connects.pop(0) if len(self.connects) > 1 else self.connects[0]
        if comes:
            raise comes
        return self

    def close(self) -> None:
        return None


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Machine:
    machine = Machine()
    monkeypatch.setattr("subprocess.run", machine.run)
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr("dockerhost.connection.Client", machine.connect)
    monkeypatch.setattr(service, "DAEMONS", (str(tmp_path / "dockerd"), str(tmp_path / "snap")))
    monkeypatch.setattr(service, "CONFIG", tmp_path / "daemon.json")
    return machine


def test_systemds_limit_of_starts_is_lifted_before_each(machine: Machine) -> None:
    service.start(UNIT, again=True)
    assert machine.ran == [
        "systemctl reset-failed docker.service",
        "systemctl reset-failed docker.socket",
        "systemctl restart docker.service",
    ]


def test_a_unit_that_systemd_has_not_loaded_has_no_limit_to_lift(machine: Machine) -> None:
    machine.faults["systemctl reset-failed"] = "Unit docker.service not loaded."
    service.start(UNIT)
    assert machine.ran[-1] == "systemctl start docker.service"


def test_an_engine_that_comes_to_listen_is_waited_for(machine: Machine) -> None:
    machine.connects = [docker.errors.DockerException("refused"), None]
    service.start(UNIT)


@pytest.mark.parametrize(
    ("fault", "kind"),
    [
        (docker.errors.DockerException("refused"), EngineUnavailableError),
        (requests.exceptions.ReadTimeout("silent"), EngineSilentError),
    ],
)
def test_an_engine_that_does_not_come_to_answer_is_told(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, fault: Exception, kind: type[Exception]
) -> None:
    monkeypatch.setattr(service, "_TIMEOUT", 0.001)
    monkeypatch.setattr(service, "_SILENCE", 0.001)
    machine.connects = [fault]
    with pytest.raises(kind):
        service.start(UNIT)


@pytest.mark.parametrize(
    ("journal", "reason"),
    [
        ("failed to start daemon: -b and --bip", "failed to start daemon: -b and --bip"),
        (
            'time="2026" level=info msg="Starting up"\ntime="2026" level=fatal msg="no \\"x\\""',
            'no \\"x\\"',
        ),
    ],
)
def test_an_engine_that_does_not_start_is_told_in_its_own_words(
    machine: Machine, journal: str, reason: str
) -> None:
    machine.faults["systemctl restart"] = "Job for docker.service failed"
    ended = 'time="2026" level=info msg="Daemon shutdown complete"'
    machine.journal = [ended, f"{ended}\n{journal}"]
    with pytest.raises(InstallError) as told:
        service.start(UNIT, again=True)
    assert str(told.value) == f"docker.service does not start: {reason}"


def test_an_engine_that_said_nothing_is_told_in_systemds_words(machine: Machine) -> None:
    machine.faults["systemctl restart"] = "Job for docker.service failed"
    with pytest.raises(InstallError, match=r"restart docker\.service: Job for docker\."):
        service.start(UNIT, again=True)


def test_a_broken_file_of_settings_is_why_an_engine_does_not_start(
    machine: Machine, tmp_path: Path
) -> None:
    machine.faults["systemctl start"] = "the control process exited with error code."
    file = tmp_path / "daemon.json"
    file.write_text("{ // no\n}")
    with pytest.raises(InstallError) as told:
        service.start(UNIT)
    assert str(told.value) == (
        f"docker.service does not start: {file} has a comment (line 1, column 3), and JSON has "
        "none; correct or remove it"
    )


@pytest.mark.parametrize(("said", "expected"), [("812", 812), ("0", 0), ("", 0)])
def test_the_engines_process_is_what_systemd_says(
    machine: Machine, said: str, expected: int
) -> None:
    machine.properties["MainPID"] = said
    assert service.find_process(UNIT) == expected


@pytest.mark.parametrize(
    ("command", "environment", "expected"),
    [
        (DEBIAN, "# --config-file=/no.json\n", ""),
        (DEBIAN, 'DOCKER_OPTS="--debug --config-file=/a b.json"\n', "/a"),
        (DEBIAN, "DOCKER_OPTS='--config-file /c.json'\n", "/c.json"),
        ("/usr/bin/dockerd --config-file /d.json -H fd://", "", "/d.json"),
        ("/usr/bin/dockerd -H fd://", 'DOCKER_OPTS="--config-file=/unused.json"', ""),
        (
            "/usr/bin/dockerd --config-file=/e.json $MORE",
            'MORE="--config-file=/f.json"',
            "/f.json",
        ),
    ],
)
def test_the_file_of_settings_is_the_one_that_the_units_options_name(
    machine: Machine, tmp_path: Path, command: str, environment: str, expected: str
) -> None:
    (tmp_path / "default").write_text(environment)
    machine.properties |= {
        "ExecStart": f"{{ path=/usr/sbin/dockerd ; argv[]={command} ; ignore_errors=no }}",
        "EnvironmentFiles": [
            f"{tmp_path}/default (ignore_errors=yes)",
            "/nonexistent (ignore_errors=yes)",
        ],
    }
    assert service.find_config(UNIT) == (Path(expected) if expected else tmp_path / "daemon.json")


def test_the_snaps_engine_has_a_file_of_its_own(machine: Machine) -> None:
    file = service.find_config("snap.docker.dockerd.service")
    assert file == Path("/var/snap/docker/current/config/daemon.json")


@pytest.mark.parametrize("changed", ["unit", "drop-in", "default", "dockerd"])
def test_whatever_an_engine_starts_with_changes_the_hash_of_its_options(
    machine: Machine, tmp_path: Path, changed: str
) -> None:
    for name in ("unit", "drop-in", "default", "dockerd"):
        (tmp_path / name).write_text("before")
    machine.properties |= {
        "FragmentPath": f"{tmp_path}/unit",
        "DropInPaths": f"{tmp_path}/drop-in",
        "EnvironmentFiles": f"{tmp_path}/default (ignore_errors=yes)",
    }
    before = service.hash_options(UNIT)
    assert service.hash_options(UNIT) == before
    (tmp_path / changed).write_text("afterwards")
    assert service.hash_options(UNIT) != before
