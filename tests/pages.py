"""The commands that the pages show, and how a reader's test comes by them.

A block called `sh` or `console` shows commands. A comment on the line above says what runs them:

- `<!-- needs: … -->`: no test does, for they need what no test has; one of `NEEDS`.
- `<!-- run by: test_demo.py -->`: that test, which takes them from the page with `take`.
- `<!-- as in: README.md -->`: what runs them on that page, which shows the same.

Blocks without one are run by test_docs_commands.py, in the page's order.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PAGES = sorted(
    page
    for pattern in (
        "*.md",
        "docs/**/*.md",
        "charms/*/*.md",
        "images/**/*.md",
        "lib/*/*.md",
        "snaps/*/*.md",
        "terraform/*.md",
    )
    for page in ROOT.glob(pattern)
)
NEEDS = {
    "controller": "charms of others, from Charmhub, or what only Juju has",
    "internet": "a server of others, such as a registry, PrimeNet or Docker's package repository",
    "lxd": "a machine with LXD",
    "machine of your own": "it changes the machine that it is typed on, or takes all of it",
    "snapd": "a machine with a running snapd",
    "values of your own": "what the page leaves open, such as the name of an image",
}
RUNNER = "test_docs_commands.py"
HEADING = re.compile(r"^#+ (.+)$")
FENCE = re.compile(r"^( *)(`{3,})([^`]*)$")
MARK = re.compile(r"^ *<!-- (needs|run by|as in): (.+) -->$")
# What a block with a file's content stands under.
FILE = re.compile(r"^ *`([\w./-]+)`:$")
# On this machine, or on one that the demo names; in a block that starts as root, as root.
PROMPT = re.compile(r"^(?:machine \d )?\$ (.+)$")
ROOTS = re.compile(r"^# (.+)$")
COMMENT = re.compile(r"(?:^|\s+)# .*$")


class Shown(NamedTuple):
    """A command line, and what the page shows that it prints."""

    command: str
    output: str


@dataclass(frozen=True)
class Block:
    """A fenced block of a page.

    Attributes:
        page: its path in the repository.
        line: the number of its first line.
        kind: what is written after the fence, such as `sh`.
        section: the heading that it stands under.
        mark: what the comment above it says, such as `needs: lxd`, or nothing.
        above: the line before it that is not empty.
    """

    page: str
    line: int
    kind: str
    section: str
    mark: str
    above: str
    text: str

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"

    @property
    def shows_commands(self) -> bool:
        if self.kind == "console":
            return any(map(self._prompt.match, self.text.splitlines()))
        return self.kind == "sh" and not FILE.match(self.above)

    @property
    def _prompt(self) -> re.Pattern[str]:
        return ROOTS if self.text.startswith("# ") else PROMPT

    @property
    def runner(self) -> str:
        """The file of the test that runs it, or nothing."""
        if self.mark.startswith(("needs: ", "as in: ")) or not self.shows_commands:
            return ""
        return self.mark.removeprefix("run by: ") or RUNNER

    @property
    def commands(self) -> list[Shown]:
        """The command lines, without comments, and each with the lines that follow it."""
        found: list[Shown] = []
        for line in self.text.splitlines():
            match = self._prompt.match(line) if self.kind == "console" else None
            if found and is_open(found[-1].command):
                found[-1] = Shown(f"{found[-1].command}\n{COMMENT.sub('', line)}", "")
            elif self.kind == "console" and not match:
                # Before the first command is the end of what an earlier one printed.
                if found:
                    found[-1] = Shown(found[-1].command, f"{found[-1].output}{line}\n")
            elif command := COMMENT.sub("", match[1] if match else line):
                found.append(Shown(command, ""))
        return found


def is_open(command: str) -> bool:
    """Whether a command line goes on on the next line."""
    try:
        shlex.split(command)
    except ValueError:  # a quotation is open, or a backslash is last
        return True
    return False


def read_blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page."""
    lines = page.read_text().splitlines()
    name = str(page.relative_to(ROOT))
    section = ""
    number = 0
    while number < len(lines):
        fence = FENCE.match(lines[number])
        if heading := HEADING.match(lines[number]):
            section = heading[1]
        if not fence:
            number += 1
            continue
        first = number + 1
        number = next(n for n in range(first, len(lines)) if lines[n].strip() == fence[2])
        mark = MARK.match(lines[first - 2])
        above = [line for line in lines[: first - 1] if line.strip()][-1]
        text = "".join(f"{line[len(fence[1]) :]}\n" for line in lines[first:number])
        said = f"{mark[1]}: {mark[2]}" if mark else ""
        yield Block(name, first, fence[3], section, said, above, text)
        number += 1


def take(page: str, runner: str, section: str = "") -> list[Block]:
    """Return the blocks of a page, or of one of its sections, that a test's file is to run.

    Raises:
        LookupError: there are none.
    """
    found = [
        block
        for block in read_blocks(ROOT / page)
        if block.runner == Path(runner).name and section in ("", block.section)
    ]
    if not found:
        raise LookupError(f"{page} has no block that {runner} runs")
    return found


def read_files(page: str) -> dict[str, str]:
    """Return the files that a page shows, each below its name."""
    return {
        match[1]: block.text
        for block in read_blocks(ROOT / page)
        if (match := FILE.match(block.above))
    }


def split_line(command: str) -> list[list[str]]:
    """Return the words of each program that a command line calls, without redirections."""
    lexer = shlex.shlex(command.replace("\\\n", " "), posix=True, punctuation_chars="|&;<>\n")
    lexer.whitespace = " \t"
    lexer.whitespace_split = True
    lexer.commenters = ""
    called: list[list[str]] = [[]]
    words = iter(lexer)
    for word in words:
        if re.fullmatch("[<>]+", word):
            next(words)
        elif re.fullmatch("[|&;\n]+", word):
            called.append([])
        else:
            called[-1].append(word)
    inner = re.findall(r"\$\(([^()]+)\)", command)
    return [each for each in called if each] + [each for one in inner for each in split_line(one)]
