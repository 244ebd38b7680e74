from __future__ import annotations

import math
import re
from typing import Any

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from localmodel.charms import Meta, Option
from localmodel.errors import LocalModelError
from localmodel.operations.applications import read_options, read_value

TYPES = st.sampled_from(["string", "int", "float", "boolean", "secret"])


def value(kind: Any, given: Any) -> Any:
    return read_value("o", Option(kind), given)


@given(st.integers())
def test_an_int_is_read_back_from_its_text_and_from_yaml(number: int) -> None:
    assert value("int", str(number)) == number
    assert value("int", f" {number} ") == number
    assert value("int", number) == number


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_is_read_back_from_its_text_and_from_yaml(number: float) -> None:
    assert value("float", repr(number)) == number
    assert value("float", number) == number


@given(st.text())
def test_a_string_is_taken_as_it_is(text: str) -> None:
    assert value("string", text) == text


@pytest.mark.parametrize(("text", "read"), [("true", True), ("False", False), (" TRUE ", True)])
def test_a_boolean_is_spelled_in_any_case(text: str, read: bool) -> None:
    assert value("boolean", text) is read
    assert value("boolean", read) is read


@pytest.mark.parametrize("text", ["secret:c5v8ap5ie0fk", "secret://0000-1111/c5v8ap5ie0fk", ""])
def test_a_secret_is_its_uri(text: str) -> None:
    assert value("secret", text) == text


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("int", "8o"),
        ("int", "1.5"),
        ("int", ""),
        ("int", True),
        ("int", [1]),
        ("float", "half"),
        ("float", "nan"),
        ("float", "-inf"),
        ("boolean", "yes"),
        ("boolean", 1),
        ("secret", "mysecret"),
        ("secret", "secret:A b"),
    ],
)
def test_a_value_of_another_type_is_named_with_what_is_expected(kind: str, given: Any) -> None:
    says = f'option "o" expected {kind}, got "{given}"'
    with pytest.raises(LocalModelError, match=f"^{re.escape(says)}"):
        value(kind, given)


@given(TYPES, st.text())
@example("float", "nan")
@example("float", "1e999")
def test_any_text_is_read_or_refused_and_what_is_read_can_be_kept(kind: str, text: str) -> None:
    try:
        read = value(kind, text)
    except LocalModelError as e:
        assert "\n" not in str(e) or "\n" in text
        return
    assert not isinstance(read, float) or math.isfinite(read)
    assert msgspec.json.decode(msgspec.json.encode(read)) == read


def test_an_unknown_option_is_named_with_those_that_there_are() -> None:
    meta = Meta("web", options={"port": Option("int"), "name": Option("string")})
    with pytest.raises(LocalModelError, match='unknown option "prot": charm "web" has name, port'):
        read_options(meta, {"port": 1, "prot": 2})
    with pytest.raises(LocalModelError, match='unknown option "a": charm "bare" has none'):
        read_options(Meta("bare"), {"a": 1})
