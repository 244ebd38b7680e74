"""Reads and writes YAML as Juju's library for Go does (gopkg.in/yaml.v2) where Python's differs.

`y` and `n` are booleans, as YAML 1.1 has it; `1e3` is a number; times and `1:30` are text. Text of
several lines is written as a block, and what would be read as something else, in double quotes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

from localmodel.typeguards import is_list, is_mapping

_RESOLVERS = {
    "bool": r"y|Y|yes|Yes|YES|true|True|TRUE|on|On|ON|n|N|no|No|NO|false|False|FALSE|off|Off|OFF",
    "int": r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    "null": r"~|null|Null|NULL|",
    "merge": r"<<",
}

# What is text, and yet written in quotes, for readers of YAML 1.1.
_BASE_60 = r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?"
_QUOTED = re.compile(rf"(?:{'|'.join(_RESOLVERS.values())}|{_BASE_60})$")


class _Loader(yaml.CSafeLoader):
    """Python's loader with Go's idea of what a plain word stands for."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern in _RESOLVERS.items():
    # None stands for any first character.
    _regexp = re.compile(rf"(?:{_pattern})$")
    _Loader.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
        f"tag:yaml.org,2002:{_tag}", _regexp, None
    )


def _read_bool(loader: yaml.CSafeLoader, node: yaml.ScalarNode) -> bool:
    return node.value.lower() in ("y", "yes", "true", "on")


_Loader.add_constructor("tag:yaml.org,2002:bool", _read_bool)


def load(text: str | bytes, *, text_keys: int = 0) -> Any:
    """Read one document.

    Args:
        text_keys: so many levels of mappings have keys of text only, whatever they look like.
    Raises: yaml.YAMLError.
    """
    loader: Any = _Loader(text)  # the stubs of these methods have no types
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        _make_keys_text(node, text_keys)
        return loader.construct_document(node)
    finally:
        loader.dispose()


def _make_keys_text(node: yaml.Node, levels: int) -> None:
    if levels and isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                key.tag = "tag:yaml.org,2002:str"
            _make_keys_text(value, levels - 1)


def load_all(text: str | bytes) -> Iterator[Any]:
    """Read every document of a stream. Raises: yaml.YAMLError."""
    return yaml.load_all(text, _Loader)


def require_string_keys(value: Any) -> Any:
    """Return the value, if all keys of its mappings are text.

    Raises: ValueError in Juju's words for a key such as `n`, which is a boolean unless quoted.
    """
    if is_list(value):
        return [require_string_keys(item) for item in value]
    if not is_mapping(value):
        return value
    for key in value:
        if not isinstance(key, str):
            raise ValueError(f"map keyed with non-string value: {key!r}; put it in quotes")
    return {key: require_string_keys(inner) for key, inner in value.items()}


class _Dumper(yaml.SafeDumper):
    """Python's dumper with Go's idea of how to write text."""


def _write_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    style = "|" if "\n" in text else '"' if _QUOTED.match(text) else None
    return dumper.represent_scalar(  # pyright: ignore[reportUnknownMemberType]
        "tag:yaml.org,2002:str", text, style=style
    )


_Dumper.add_representer(str, _write_text)
# Nothing that is not quoted by then needs it.
_Dumper.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


def dump(value: Any, *, sort_keys: bool = False) -> str:
    """Write one document."""
    return yaml.dump(
        value, Dumper=_Dumper, default_flow_style=False, sort_keys=sort_keys, allow_unicode=True
    )
