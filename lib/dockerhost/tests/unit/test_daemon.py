from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dockerhost import DaemonError, InstallError, ensure_daemon_settings, give_back_daemon_settings

OURS = {"bridge": "fan-250", "mtu": 1450, "bip": None}
VALUES = st.one_of(st.booleans(), st.integers(0, 9), st.text("ab", max_size=3))
SETTINGS = st.dictionaries(st.sampled_from(["bridge", "mtu", "bip", "debug", "dns"]), VALUES)


class Engine:
    """Stands in for systemd: what the engine was started with, and whether it could be."""

    def __init__(self, file: Path):
        self.file = file
        self.starts: list[str | None] = []
        self.refuses = "nothing"
        self.trials = 0
        self.options = "--bip=172.27.0.1/16"

    def start(self, unit: str, *, again: bool) -> None:
        assert (unit, again) == ("docker.service", True)
        text = self.text
        self.trials += 1
        if text and self.refuses in text:
            raise InstallError("docker.service does not start: -b and --bip exclude each other")
        self.starts.append(text)

    @property
    def text(self) -> str | None:
        return self.file.read_text() if self.file.exists() else None


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Engine:
    engine = Engine(tmp_path / "docker" / "daemon.json")
    monkeypatch.setattr("dockerhost.service.find_config", lambda _: engine.file)
    monkeypatch.setattr("dockerhost.service.find_unit", lambda: "docker.service")
    monkeypatch.setattr("dockerhost.service.hash_options", lambda _: engine.options)
    monkeypatch.setattr("dockerhost.service.start", engine.start)
    monkeypatch.setattr("dockerhost.service.DAEMONS", ())
    return engine


def die(*_: Any, **__: Any) -> None:
    raise SystemExit


def ensure(**changes: Any) -> bool:
    return ensure_daemon_settings({**OURS, **changes}, owner="fan-250")


def test_settings_are_merged_and_the_engine_restarted_once(engine: Engine) -> None:
    engine.file.parent.mkdir()
    engine.file.write_text('{"debug": true, "bip": "10.0.0.1/24"}')
    assert ensure()
    assert not ensure()
    assert json.loads(engine.text or "") == {"debug": True, "bridge": "fan-250", "mtu": 1450}
    assert len(engine.starts) == 1


def test_an_engine_that_has_the_settings_already_is_left_alone(engine: Engine) -> None:
    engine.file.parent.mkdir()
    engine.file.write_text('{"bridge": "fan-250", "mtu": 1450}')
    assert not ensure()
    assert not give_back_daemon_settings(owner="fan-250")
    assert engine.starts == []


@pytest.mark.parametrize("before", [None, '{"debug":true,\n  "bip": "10.0.0.1/24"}', "{}\n"])
def test_what_was_there_comes_back_to_the_letter(engine: Engine, before: str | None) -> None:
    if before is not None:
        engine.file.parent.mkdir()
        engine.file.write_text(before)
    ensure()
    assert give_back_daemon_settings(owner="fan-250")
    assert engine.text == before
    assert engine.starts[-1] == before
    assert not list(engine.file.parent.glob("*.before"))
    assert not give_back_daemon_settings(owner="fan-250")


def test_what_others_have_set_since_stays(engine: Engine) -> None:
    engine.file.parent.mkdir()
    engine.file.write_text('{"bip": "10.0.0.1/24"}')
    ensure()
    changed = {**json.loads(engine.text or ""), "debug": True, "mtu": 9000}
    engine.file.write_text(json.dumps(changed))
    give_back_daemon_settings(owner="fan-250")
    assert json.loads(engine.text or "") == {"bip": "10.0.0.1/24", "debug": True, "mtu": 9000}


def test_other_settings_take_the_place_of_the_former(engine: Engine) -> None:
    ensure()
    assert ensure_daemon_settings({"fixed-cidr": "250.0.28.0/24", "mtu": 1400}, owner="fan-250")
    assert json.loads(engine.text or "") == {"fixed-cidr": "250.0.28.0/24", "mtu": 1400}
    give_back_daemon_settings(owner="fan-250")
    assert engine.text is None


