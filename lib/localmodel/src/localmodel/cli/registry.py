"""The two command lines: a verb is a function that registers in one, its arguments above it."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

from localmodel.cli.arguments import Argument
from localmodel.errors import LocalModelError

Run = Callable[[argparse.Namespace], int | None]


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
        command, arguments = self.parse(argv)
        return command.run(arguments) or 0

    def parse(self, argv: Sequence[str]) -> tuple[Command, argparse.Namespace]:
        """Return the verb that a command line names, and what it is given.

        Raises: LocalModelError.
        """
        command = self._find(argv[0])
        parser = self._parser(command)
        if command.passes_on:
            return command, parser.parse_args(argv[1:])
        return command, parser.parse_intermixed_args(argv[1:])

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
        """Return the help of the command line as a whole."""
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
                f"{self.program} COMMAND --help explains each.\n",
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


def _first_line(run: Run) -> str:
    return (run.__doc__ or "").strip().splitlines()[0]


juju = Registry(
    "juju",
    "A stand-in for Juju that runs packed charms for real on this one machine. It has no clouds,\n"
    "users, spaces, storage or cross-model relations; production is Juju itself.",
)

localmodel = Registry(
    "localmodel",
    "Looks after the machines and the network that the local model's juju command works with.",
)
