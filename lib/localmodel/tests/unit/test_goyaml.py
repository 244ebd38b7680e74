"""What a plain word stands for in YAML as Juju reads it, and how Juju writes text."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from localmodel import goyaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("y", True),
        ("N", False),
        ("off", False),
        ("'n'", "n"),
        ("1e3", 1000.0),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("0777", 511),
        ("~", None),
        ("", None),
        ("[1, y]", [1, True]),
        ("a: &x {b: 1}\nc: {<<: *x}", {"a": {"b": 1}, "c": {"b": 1}}),
    ],
)
def test_words_are_read_as_gos_library_reads_them(text: str, value: Any) -> None:
    found = goyaml.load(text)
    assert (found, type(found)) == (value, type(value))


def test_keys_of_the_first_levels_are_text_and_further_down_n_is_a_boolean() -> None:
    text = "n: {y: {no: 1}}"
    assert goyaml.load(text) == {False: {True: {False: 1}}}
    assert goyaml.load(text, text_keys=2) == {"n": {"y": {False: 1}}}


def test_a_key_that_is_no_text_is_refused() -> None:
    assert goyaml.require_string_keys({"a": [{"n": 1}]}) == {"a": [{"n": 1}]}
    with pytest.raises(ValueError, match="map keyed with non-string value: False; put it in"):
        goyaml.require_string_keys(goyaml.load("a: [{n: 1}]"))


def test_what_is_no_yaml_is_an_error() -> None:
    with pytest.raises(yaml.YAMLError):
        goyaml.load("[1")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("10", 'a: "10"\n'),
        ("0.5", 'a: "0.5"\n'),
        ("y", 'a: "y"\n'),
        ("", 'a: ""\n'),
        ("1:30", 'a: "1:30"\n'),
        ("2026-01-01", "a: 2026-01-01\n"),
        ("one two", "a: one two\n"),
        ("{1}", "a: '{1}'\n"),
        ("φ", "a: φ\n"),
        ("one\n\n  two\n", "a: |\n  one\n\n    two\n"),
        ("1\n2", "a: |-\n  1\n  2\n"),
        ([1, True, None, 1.5], "a:\n- 1\n- true\n- null\n- 1.5\n"),
    ],
)
def test_text_is_written_as_gos_library_writes_it(value: Any, text: str) -> None:
    assert goyaml.dump({"a": value}) == text
    assert goyaml.load(text) == {"a": value}
