from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostkit.text import explain, make_printable

HOSTILE = (
    "\x00",  # no argument of a program can hold it
    "\ud800",  # no encoding takes it
    "\x1b[2J",  # clears a terminal
    "\x1b]0;title\x07",  # names its window (OSC)
    "\x9b2J",  # the same in C1
    "\u202egnp.exe",  # turns the direction of what follows
    "\u2066x",
    "\u2028x",  # a line's end to some
    "\x7f",
)


@pytest.mark.parametrize("sign", HOSTILE)
def test_what_a_terminal_or_juju_would_act_on_is_not_shown(sign: str) -> None:
    shown = make_printable(f"M3{sign}M5", 100)
    assert shown.isprintable()
    shown.encode()
    assert shown.startswith("M3")
    assert shown.endswith("M5")


@pytest.mark.parametrize("text", ["", "M110503: 42.1 %, 14 s left", "Größe", "x" * 100])
def test_an_ordinary_text_stays_as_it_is(text: str) -> None:
    assert make_printable(text, 100) == text


def test_white_space_becomes_one_space() -> None:
    assert make_printable(" a\r\n\tb\u00a0 c\x0b", 100) == "a b c"


def test_a_long_text_is_cut_and_shows_it() -> None:
    assert make_printable("x" * 101, 100) == "x" * 99 + "…"


@given(st.text(st.characters()), st.integers(1, 60))
def test_any_text_becomes_a_short_printable_line(text: str, limit: int) -> None:
    shown = make_printable(text, limit)
    assert shown.isprintable()
    assert len(shown) <= limit
    shown.encode()


class Counted(str):
    """A text that counts how much of it was taken."""

    taken = 0

    def __getitem__(self, part: object) -> str:
        piece = super().__getitem__(part)  # type: ignore[index]
        Counted.taken += len(piece)
        return piece


def test_of_a_long_text_only_the_beginning_is_read() -> None:
    make_printable(Counted(" \n" * 1_000_000), 100)
    assert Counted.taken == 400


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (FileNotFoundError(2, "No such file or directory", "/etc/x"), "/etc/x: No such file or d"),
        (PermissionError(1, "Operation not permitted"), "Operation not permitted"),
        (OSError("apt-get update: it failed"), "apt-get update: it failed"),
        (ValueError("no number"), "no number"),
    ],
)
def test_why_something_failed_is_told_without_its_number(error: Exception, text: str) -> None:
    assert explain(error).startswith(text)
    assert "[Errno" not in explain(error)
