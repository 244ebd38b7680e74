"""What a hook tool is: a function of the hook's context, its arguments and its standard input.

Its answer is printed on the tool's standard output in the format asked for.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import yaml

from localmodel import goyaml
from localmodel.context import HookContext, ToolError, UsageError
from localmodel.typeguards import is_list, is_mapping


class Arguments(argparse.ArgumentParser):
    """Reads a tool's arguments; an error is the tool's, not the process's."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(message)

    def parse_words(self, argv: list[str]) -> argparse.Namespace:
        """Read the arguments as Go's flags, of which one without a value may be `--flag=true`.

        Raises: UsageError.
        """
        switches = {
            flag for action in self._actions for flag in action.option_strings if action.nargs == 0
        }
        words: list[str] = []
        for position, word in enumerate(argv):
            if word == "--":
                words += argv[position:]
                break
            flag, equals, value = word.partition("=")
            if equals and flag in switches:
                words += [flag] if value.lower() in ("true", "1", "t") else []
            else:
                words.append(word)
        found, unknown = self.parse_known_args(words)
        if unknown:
            if unknown[0].startswith("-"):
                raise UsageError(f"option provided but not defined: {unknown[0]}")
            raise UsageError(f"unrecognized args: {unknown}")
        return found


class Answer(NamedTuple):
    """What a tool's process ends with."""

    code: int
    stdout: str = ""
    stderr: str = ""


Tool = Callable[[HookContext, argparse.Namespace, str], Any]
_TOOLS: dict[str, tuple[Arguments, Tool]] = {}


def tool(name: str, *arguments: tuple[tuple[str, ...], dict[str, Any]]) -> Callable[[Tool], Tool]:
    """Register a tool with its arguments, beside `--format`."""

    def register(function: Tool) -> Tool:
        parser = Arguments(name, add_help=False, allow_abbrev=False)
        parser.add_argument("--format", choices=("json", "yaml", "smart"), default="smart")
        parser.add_argument("--help", "-h", action="store_true")
        for flags, options in arguments:
            parser.add_argument(*flags, **options)
        _TOOLS[name] = (parser, function)
        return function

    return register


class Raw(str):
    """An answer that ends without a new line."""


def arg(*flags: str, **options: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    return flags, options


def list_tools() -> list[str]:
    """Return all hook tools, for the links in a unit's folder of tools."""
    return sorted(_TOOLS)


def run_tool(context: HookContext, name: str, argv: list[str], stdin: str) -> Answer:
    """Answer one call of a tool; never raises for what a charm can do wrong."""
    if name not in _TOOLS:
        return Answer(1, stderr=f"ERROR {name}: no such hook tool\n")
    parser, function = _TOOLS[name]
    try:
        if {"--help", "-h"} & set(argv[: argv.index("--") if "--" in argv else None]):
            return Answer(0, parser.format_help().replace("usage:", "Usage:", 1))
        arguments = parser.parse_words(argv)
        with context.guard:
            value = function(context, arguments, stdin)
    except ToolError as error:
        return Answer(error.code, stderr=f"ERROR {error}\n")
    return Answer(0, format_answer(value, arguments.format))


def format_answer(value: Any, form: str) -> str:
    """Return a tool's answer in `json`, `yaml` or `smart`: a plain string as it is, else YAML."""
    if form == "json":
        return json.dumps(value, separators=(",", ":")) + "\n"
    if value is None:
        return ""
    if isinstance(value, Raw) and form == "smart":
        return value
    if form == "smart" and isinstance(value, str):
        return value + "\n"
    if form == "smart" and is_list(value):
        return "".join(f"{item}\n" for item in value)
    if form == "smart" and isinstance(value, bool):
        return f"{value}\n"
    return goyaml.dump(value).removesuffix("...\n")


def read_pairs(words: list[str]) -> dict[str, str]:
    """Read `key=value` words. Raises: ToolError."""
    found: dict[str, str] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise UsageError(f'expected "key=value", got "{word}"')
        found[key] = value
    return found


def is_number(text: str) -> bool:
    """Return whether this is a number of up to 19 ASCII digits."""
    return text.isascii() and text.isdigit() and len(text) < 20


def read_file(context: HookContext, path: str) -> str:
    """Read a text file of the machine. Raises: ToolError."""
    try:
        return context.files.read(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ToolError(f"cannot read {path}: {error}") from error


def read_settings(context: HookContext, file: str | None, stdin: str) -> dict[str, str]:
    """Read the mapping in `--file`, which "-" says is on standard input."""
    text = stdin if file in (None, "-") else read_file(context, file)
    try:
        body: Any = _load(text) or {}
    except yaml.YAMLError as error:
        raise ToolError(f"cannot read settings: {error}") from error
    if not is_mapping(body):
        raise ToolError("cannot read settings: not a mapping")
    return {str(k): "" if v is None else str(v) for k, v in body.items()}


def _load(text: str) -> Any:
    """Read YAML, and JSON by its own rules: as YAML, its escapes beyond 16 bit are other text."""
    try:
        return json.loads(text)
    except ValueError:
        return yaml.safe_load(text)
