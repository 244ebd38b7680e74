from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from fannet import boot, fanfile
from fannet.cli import WRONG_FILE, main


def test_the_unit_names_this_python_and_comes_before_engines() -> None:
    unit = boot.format_unit()
    assert f'ExecStart="{sys.executable}" -m fannet up -a --wait' in unit
    assert str(Path(fanfile.__file__).parent.parent) in unit
    before = next(line for line in unit.splitlines() if line.startswith("Before="))
    assert "docker.service" in before


def test_the_unit_is_not_restarted_for_ever() -> None:
    lines = boot.format_unit().splitlines()
    assert f"RestartPreventExitStatus={WRONG_FILE}" in lines
    assert "StartLimitBurst=30" in lines
    assert "StartLimitIntervalSec=1h" in lines  # 30 tries, each of 70 s at most, are in it


@pytest.fixture
def booted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that a systemd was given; it takes them all."""
    given: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        given.append(command[1:])
        known = ["enable", boot.UNIT.name] in given
        known &= ["disable", "--now", boot.UNIT.name] not in given
        code = 0 if command[1] != "is-enabled" or known else 1
        return subprocess.CompletedProcess(command, code, "", "")

    monkeypatch.setattr(boot, "UNIT", tmp_path / "fanctl.service")
    monkeypatch.setattr(boot, "PACKAGED", tmp_path / "packaged.service")
    monkeypatch.setattr(boot, "SYSTEMD", tmp_path)
    monkeypatch.setattr(boot.subprocess, "run", run)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    return given


def test_boot_is_enabled_once_and_disabled_without_a_trace(
    booted: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["boot", "enable"]) == 0
    assert ["daemon-reload"] in booted
    assert boot.UNIT.read_text() == boot.format_unit()
    main(["boot", "status"])
    assert capsys.readouterr().out.splitlines()[-1] == "enabled"
    booted_before = [words for words in booted if words[0] != "is-enabled"]
    assert main(["boot", "enable"]) == 0
    assert [words for words in booted if words[0] != "is-enabled"] == booted_before
    assert capsys.readouterr().out == ""
    assert main(["boot", "disable"]) == 0
    assert not boot.UNIT.exists()
    assert ["disable", "--now", "fanctl.service"] in booted
    capsys.readouterr()
    main(["boot", "status", "--format", "json"])
    assert json.loads(capsys.readouterr().out) == {"enabled": False}
    assert main(["boot", "disable"]) == 0


def test_a_packages_own_unit_is_enabled_and_disabled_and_no_other_is_written(
    booted: list[list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    boot.PACKAGED.write_text(boot.render_packaged_unit())
    assert main(["boot", "disable"]) == 0
    assert main(["boot", "enable"]) == 0
    main(["boot", "status"])
    assert main(["boot", "disable"]) == 0
    main(["boot", "status"])
    assert capsys.readouterr().out.splitlines() == [
        "enabled fanctl.service",
        "enabled",
        "disabled fanctl.service",
        "disabled",
    ]
    assert not boot.UNIT.exists()
    assert boot.PACKAGED.exists()
    assert ["daemon-reload"] not in booted


def test_a_packages_unit_runs_its_program_and_is_like_ours_else() -> None:
    packaged = boot.render_packaged_unit().splitlines()
    ours = boot.format_unit().splitlines()
    assert [line for line in packaged if line not in ours] == [
        "ExecStart=/usr/sbin/fanctl up -a --wait 60"
    ]
    assert len(packaged) == len(ours) - 2  # the line on who made it, and where fannet is


def test_boot_without_systemd_says_what_to_do_instead(
    booted: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(boot, "SYSTEMD", tmp_path / "none")
    assert main(["boot", "enable"]) == 1
    assert "run fanctl up -a" in capsys.readouterr().err
    assert not booted