def test_a_setting_of_two_owners_is_refused(engine: Engine) -> None:
    ensure()
    with pytest.raises(DaemonError, match=r"fan-250 has set bridge, mtu in .* already"):
        ensure_daemon_settings({"bridge": "fan-99", "mtu": 1400, "debug": True}, owner="fan-99")


def test_settings_that_the_engine_does_not_start_with_are_taken_back(engine: Engine) -> None:
    engine.file.parent.mkdir()
    engine.file.write_text('{"debug": true}')
    engine.refuses = "fan-250"
    with pytest.raises(DaemonError, match=r"did not start with bip, bridge, mtu in .* as it was"):
        ensure()
    assert engine.text == '{"debug": true}'
    assert engine.starts == ['{"debug": true}']
    assert not list(engine.file.parent.glob("*.before"))


def test_a_restart_that_a_kill_prevented_is_made_up_for(engine: Engine) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dockerhost.service.start", die)
        with pytest.raises(SystemExit):
            ensure()
    assert engine.starts == []
    assert ensure()
    assert len(engine.starts) == 1
    give_back_daemon_settings(owner="fan-250")
    assert engine.text is None


@pytest.mark.parametrize("put_back", [False, True])
def test_after_a_killed_trial_a_refusal_gives_back_what_was_there_before_it(
    engine: Engine, put_back: bool
) -> None:
    engine.file.parent.mkdir()
    engine.file.write_text("{}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dockerhost.service.start", die)
        with pytest.raises(SystemExit):
            ensure()
    if put_back:
        engine.file.write_text("{}")
    engine.refuses = "fan-250"
    refuse(engine)
    assert engine.text == "{}"
    assert engine.starts == ["{}"]
    assert not list(engine.file.parent.glob("*.before"))


def test_settings_that_the_engines_program_refuses_are_not_written(
    engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "dockerd"
    program.write_text("#!/bin/sh\necho unable to configure: no such key >&2; exit 1\n")
    program.chmod(0o755)
    monkeypatch.setattr("dockerhost.service.DAEMONS", (str(program),))
    with pytest.raises(DaemonError, match="refuses the settings: unable to configure: no such"):
        ensure()
    assert engine.text is None
    # Releases before 23 can't check them.
    program.write_text("#!/bin/sh\necho unknown flag: --validate >&2; exit 125\n")
    assert ensure()


def refuse(engine: Engine) -> str:
    """Let the engine be asked for what it does not start with; return what is told."""
    with pytest.raises(DaemonError) as told:
        ensure()
    return str(told.value)


def test_what_the_engine_refused_is_not_tried_again_and_told_again(engine: Engine) -> None:
    engine.refuses = "fan-250"
    told = refuse(engine)
    assert "-b and --bip exclude each other" in told
    assert engine.trials == 2  # the second with the file as it was
    for _ in range(3):
        assert refuse(engine) == told
    assert engine.trials == 2
    assert engine.text is None


@pytest.mark.parametrize("change", ["options", "file", "settings", "remove", "restore", "damage"])
def test_what_the_engine_refused_is_tried_again_after_a_change(
    engine: Engine, change: str
) -> None:
    engine.refuses = "fan-250"
    told = refuse(engine)
    refused = engine.file.with_name("daemon.json.fan-250.refused")
    assert f"remove {refused} to try the same settings again" in told
    engine.refuses = "nothing"
    engine.trials = 0
    mtu = 1450
    match change:
        case "options":
            engine.options = ""
        case "file":
            engine.file.write_text('{"debug": true}')
        case "settings":
            mtu = 1400
        case "remove":
            refused.unlink()
        case "restore":
            give_back_daemon_settings(owner="fan-250")
        case _:
            refused.write_text("{")
    assert ensure(mtu=mtu)
    assert engine.trials == 1
    assert not refused.exists()


def test_a_refused_change_leaves_what_was_set_before(engine: Engine) -> None:
    ensure()
    before = engine.text
    engine.refuses = "1400"
    for _ in range(2):
        with pytest.raises(DaemonError, match="did not start with"):
            ensure(mtu=1400)
        assert engine.text == before
    assert not ensure()
    give_back_daemon_settings(owner="fan-250")
    assert engine.text is None
    assert not engine.file.parent.exists()


def test_a_machine_without_changes_is_given_nothing_back(engine: Engine) -> None:
    engine.file.parent.mkdir()
    assert not give_back_daemon_settings(owner="fan-250")
    assert engine.file.parent.exists()


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"[]", "is not a JSON object"),
        (b"{", r"is not JSON: expecting .* \(line 1, column 2\)"),
        (b"\x00\xff", r"is not UTF-8 text \(invalid start byte at byte 1\)"),
        (b"\xef\xbb\xbf{}", r"begins with a byte order mark \(line 1, column 1\)"),
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'{\n  // "debug"\n}', r"has a comment \(line 2, column 3\)"),
        (b'{"debug": true # \n}', r"has a comment \(line 1, column 16\)"),
        (b"[" * 100_000, "is nested too deeply"),
    ],
)
def test_a_damaged_file_is_left_alone_and_told_with_what_is_wrong_where(
    engine: Engine, text: bytes, fault: str
) -> None:
    engine.file.parent.mkdir()
    engine.file.write_bytes(text)
    with pytest.raises(DaemonError, match=rf"daemon\.json {fault}.*; correct or remove it$"):
        ensure()
    assert engine.file.read_bytes() == text
    assert engine.trials == 0


