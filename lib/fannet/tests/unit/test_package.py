"""What the Debian package brings beside the program: manual pages, completion, a version."""

from __future__ import annotations

import argparse
import re
import subprocess
from pathlib import Path

import pytest

import fannet
from fannet.cli.parser import make_verbs
from fannet.fanfile import FLAGS, SWITCHES

LIBRARY = Path(__file__).parents[2]
MANUAL = LIBRARY / "man" / "fanctl.8"
FORMAT = LIBRARY / "man" / "fan.5"
COMPLETION = LIBRARY / "completion" / "fanctl"
OPTIONS = {
    verb: [
        option
        for action in parser._actions
        if action.help != argparse.SUPPRESS
        for option in action.option_strings
    ]
    for verb, parser in make_verbs().items()
}
# What no command but bash's itself answers, so that this machine's fans do not matter.
COMPLETE = """\
source {file}
fanctl() {{ printf 'Bridge Overlay\\nfan-250 250.0.0.0/8\\n'; }}
COMP_WORDS=({words})
COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
_fanctl
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def complete(*words: str) -> list[str]:
    """Return what bash offers after `fanctl` and some words, the last of which is not finished."""
    quoted = " ".join(f"'{word}'" for word in ("fanctl", *words))
    script = COMPLETE.format(file=COMPLETION, words=quoted)
    done = subprocess.run(["/bin/bash", "-c", script], check=True, capture_output=True, text=True)
    assert not done.stderr
    return done.stdout.split()


def read_page(page: Path) -> str:
    """Return a manual page without its macros' hyphens."""
    return page.read_text().replace(r"\-", "-")


def test_the_changelog_has_the_librarys_version() -> None:
    first = (LIBRARY / "debian" / "changelog").read_text().splitlines()[0]
    assert first.startswith(f"fannet ({fannet.__version__}) ")


@pytest.mark.parametrize("verb", OPTIONS)
def test_the_manual_has_every_verb_with_all_its_options(verb: str) -> None:
    commands = read_page(MANUAL).partition(".SH COMMANDS")[2]
    assert f"\n.SS {verb}\n" in commands
    for option in OPTIONS[verb]:
        assert re.search(rf"(^|[\s\"]){option}[\s\"]", commands), option


def test_both_pages_have_every_flag() -> None:
    bold = " ".join(re.findall(r"^\.BR? .*", read_page(FORMAT), re.MULTILINE)).split()
    for flag in (*FLAGS, *SWITCHES):
        assert flag in bold
    for flag in FLAGS:
        assert f"\n.BR {flag} " in read_page(MANUAL).partition("\n.SH FLAGS")[2]


@pytest.mark.parametrize("page", [MANUAL, FORMAT], ids=lambda page: page.name)
def test_a_manual_page_is_rendered_without_a_warning(page: Path) -> None:
    command = ["/usr/bin/man", "--warnings", "--local-file", str(page)]
    settings = {"LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANROFFSEQ": ""}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=settings)
    assert not done.stderr
    assert "SEE ALSO" in done.stdout


def test_bash_completes_every_verb_with_all_its_options() -> None:
    assert {*OPTIONS, "help", "--version"} <= {*complete("")}
    for verb, options in OPTIONS.items():
        assert {*options} <= {*complete(verb, "")}, verb


def test_bash_completes_what_was_begun() -> None:
    assert complete("c") == ["check", "config"]
    assert complete("boot", "s") == ["status"]
    assert complete("up", "250.0.0.0/8", "eth0/16", "enc") == ["encapsulation"]
    assert complete("up", "250.0.0.0/8", "eth0/16", "encapsulation", "i") == ["ipip"]
    assert complete("show", "--format", "") == ["text", "json"]
    assert complete("up", "--mtu", "") == []


def test_bash_completes_the_overlays_of_this_host_for_down() -> None:
    assert complete("down", "2") == ["250.0.0.0/8"]
    assert complete("down", "--overlay", "") == ["250.0.0.0/8"]


def test_bash_completes_every_flag_as_a_word_too() -> None:
    assert {*FLAGS} <= {*complete("up", "250.0.0.0/8", "eth0/16", "")}
