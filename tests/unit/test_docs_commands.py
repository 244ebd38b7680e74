"""Each command that a page shows is one that there is, and is run by a test or says why not.

What a command line is given is read by the program's own parser: the local model's for `juju`, and
fanctl's; options, actions, endpoints and resources are looked up in the charms' own files.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.__main__ import list_names
from fannet.cli.parser import parse
from fannet.errors import FannetError
from localmodel.cli.registry import juju, localmodel
from localmodel.errors import LocalModelError
from localmodel.juju import load_verbs
from tests.pages import (
    NEEDS,
    PAGES,
    ROOT,
    RUNNER,
    Block,
    read_blocks,
    split_line,
)
from tests.unit.test_links import FENCED
from tools import debian
from tools.pack import find_charms, find_snaps

# Another name is a typing error, or a text in a block of commands.
PROGRAMS = {
    *("apt", "cat", "cd", "chown", "cp", "curl", "cut", "docker", "fanctl", "git", "grep", "head"),
    *("install", "juju", "localmodel", "ls", "lxc", "mkdir", "sha256sum", "snap", "systemctl"),
}
(WORDS,) = (
    line.split("'")[1].split(", ")
    for line in (ROOT / "run").read_text().splitlines()
    if line.startswith("WORDS=")
)
BLOCKS = [block for page in PAGES for block in read_blocks(page)]
COMMANDS = [block for block in BLOCKS if block.shows_commands]
# Code in a sentence that is a command line of ours.
INLINE = re.compile(r"(?<!`)`((?:sudo )?(?:\./run|juju|fanctl|localmodel) [^`]+)`(?!`)")
CHARMS = {
    name: yaml.safe_load((folder / "charmcraft.yaml").read_text())
    for name, folder in find_charms().items()
}
# What a page leaves open, such as `…` or NAME.
OPEN = re.compile(r"…|\b[A-Z]{3,}\b")
# A sentence may name a verb or an option without the rest.
INCOMPLETE = re.compile(r"are required|expected one argument|no fan was named|name one fan")
# Of Ubuntu's fanctl.
OTHERS = {"fanctl config set"}
load_verbs()
import_module("localmodel.cli.local")  # its verbs register themselves, too


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def strip(words: Sequence[str]) -> list[str]:
    """Return a command without what stands before its program: variables, and sudo."""
    kept = list(words)
    while kept and (kept[0] == "sudo" or re.match(r"\w+=", kept[0])):
        kept.pop(0)
    return kept


class Checker:
    """Checks the command lines of a page; which charm an application is of follows from them."""

    def __init__(self) -> None:
        self.charms = {name: name for name in CHARMS}

    def check(self, command: str) -> None:
        """Fail if a command line is not one that its programs take."""
        for called in split_line(command):
            if words := strip(called):
                self.check_program(words)

    def check_program(self, words: Sequence[str]) -> None:
        program, *rest = words
        if program == "./run":
            self.check_run(rest)
        elif program.startswith("$") or "/" in program:
            return
        else:
            assert program in PROGRAMS, f"{program} is no program that the pages call"
        for word in words:
            if re.match(r"(\./)?(bundles|images|terraform)/", word):
                assert (ROOT / word).exists(), f"there is no {word}"
            if match := re.match(r"(?:\./)?dist/([a-z]+(?:-[a-z]+)*2?)", word):
                assert match[1] in {*CHARMS, debian.NAME}, f"nothing packs {word}"
        if program == "juju":
            self.check_juju(rest)
        if program == "localmodel":
            localmodel.parse(rest)
        if program == "fanctl" and not any(map(OPEN.search, rest)):
            parse(rest)

    def check_run(self, words: Sequence[str]) -> None:
        word, *rest = words
        if word == "juju":
            self.check_juju(rest)
        elif word == "pack":
            assert {*rest} <= {*find_charms(), *find_snaps(), debian.NAME}
        elif word == "bench":
            assert {*rest[:1]} <= {*list_names()}
        else:
            assert word in WORDS or word == "--help", f"run knows no {word}"

    def check_juju(self, words: Sequence[str]) -> None:
        if OPEN.search(words[0]) or words[0] == "help":
            return
        command, given = juju.parse(words)
        verb = command.name
        if verb == "deploy" and given.charm in CHARMS:
            self.charms[given.application or given.charm] = given.charm
            self.check_options(given.charm, given.config)
        elif verb == "config":
            self.check_options(given.application, [*given.settings, *(given.reset or ())])
        elif verb == "run":
            self.check_action(given.words)
        elif verb == "attach-resource":
            self.check_known(given.application, "resources", given.resource)
        elif verb in ("integrate", "remove-relation"):
            for end in (given.one, given.other):
                application, _, endpoint = end.partition(":")
                if endpoint and endpoint != "juju-info":
                    self.check_known(application, "requires", endpoint, "provides")
        elif verb in ("ssh", "exec") and given.command:
            inner = given.command[1:] if given.command[0] == "--" else given.command
            self.check_program(strip(inner))

    def check_options(self, application: str, settings: Sequence[str]) -> None:
        for setting in settings:
            if application in self.charms and not OPEN.fullmatch(setting):
                options: dict[str, Any] = CHARMS[self.charms[application]]["config"]["options"]
                assert setting.partition("=")[0] in options, f"{application} has no {setting}"

    def check_known(self, application: str, kind: str, given: str, *others: str) -> None:
        """Fail if a charm's file has no such name under one of its keys."""
        if application in self.charms:
            charm = CHARMS[self.charms[application]]
            known = {each for key in (kind, *others) for each in charm.get(key, {})}
            assert given.partition("=")[0] in known, f"{application} has no {given}"

    def check_action(self, words: Sequence[str]) -> None:
        *units, action = [word for word in words if "=" not in word]
        if OPEN.search(action):
            return
        for unit in units:
            application = unit.partition("/")[0]
            self.check_known(application, "actions", action)
            if application in self.charms:
                known = CHARMS[self.charms[application]]["actions"][action].get("params", {})
                for word in words:
                    parameter, equals, _ = word.partition("=")
                    assert not equals or parameter in known, f"{action} has no {parameter}"


