"""What a hook tool is: a function of the hook's context, its arguments and its standard input.

Its answer is printed on the tool's standard output in the format asked for.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from typing import Any, NamedTuple, NoReturn

import yaml

from localmodel.context import HookContext, ToolError


class Arguments(argparse.ArgumentParser):
    """Reads a tool's arguments; an error is the tool's, not the process's."""

    def error(self, message: str) -> NoReturn:
        raise ToolError(f"{self.prog}: {message}")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        raise ToolError(message or self.format_help())


class Answer(NamedTuple):
    """What a tool's process ends with."""

    code: int
    stdout: str = ""
    stderr: str = ""


Tool = Callable[[HookContext, argparse.Namespace, str], Any]
_TOOLS: dict[str, tuple[Arguments, Tool]] = {}


def tool(name: str, *arguments: tuple[tuple[str, ...], dict[str, Any]]) -> Callable[[Tool], Tool]:
    """Register a tool with its arguments, beside ``--format``."""

    def register(function: Tool) -> Tool:
        parser = Arguments(name, add_help=False)
        parser.add_argument("--format", choices=("json", "yaml", "smart"), default="smart")
        for flags, options in arguments:
            parser.add_argument(*flags, **options)
        _TOOLS[name] = (parser, function)
        return function

    return register


def arg(*flags: str, **options: Any) -> tuple[tuple[str, ...], dict[str, Any]]:
    return flags, options


def tool_names() -> list[str]:
    """All hook tools, for the links in a unit's folder of tools."""
    return sorted(_TOOLS)


def run_tool(context: HookContext, name: str, argv: list[str], stdin: str) -> Answer:
    """Answer one call of a tool; never raises for what a charm can do wrong."""
    if name not in _TOOLS:
        return Answer(1, stderr=f"ERROR {name}: no such hook tool\n")
    parser, function = _TOOLS[name]
    try:
        arguments = parser.parse_args(argv)
        with context.guard:
            value = function(context, arguments, stdin)
    except ToolError as e:
        return Answer(1, stderr=f"ERROR {e}\n")
    return Answer(0, render(value, arguments.format))


def render(value: Any, form: str) -> str:
    """A tool's answer in ``json``, ``yaml`` or ``smart``: a plain string as it is, else YAML."""
    if form == "json":
        return json.dumps(value) + "\n"
    if value is None:
        return ""
    if form == "smart" and isinstance(value, str):
        return value + "\n"
    if form == "smart" and isinstance(value, list):
        return "".join(f"{item}\n" for item in value)
    if form == "smart" and isinstance(value, bool):
        return f"{value}\n"
    return yaml.safe_dump(value, default_flow_style=False).removesuffix("...\n")


def read_pairs(words: list[str]) -> dict[str, str]:
    """Read ``key=value`` words. Raises: ToolError."""
    found = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key:
            raise ToolError(f'expected "key=value", got "{word}"')
        found[key] = value
    return found


def read_file(context: HookContext, path: str) -> str:
    """Read a text file of the machine. Raises: ToolError."""
    try:
        return context.files.read(path).decode()
    except (OSError, UnicodeDecodeError) as e:
        raise ToolError(f"cannot read {path}: {e}") from e
