from __future__ import annotations

from pathlib import Path

import pytest

import hostkit.systemd
from cosagent.service import Service, remove

NAME = "fan-0-metrics.service"


class Systemd:
    """Stands in for systemctl: which units run, and which start at boot."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.active: set[str] = set()
        self.enabled: set[str] = set()
        self.stale = False

    def call(self, *words: str) -> str:
        name = words[-1]
        if words[0] != "show":
            self.said.append(" ".join(words))
        if words[0] == "start":
            self.active.add(name)
        if words[0] == "stop" or "--now" in words:
            self.active.discard(name)
        if words[0] == "enable":
            self.enabled.add(name)
        if words[0] == "disable":
            self.enabled.discard(name)
        return (
            f"NeedDaemonReload={'yes' if self.stale else 'no'}\n"
            f"ActiveState={'active' if name in self.active else 'inactive'}\n"
            f"UnitFileState={'enabled' if name in self.enabled else 'disabled'}\n"
        )


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    systemd = Systemd()
    units = tmp_path / "units"
    units.mkdir()
    monkeypatch.setattr("hostkit.systemd.UNITS", units)
    monkeypatch.setattr("hostkit.systemd.call", systemd.call)
    return systemd


@pytest.fixture
def charm(tmp_path: Path) -> Path:
    (tmp_path / "charm" / "src").mkdir(parents=True)
    (tmp_path / "charm" / "src" / "exporter.py").write_text("print(1)\n")
    return tmp_path / "charm"


def ensure(charm: Path, port: str = "9635") -> str:
    Service("fan/0", charm, ("fan/0", port), ("CapabilityBoundingSet=CAP_NET_ADMIN",)).ensure()
    return (hostkit.systemd.UNITS / NAME).read_text()


def test_an_exporter_runs_now_and_after_a_boot(systemd: Systemd, charm: Path) -> None:
    text = ensure(charm)
    program = charm / "src" / "exporter.py"
    assert f"ExecStart={charm}/venv/bin/python -E -s {program} fan/0 9635\n" in text
    assert systemd.said == [f"enable {NAME}", f"start {NAME}"]


def test_its_rights_come_after_those_of_all(systemd: Systemd, charm: Path) -> None:
    lines = ensure(charm).splitlines()
    none, some = (lines.index(f"CapabilityBoundingSet={each}") for each in ("", "CAP_NET_ADMIN"))
    assert none < some < lines.index("[Install]")


def test_one_that_runs_is_left_alone(systemd: Systemd, charm: Path) -> None:
    ensure(charm)
    systemd.said.clear()
    ensure(charm)
    assert systemd.said == []


def test_other_arguments_or_other_code_start_it_anew(systemd: Systemd, charm: Path) -> None:
    ensure(charm)
    systemd.said.clear()
    ensure(charm, "9999")
    assert systemd.said == [f"stop {NAME}", f"start {NAME}"]
    (charm / "src" / "exporter.py").write_text("print(2)\n")
    ensure(charm, "9999")
    assert systemd.said == [f"stop {NAME}", f"start {NAME}"] * 2


def test_another_library_of_the_charm_starts_it_anew(systemd: Systemd, charm: Path) -> None:
    ensure(charm)
    systemd.said.clear()
    library = charm / "venv" / "lib" / "python3" / "site-packages" / "hostkit"
    library.mkdir(parents=True)
    (library / "cgroups.py").write_text("print(2)\n")
    ensure(charm)
    assert systemd.said == [f"stop {NAME}", f"start {NAME}"]


def test_one_that_has_ended_is_started(systemd: Systemd, charm: Path) -> None:
    ensure(charm)
    systemd.active.clear()
    systemd.said.clear()
    ensure(charm)
    assert systemd.said == [f"start {NAME}"]


def test_what_a_kill_left_undone_is_made_up_for(systemd: Systemd, charm: Path) -> None:
    ensure(charm)
    systemd.stale = True
    systemd.enabled.clear()
    systemd.said.clear()
    ensure(charm)
    assert systemd.said == ["daemon-reload", f"enable {NAME}"]


@pytest.mark.parametrize("when", range(3))
def test_a_hook_killed_while_it_changes_the_service_leaves_nothing_old_behind(
    systemd: Systemd, charm: Path, monkeypatch: pytest.MonkeyPatch, when: int
) -> None:
    ensure(charm)
    steps = iter(range(9))

    def be_killed(*words: str) -> str:
        if next(steps) == when:
            raise KeyboardInterrupt
        return systemd.call(*words)

    with monkeypatch.context() as patch:
        patch.setattr("hostkit.systemd.call", be_killed)
        with pytest.raises(KeyboardInterrupt):
            ensure(charm, "9999")
    systemd.said.clear()
    assert "9999" in ensure(charm, "9999")
    assert systemd.said[-1] == f"start {NAME}"


def test_removal_leaves_nothing(systemd: Systemd, charm: Path) -> None:
    ensure(charm)
    remove("fan/0")
    assert (systemd.active, systemd.enabled) == (set(), set())
    assert list(hostkit.systemd.UNITS.iterdir()) == []
    systemd.said.clear()
    remove("fan/0")
    assert systemd.said == []