def test_what_is_no_file_is_not_waited_for(engine: Engine) -> None:
    engine.file.parent.mkdir()
    os.mkfifo(engine.file)
    with pytest.raises(DaemonError, match=r"daemon\.json is not a regular file"):
        ensure()


def test_a_files_rights_stay_and_the_copy_has_them(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda _, *owner: given.append(owner))
    engine.file.parent.mkdir()
    engine.file.write_text("{}")
    engine.file.chmod(0o600)
    there = engine.file.stat()
    ensure()
    assert engine.file.stat().st_mode & 0o777 == 0o600
    copy = engine.file.with_name("daemon.json.fan-250.before")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert set(given) == {(there.st_uid, there.st_gid)}
    copy.chmod(0o644)  # as releases before left it
    ensure()
    assert copy.stat().st_mode & 0o777 == 0o600


def test_a_link_stays_one_and_what_it_points_to_comes_back(engine: Engine, tmp_path: Path) -> None:
    real = tmp_path / "elsewhere" / "docker.json"
    real.parent.mkdir()
    real.write_text('{"debug":true}\r\n', newline="")
    engine.file.parent.mkdir()
    engine.file.symlink_to(real)
    ensure()
    assert engine.file.is_symlink()
    assert json.loads(real.read_text())["bridge"] == "fan-250"
    give_back_daemon_settings(owner="fan-250")
    assert engine.file.is_symlink()
    assert real.read_bytes() == b'{"debug":true}\r\n'


def test_a_link_to_nothing_points_to_nothing_again(engine: Engine, tmp_path: Path) -> None:
    engine.file.parent.mkdir()
    engine.file.symlink_to(tmp_path / "later.json")
    ensure()
    assert (tmp_path / "later.json").exists()
    give_back_daemon_settings(owner="fan-250")
    assert engine.file.is_symlink()
    assert not engine.file.exists()


def test_a_link_to_itself_is_told(engine: Engine) -> None:
    engine.file.parent.mkdir()
    engine.file.symlink_to(engine.file)
    with pytest.raises(DaemonError, match=r"daemon\.json"):
        ensure()


@given(before=SETTINGS, first=SETTINGS, second=SETTINGS)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_was_set_the_file_comes_back(
    engine: Engine, before: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    text = json.dumps(before)
    engine.file.parent.mkdir(exist_ok=True)
    engine.file.write_text(text)
    for wanted in (first, second):
        ensure_daemon_settings(wanted, owner="fan-250")
        assert {**json.loads(engine.text or ""), **wanted} == json.loads(engine.text or "")
    give_back_daemon_settings(owner="fan-250")
    assert engine.text == text
