"""How a command of the command line is written: a function with its arguments above it."""

from __future__ import annotations

import argparse
import difflib
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn

from localmodel.errors import LocalModelError

Run = Callable[[argparse.Namespace], int | None]
Argument = tuple[tuple[str, ...], dict[str, Any]]


class Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as Juju does."""

    def error(self, message: str) -> NoReturn:
        raise LocalModelError(f"{message}; see {self.prog} --help")


class Command(NamedTuple):
    """One verb: what it takes, what it does, and how many words of its own it leaves alone."""

    name: str
    run: Run
    arguments: Sequence[Argument]
    passes_on: bool


class Registry:
    """The verbs of one command line."""

    def __init__(self, program: str, description: str) -> None:
        self.program = program
        self.description = description
        self.commands: dict[str, Command] = {}
        self.aliases: dict[str, str] = {}

    def command(
        self,
        name: str,
        *arguments: Argument,
        aliases: Sequence[str] = (),
        passes_on: bool = False,
    ) -> Callable[[Run], Run]:
        """Register a verb; the function's docstring is its help.

        Args:
            passes_on: the verb's last argument is another program's command line, taken as it is.
        """

        def register(run: Run) -> Run:
            self.commands[name] = Command(name, run, arguments, passes_on)
            self.aliases.update(dict.fromkeys(aliases, name))
            return run

        return register

    def main(self, argv: Sequence[str]) -> int:
        """Run the verb that the command line names. Raises: LocalModelError."""
        if not argv or argv[0] in ("-h", "--help") or list(argv) in (["help"], ["help", "help"]):
            print(self.overview(), end="")
            return 0 if argv else 2
        if argv[0] == "help":
            argv = [argv[1], "--help"]
        command = self._find(argv[0])
        parser = self._parser(command)
        if command.passes_on:
            arguments = parser.parse_args(argv[1:])
        else:
            arguments = parser.parse_intermixed_args(argv[1:])
        return command.run(arguments) or 0

    def _find(self, given: str) -> Command:
        """Raises: LocalModelError, with what may have been meant, if there is no such verb."""
        name = self.aliases.get(given, given)
        if name in self.commands:
            return self.commands[name]
        told = f'{self.program}: "{given}" is not a {self.program} command.'
        told += f' See "{self.program} --help".'
        near = difflib.get_close_matches(given, [*self.commands, *self.aliases], n=1)
        raise LocalModelError(f"{told}\n\nDid you mean:\n\t{near[0]}" if near else told)

    def overview(self) -> str:
        """The help of the command line as a whole."""
        names = {
            name: [name, *(a for a, n in self.aliases.items() if n == name)]
            for name in sorted(self.commands)
        }
        width = max(len(", ".join(words)) for words in names.values())
        lines = [
            f"  {', '.join(words).ljust(width)}  {_first_line(self.commands[name].run)}"
            for name, words in names.items()
        ]
        return "\n".join(
            [
                f"Usage: {self.program} COMMAND [OPTIONS]",
                "",
                self.description,
                "",
                *lines,
                "",
                f"{self.program} COMMAND --help tells more of each.\n",
            ]
        )

    def _parser(self, command: Command) -> Parser:
        parser = Parser(
            prog=f"{self.program} {command.name}",
            description=command.run.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        for flags, options in command.arguments:
            parser.add_argument(*flags, **options)
        return parser


def arg(*flags: str, **options: Any) -> Argument:
    """An argument, as argparse's add_argument takes it."""
    return flags, options


def flag(*flags: str, **options: Any) -> Argument:
    return flags, {"action": "store_true", **options}


def ignored(*flags: str, value: bool = False) -> Argument:
    """An option of Juju's that means nothing here, taken so that its clients work unchanged."""
    extra: dict[str, Any] = {} if value else {"action": "store_true"}
    return flags, {"help": argparse.SUPPRESS, **extra}


MODEL = arg("-m", "--model", help="the model to work on")


def form(*choices: str) -> Argument:
    return arg("--format", choices=choices, default=choices[0], help="how to print it")


def settings(words: Sequence[str]) -> dict[str, str]:
    """Read ``KEY=VALUE`` words. Raises: LocalModelError."""
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise LocalModelError(f'expected "key=value", got "{word}"')
        found[key] = value
    return found


def split(values: Sequence[str] | None) -> list[str]:
    """Values that may be given several times, or once with commas."""
    return [part for value in values or () for part in value.split(",") if part]


#: The longest span that clocks can wait for, in seconds: a hundred years.
LONGEST_SPAN = 100 * 365 * 86400.0


def read_span(option: str, text: str) -> float:
    """Read a span such as ``30s`` or ``1m30s``; more than a hundred years are a hundred.

    Raises: LocalModelError that names the option.
    """
    parts = re.findall(r"(\d+(?:\.\d*)?|\.\d+)(ms|s|m|h)", text, re.ASCII)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise LocalModelError(f'{option} "{text}": give a span such as 30s, 5m or 1m30s')
    units = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
    return min(sum(float(number) * units[unit] for number, unit in parts), LONGEST_SPAN)


def confirm(question: str, *, asked: bool) -> None:
    """Ask before something is lost. Raises: LocalModelError if the answer is no, or there is none.

    Args:
        asked: False where ``--no-prompt`` was given.
    """
    if not asked:
        return
    if not sys.stdin.isatty():
        raise LocalModelError(f"{question} Nobody can be asked here: give --no-prompt")
    if input(f"{question} [y/N] ").strip().lower() not in ("y", "yes"):
        raise LocalModelError("aborted")


def say(text: str) -> None:
    """Tell the user something that is not the command's output."""
    print(text, file=sys.stderr)


def _first_line(run: Run) -> str:
    return (run.__doc__ or "").strip().splitlines()[0]
