from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

RUN = Path(__file__).parents[2] / "run"
# On standard input, because nobody may not read where this checkout lies.
AS_NOBODY = ["/usr/bin/setpriv", "--reuid", "65534", "--clear-groups"]


@pytest.mark.parametrize("arguments", [["dmeo"], ["Demo"], ["--hepl"]])
def test_an_unknown_word_is_answered_with_the_allowed_ones(arguments: list[str]) -> None:
    done = subprocess.run([str(RUN), *arguments], check=False, capture_output=True, text=True)
    assert done.returncode == 2
    expected = f"run: '{arguments[0]}' is unknown; allowed are: demo, test, pack,"
    assert done.stderr.startswith(expected)


def test_help_names_every_word_and_needs_no_root() -> None:
    done = subprocess.run(
        [*AS_NOBODY, "/bin/sh", "-s", "--", "--help"],
        input=RUN.read_text(),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    for word in ("demo", "test", "pack", "bench", "docs", "clean", "juju"):
        assert f"\n  {word}" in done.stdout


@pytest.mark.parametrize("word", ["demo", "test", "pack", "bench", "docs", "clean", "juju"])
def test_without_root_it_says_so_in_one_line_and_stops(word: str) -> None:
    done = subprocess.run(
        [*AS_NOBODY, "/bin/sh", "-s", "--", word],
        input=RUN.read_text(),
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    expected = f"run: this needs root; use: sudo ./run {word} (nothing was changed)\n"
    assert done.stderr == expected