def list_lines(page: Path) -> Iterator[tuple[str, bool]]:
    """Yield the command lines of a page, and whether each is in a sentence."""
    for block in read_blocks(page):
        if block.shows_commands:
            yield from ((shown.command, False) for shown in block.commands)
    for code in INLINE.findall(FENCED.sub("", page.read_text())):
        yield " ".join(code.split()), True


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_the_commands_of_a_page_are_ones_that_their_programs_take(page: Path) -> None:
    checker = Checker()
    wrong: list[str] = []
    for line, is_in_sentence in list_lines(page):
        try:
            if line not in OTHERS and not (is_in_sentence and "[" in line):
                checker.check(line)
        except (AssertionError, FannetError, LocalModelError) as error:
            if not (is_in_sentence and INCOMPLETE.search(str(error))):
                wrong.append(f"{line}: {error}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_a_block_of_commands_is_a_script(block: Block) -> None:
    script = "\n".join(shown.command for shown in block.commands)
    done = subprocess.run(
        ["/bin/bash", "-n"], input=script, check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", COMMANDS, ids=str)
def test_a_block_of_commands_is_run_by_a_test_or_says_what_it_needs(block: Block) -> None:
    if block.runner:
        text = (ROOT / "tests/integration" / block.runner).read_text()
        takes_all = f'"{block.page}", __file__)' in text or f'"{block.page}", ""' in text
        assert f'"{block.page}"' in text
        assert takes_all or f'"{block.section}"' in text
    elif block.mark.startswith("as in: "):
        others = read_blocks(ROOT / block.mark.removeprefix("as in: "))
        assert [each for each in others if each.runner and each.text == block.text]
    else:
        assert block.mark.removeprefix("needs: ") in NEEDS


@pytest.mark.parametrize("block", [b for b in BLOCKS if not b.shows_commands], ids=str)
def test_a_block_of_another_kind_shows_no_commands(block: Block) -> None:
    assert not block.mark
    first = {words[0] for line in block.text.splitlines() if (words := strip(line.split()))}
    if not block.kind or block.kind == "text":
        assert not first & {*PROGRAMS, "./run"}


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        ("juju deplo fan", "Did you mean:\n\tdeploy"),
        ("juju deploy fan --confg docker=none", "unrecognized arguments: --confg"),
        ("juju deploy fan tents --config dockr=none", "fan has no dockr"),
        ("juju config mprime cpu_policy=idle", "mprime has no cpu_policy"),
        ("juju run fan/0 prove", "fan has no prove"),
        ("juju run mprime/0 logs line=3", "logs has no line"),
        ("juju attach-resource mprime image=./mlucas.tar", "mprime has no image"),
        ("juju integrate apache2 fan:cos", "fan has no cos"),
        ("juju ssh 0 sudo fanctl shw", "command 'shw' is unknown"),
        ("fanctl up 250.0.0.0/8 eth0/16 dhcpx", "dhcpx"),
        ("localmodel dwn", "Did you mean:\n\tdown"),
        ("sudo ./run juju stats", "Did you mean:\n\tstatus"),
        ("sudo ./run pck", "pck"),
        ("sudo ./run pack fun", "fun"),
        ("sudo ./run bench hoks", "hoks"),
        ("juju deploy ./bundles/prime.yaml", "there is no ./bundles/prime.yaml"),
        ("cat ca.crt | dockr build .", "dockr is no program"),
        ('juju config mprime registry-ca="$(cta ca.crt)"', "cta is no program"),
    ],
)
def test_a_wrong_command_is_found(command: str, reason: str) -> None:
    with pytest.raises((AssertionError, FannetError, LocalModelError)) as caught:
        Checker().check(command)
    assert reason in str(caught.value)


def test_every_need_is_one_that_a_block_has() -> None:
    assert {block.mark.removeprefix("needs: ") for block in COMMANDS} >= {*NEEDS}
    assert RUNNER in {block.runner for block in COMMANDS}
