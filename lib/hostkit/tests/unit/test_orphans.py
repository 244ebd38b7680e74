from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest

from hostkit import agents, code, orphans, systemd

NAME = "mprime-0-orphan"


class Systemd:
    """Stands in for systemctl: which units run and start at boot, and which text it read."""

    def __init__(self, units: Path) -> None:
        self.units = units
        self.read: dict[str, str] = {}
        self.active: set[str] = set()
        self.enabled: set[str] = set()
        self.said: list[str] = []

    def call(self, *words: str) -> str:
        name = words[-1]
        if words[0] != "show":
            self.said.append(" ".join(words))
        if words[0] in ("daemon-reload", "start"):
            self.read = {file.name: file.read_text() for file in self.units.iterdir()}
        if words[0] == "start":
            self.active.add(name)
        if words[0] == "enable":
            self.enabled.add(name)
        if words[0] == "stop" or "--now" in words:
            self.active.discard(name)
        if words[0] == "disable":
            self.enabled.discard(name)
        stale = name in self.read and self.read[name] != (self.units / name).read_text()
        return (
            f"NeedDaemonReload={'yes' if stale else 'no'}\n"
            f"ActiveState={'active' if name in self.active else 'inactive'}\n"
            f"UnitFileState={'enabled' if name in self.enabled else 'disabled'}\n"
        )


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    units = tmp_path / "units"
    units.mkdir()
    machine = Systemd(units)
    monkeypatch.setattr(systemd, "UNITS", units)
    monkeypatch.setattr(systemd, "call", machine.call)
    monkeypatch.setattr(orphans, "COPIES", tmp_path / "copies")
    monkeypatch.setattr(agents, "AGENTS", tmp_path / "agents")
    return machine


@pytest.fixture
def charm(tmp_path: Path) -> Path:
    charm = tmp_path / "agents/unit-mprime-0/charm"
    for name in ("src/orphan.py", "venv/lib/library.py", "src/__pycache__/orphan.pyc"):
        (charm / name).parent.mkdir(parents=True, exist_ok=True)
        (charm / name).write_text(name)
    (charm / "venv/bin").mkdir()
    (charm / "venv/bin/python").symlink_to("/usr/bin/python3")
    return charm


def test_systemd_watches_the_folder_of_all_agents(machine: Systemd, charm: Path) -> None:
    orphans.ensure_watch("mprime/0", charm, ["--work"])
    assert machine.active == machine.enabled == {f"{NAME}.path"}
    path = (systemd.UNITS / f"{NAME}.path").read_text()
    assert f"PathChanged={agents.AGENTS}\n" in path
    assert f"Wants={NAME}.service\n" in path
    service = (systemd.UNITS / f"{NAME}.service").read_text()
    assert f"ConditionPathExists=!{charm.parent}\n" in service
    copy = orphans.COPIES / "mprime-0"
    assert f"{copy}/venv/bin/python -E -s {copy}/src/orphan.py mprime/0 --work\n" in service


def test_the_copy_has_the_charms_code_and_its_libraries(machine: Systemd, charm: Path) -> None:
    orphans.ensure_watch("mprime/0", charm, [])
    copy = orphans.COPIES / "mprime-0"
    assert (copy / "src/orphan.py").read_text() == "src/orphan.py"
    assert (copy / "venv/lib/library.py").is_file()
    assert (copy / "venv/bin/python").readlink() == Path("/usr/bin/python3")
    assert not list(copy.rglob("__pycache__"))


def test_a_hook_with_nothing_to_change_changes_nothing(machine: Systemd, charm: Path) -> None:
    orphans.ensure_watch("mprime/0", charm, [])
    machine.said.clear()
    before = (orphans.COPIES / "mprime-0").stat().st_ino
    orphans.ensure_watch("mprime/0", charm, [])
    assert machine.said == []
    assert (orphans.COPIES / "mprime-0").stat().st_ino == before


@pytest.mark.parametrize("changed", ["src/orphan.py", "venv/lib/library.py"])
def test_a_refresh_renews_the_copy(machine: Systemd, charm: Path, changed: str) -> None:
    orphans.ensure_watch("mprime/0", charm, [])
    (charm / changed).write_text("other code")
    orphans.ensure_watch("mprime/0", charm, [])
    assert (orphans.COPIES / "mprime-0" / changed).read_text() == "other code"


def test_other_arguments_reach_systemd(machine: Systemd, charm: Path) -> None:
    orphans.ensure_watch("mprime/0", charm, [])
    orphans.ensure_watch("mprime/0", charm, ["--work"])
    assert machine.said[-1] == "daemon-reload"
    assert "--work" in machine.read[f"{NAME}.service"]


@pytest.mark.parametrize("when", range(12))
def test_a_hook_that_is_killed_is_made_up_for_by_the_next(
    machine: Systemd, charm: Path, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    steps = iter(range(100))

    def be_killed(*words: object) -> None:
        if next(steps) == when:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        rename, call, write = Path.rename, machine.call, orphans.files.write
        patch.setattr(Path, "rename", lambda *a: (be_killed(), rename(*a)))
        patch.setattr(systemd, "call", lambda *a: (be_killed(), call(*a))[1])
        patch.setattr(orphans.files, "write", lambda *a: (be_killed(), write(*a)))
        with contextlib.suppress(KeyboardInterrupt):
            orphans.ensure_watch("mprime/0", charm, [])
    orphans.ensure_watch("mprime/0", charm, [])
    assert machine.active == machine.enabled == {f"{NAME}.path"}
    assert machine.read[f"{NAME}.path"] == (systemd.UNITS / f"{NAME}.path").read_text()
    assert (orphans.COPIES / "mprime-0/src/orphan.py").exists()


def test_removal_leaves_nothing_and_can_run_again(machine: Systemd, charm: Path) -> None:
    orphans.ensure_watch("mprime/0", charm, [])
    for _ in range(2):
        orphans.remove_watch("mprime/0")
        assert not list(systemd.UNITS.iterdir())
        assert not list(orphans.COPIES.iterdir())
        assert machine.active == machine.enabled == set()


def test_code_is_another_when_any_of_its_files_is(charm: Path) -> None:
    before = code.digest(charm)
    (charm / "src/__pycache__/orphan.pyc").write_text("byte code that Python wrote")
    assert code.digest(charm) == before
    found = (charm / "venv/lib/library.py").stat()
    os.utime(charm / "venv/lib/library.py", ns=(found.st_atime_ns, found.st_mtime_ns + 1))
    assert code.digest(charm) != before
