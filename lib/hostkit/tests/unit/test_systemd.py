"""What systemd is asked for a unit that starts at boot, and is not started before."""

from __future__ import annotations

from pathlib import Path

import pytest

from hostkit import systemd

NAME = "fan-0-boot.service"
TEXT = "[Service]\nExecStart=/bin/true\n[Install]\nWantedBy=multi-user.target\n"


class Systemctl:
    """Stands in for systemctl: makes the link that `enable` makes, and remembers its calls."""

    def __init__(self, units: Path):
        self.link = units / "multi-user.target.wants" / NAME
        self.link.parent.mkdir()
        self.did: list[str] = []

    def __call__(self, verb: str, *_: str, **__: float) -> str:
        self.did.append(verb)
        if verb == "enable":
            self.link.symlink_to(f"../{NAME}")
        enabled = "enabled" if self.link.is_symlink() else "disabled"
        return f"NeedDaemonReload=no\nActiveState=inactive\nUnitFileState={enabled}\n"


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemctl:
    monkeypatch.setattr(systemd, "UNITS", tmp_path)
    systemctl = Systemctl(tmp_path)
    monkeypatch.setattr(systemd, "call", systemctl)
    systemd.ensure(NAME, TEXT, start=False, enable=True)
    assert systemctl.did == ["show", "enable"]
    systemctl.did.clear()
    return systemctl


def test_nothing_is_asked_while_all_is_there(systemctl: Systemctl) -> None:
    systemd.ensure(NAME, TEXT, start=False, enable=True)
    assert systemctl.did == []


def test_one_that_somebody_disabled_is_enabled_again(systemctl: Systemctl) -> None:
    systemctl.link.unlink()
    systemd.ensure(NAME, TEXT, start=False, enable=True)
    assert systemctl.did == ["show", "enable"]


def test_another_text_is_told_to_systemd(systemctl: Systemctl) -> None:
    systemd.ensure(NAME, TEXT.replace("true", "false"), start=False, enable=True)
    assert systemctl.did == ["show"]
    assert "false" in (systemd.UNITS / NAME).read_text()


def test_one_that_is_to_run_is_looked_at_each_time(systemctl: Systemctl) -> None:
    systemd.ensure(NAME, TEXT, enable=True)
    assert systemctl.did == ["show", "start"]
