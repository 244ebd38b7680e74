from __future__ import annotations

import pytest

from hostkit import programs, systemd


def test_what_a_program_writes_is_returned() -> None:
    assert programs.run("/bin/echo", "one", "two") == "one two\n"


def test_a_program_that_fails_is_told_with_what_it_said_in_one_line() -> None:
    with pytest.raises(OSError, match=r"^ls /nowhere: .*No such file or directory$"):
        programs.run("/bin/ls", "-l", "/nowhere")


def test_of_what_apt_says_its_first_error_is_told() -> None:
    said = "W: old\nE: Unable to locate package x\nE: more\n"
    with pytest.raises(OSError, match=r": Unable to locate package x$"):
        programs.run("/bin/sh", "-c", f"printf '{said}' >&2; exit 1")


def test_a_program_that_is_not_there_is_named() -> None:
    with pytest.raises(OSError, match=r"^/nowhere: No such file or directory$"):
        programs.run("/nowhere")


def test_a_program_that_does_not_end_is_given_up() -> None:
    with pytest.raises(OSError, match=r"^/bin/sleep: did not end within 0.01 s \(60\)$"):
        programs.run("/bin/sleep", "60", timeout=0.01)


def test_a_failure_can_be_an_answer() -> None:
    assert programs.call("/bin/false").returncode == 1


def test_a_program_speaks_english_and_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    words = ("-c", 'printf "%s %s" "$LC_ALL" "$DEBIAN_FRONTEND"; cat')
    assert programs.run("/bin/sh", *words) == "C.UTF-8 noninteractive"


def test_systemctl_is_given_up_after_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(systemd, "_SYSTEMCTL", "/bin/sleep")
    with pytest.raises(OSError, match="did not end within"):
        systemd.call("60", timeout=0.01)
