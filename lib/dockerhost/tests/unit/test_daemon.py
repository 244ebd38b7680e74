from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockerhost import DaemonError, InstallError, daemon, restore_daemon, settle_daemon

OURS = {"bridge": "fan-250", "mtu": 1450, "bip": None}
VALUES = st.one_of(st.booleans(), st.integers(0, 9), st.text("ab", max_size=3))
SETTINGS = st.dictionaries(st.sampled_from(["bridge", "mtu", "bip", "debug", "dns"]), VALUES)


class Engine:
    """Stands in for systemd: what the engine was started with, and whether it could be."""

    def __init__(self, file: Path):
        self.file = file
        self.starts: list[str | None] = []
        self.refuses = "nothing"

    def start(self, unit: str, *, again: bool) -> None:
        assert (unit, again) == ("docker.service", True)
        text = self.text
        if text and self.refuses in text:
            raise InstallError("Job for docker.service failed")
        self.starts.append(text)

    @property
    def text(self) -> str | None:
        return self.file.read_text() if self.file.exists() else None


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine(tmp_path / "docker" / "daemon.json")
    monkeypatch.setattr(daemon, "CONFIG", engine.file)
    monkeypatch.setattr("dockerhost.host.find_unit", lambda: "docker.service")
    monkeypatch.setattr("dockerhost.host.start", engine.start)
    monkeypatch.setattr("dockerhost.host.DAEMONS", ())
    return engine


def settle(**changes: Any) -> bool:
    return settle_daemon({**OURS, **changes}, owner="fan-250")


def test_settings_are_merged_and_the_engine_restarted_once(engine: Engine) -> None:
    engine.file.parent.mkdir()
    engine.file.write_text('{"debug": true, "bip": "10.0.0.1/24"}')
    assert settle()
    assert not settle()
    assert json.loads(engine.text or "") == {"debug": True, "bridge": "fan-250", "mtu": 1450}
    assert len(engine.starts) == 1


def test_an_engine_that_has_the_settings_already_is_left_alone(engine: Engine) -> None:
    engine.file.parent.mkdir()
    engine.file.write_text('{"bridge": "fan-250", "mtu": 1450}')
    assert not settle()
    assert not restore_daemon(owner="fan-250")
    assert engine.starts == []


@pytest.mark.parametrize("before", [None, '{"debug":true,\n  "bip": "10.0.0.1/24"}', "{}\n"])
def test_what_was_there_comes_back_to_the_letter(engine: Engine, before: str | None) -> None:
    if before is not None:
        engine.file.parent.mkdir()
        engine.file.write_text(before)
    settle()
    assert restore_daemon(owner="fan-250")
    assert engine.text == before
    assert engine.starts[-1] == before
    assert not list(engine.file.parent.glob("*.before"))
    assert not restore_daemon(owner="fan-250")


def test_what_others_have_set_since_stays(engine: Engine) -> None:
    engine.file.parent.mkdir()
    engine.file.write_text('{"bip": "10.0.0.1/24"}')
    settle()
    changed = {**json.loads(engine.text or ""), "debug": True, "mtu": 9000}
    engine.file.write_text(json.dumps(changed))
    restore_daemon(owner="fan-250")
    assert json.loads(engine.text or "") == {"bip": "10.0.0.1/24", "debug": True, "mtu": 9000}


def test_other_settings_take_the_place_of_the_former(engine: Engine) -> None:
    settle()
    assert settle_daemon({"fixed-cidr": "250.0.28.0/24", "mtu": 1400}, owner="fan-250")
    assert json.loads(engine.text or "") == {"fixed-cidr": "250.0.28.0/24", "mtu": 1400}
    restore_daemon(owner="fan-250")
    assert engine.text is None


def test_a_setting_of_two_owners_is_refused(engine: Engine) -> None:
    settle()
    with pytest.raises(DaemonError, match=r"fan-250 has set bridge, mtu in .* already"):
        settle_daemon({"bridge": "fan-99", "mtu": 1400, "debug": True}, owner="fan-99")


def test_settings_that_the_engine_does_not_start_with_are_taken_back(engine: Engine) -> None:
    engine.file.parent.mkdir()
    engine.file.write_text('{"debug": true}')
    engine.refuses = "fan-250"
    with pytest.raises(DaemonError, match=r"did not start with bip, bridge, mtu in .* as before"):
        settle()
    assert engine.text == '{"debug": true}'
    assert engine.starts == ['{"debug": true}']
    assert not list(engine.file.parent.glob("*.before"))


def test_a_restart_that_a_kill_prevented_is_made_up_for(engine: Engine) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dockerhost.host.start", lambda *_, **__: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            settle()
    assert engine.starts == []
    assert settle()
    assert len(engine.starts) == 1
    restore_daemon(owner="fan-250")
    assert engine.text is None


def test_settings_that_the_engines_program_refuses_are_not_written(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dockerd"
    program.write_text("#!/bin/sh\necho unable to configure: no such key >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr("dockerhost.host.DAEMONS", (str(program),))
    with pytest.raises(DaemonError, match="refuses the settings: unable to configure: no such"):
        settle()
    assert engine.text is None
    # Releases before 23 can't check them.
    program.write_text("#!/bin/sh\necho unknown flag: --validate >&2; exit 125\n")
    assert settle()


@pytest.mark.parametrize("text", ["[]", "{", "\x00\xff"])
def test_a_damaged_file_is_left_alone(engine: Engine, text: str) -> None:
    engine.file.parent.mkdir()
    engine.file.write_bytes(text.encode("latin-1"))
    with pytest.raises(DaemonError, match="mend it first"):
        settle()
    assert engine.file.read_bytes() == text.encode("latin-1")


def test_a_files_mode_stays(engine: Engine) -> None:
    engine.file.parent.mkdir()
    engine.file.write_text("{}")
    engine.file.chmod(0o600)
    settle()
    assert engine.file.stat().st_mode & 0o777 == 0o600


@given(before=SETTINGS, first=SETTINGS, second=SETTINGS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_was_set_the_file_comes_back(
    engine: Engine, before: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    text = json.dumps(before)
    engine.file.parent.mkdir(exist_ok=True)
    engine.file.write_text(text)
    for wanted in (first, second):
        settle_daemon(wanted, owner="fan-250")
        assert {**json.loads(engine.text or ""), **wanted} == json.loads(engine.text or "")
    restore_daemon(owner="fan-250")
    assert engine.text == text
