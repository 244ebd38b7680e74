"""The charm's own options: what is taken, and that a bad one is named with what is allowed."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ops import testing

from charms.spare.tests.unit import conftest  # noqa: F401 - it puts the charm on the path
from harvest.options import OptionsError, parse_options
from spare.config import Config, check_path, parse_environment, parse_user, split_command

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
VALUES = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]))
# Keys as Juju takes them.
KEYS = st.from_regex(r"[a-z](-?[a-z0-9]){2,20}", fullmatch=True)
BAD = [
    ("command", "say 'hello", "\"say 'hello\" can't be split into words: no closing quotation"),
    ("command", "say \\", "can't be split into words: no escaped character; close each quote"),
    ("environment", "A=1\nhome: /x", "line 2, 'home: /x', is not NAME=value; give one variable"),
    ("environment", "{A: 1}", "line 1, '{A: 1}', is not NAME=value; give one variable a line"),
    ("environment", "export A=1", "line 1, 'export A=1', is not NAME=value"),
    ("environment", "A", "line 1, 'A', is not NAME=value"),
    ("environment", "=1", "line 1, '=1', is not NAME=value"),
    ("environment", "A=1\n\nA=2", "line 3 gives 'A' again; give each variable once"),
    ("work-path", "work", "'work' can't be the work directory; give an absolute path such as"),
    ("work-path", "", "'' can't be the work directory; give an absolute path such as /work"),
    ("work-path", "/", "'/' can't be the work directory"),
    ("work-path", "//work", "'//work' can't be the work directory"),
    ("work-path", "/a/../b", "'/a/../b' can't be the work directory"),
    ("work-path", "/work/", "'/work/' can't be the work directory"),
    ("work-path", "/proc", "'/proc' can't be the work directory"),
    ("work-path", "/sys/fs/cgroup", "and not in /dev/, /proc/, /sys/"),
    ("work-path", f"/{'x' * 200}", "of 200 characters at most"),
    ("user", "root", "'root' is not a user, or is root; give numbers, UID or UID:GID"),
    ("user", "0", "'0' is not a user, or is root"),
    ("user", "0:1000", "'0:1000' is not a user, or is root"),
    ("user", "1000:staff", "'1000:staff' is not a user, or is root"),
    ("user", "4294967295", "from 1 to 4294967294, or leave it empty for 65532:65532"),
    ("user", "1:4294967295", "'1:4294967295' is not a user, or is root"),
    ("restart", "always", "'always' is not one of: unless-stopped, on-failure"),
    ("stop-signal", "SIGKILL", "'SIGKILL' is not one of: SIGHUP, SIGINT, SIGQUIT, SIGTERM"),
    ("stop-signal", "int", "'int' is not one of: SIGHUP, SIGINT"),
    ("stop-timeout", 0, "0 is out of range; give 1 to 60 seconds"),
    ("stop-timeout", 61, "61 is out of range; give 1 to 60 seconds"),
    ("metrics-port", 80, "80 is out of range; give 1024 to 65535"),
    ("cpu-policy", "low", "'low' is not one of: idle, share, dedicated"),
    ("cpus", -1.0, "-1 is out of range"),
    ("memory-limit", "much", "'much' is not a size"),
    ("cpuset", "x", "'x' is not a list of cores"),
    ("network", "host", "'host' is not the name of a Docker network of its own"),
    ("image", "UPPER", "option image: "),
    ("registry-ca", "none", "option registry-ca: "),
    ("install_sources", "- [", "it is not YAML (line 1, column 4); give a list"),
    ("install_sources", "cloud:jammy-yoga", "'cloud:jammy-yoga' is not a source that is underst"),
    ("install_sources", "http://me:password@x", "'http:…@x' is not a source that is underst"),
    ("install_keys", "[null]", "it has 1 items, and install_sources has 0; give a key, or null"),
]


@pytest.mark.parametrize(("option", "value", "message"), BAD)
def test_a_bad_option_blocks_and_is_named_with_what_is_allowed(
    run: Callable[..., testing.State], option: str, value: Any, message: str
) -> None:
    status = run(**{option: value}).unit_status
    assert status.name == "blocked"
    assert status.message.startswith(f"option {option}: ")
    assert message in status.message
    assert "password" not in status.message


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_words_that_a_shell_would_be_given_quoted_come_back(words: list[str]) -> None:
    assert split_command(shlex.join(words)) == tuple(words)


@given(st.text())
def test_any_command_is_split_or_refused_in_one_short_line(text: str) -> None:
    try:
        assert all(isinstance(word, str) for word in split_command(text))
    except ValueError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 250


@given(st.dictionaries(NAMES, VALUES))
def test_variables_come_back_as_they_were_written(variables: dict[str, str]) -> None:
    text = "\n\n# A=1\n  ".join(f"{name}={value}" for name, value in variables.items())
    assert parse_environment(text) == variables


@given(st.text())
def test_any_environment_is_read_or_refused_in_one_short_line(text: str) -> None:
    try:
        assert all(parse_environment(text))
    except ValueError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 250


def test_windows_line_ends_are_no_part_of_a_value() -> None:
    assert parse_environment("A=1\r\nB=2\r\n") == {"A": "1", "B": "2"}


@given(st.integers(1, 2**32 - 2), st.integers(0, 2**32 - 2))
def test_a_user_is_one_number_or_two(user: int, group: int) -> None:
    assert parse_user(f"{user}") == (user, user)
    assert parse_user(f" {user}:{group}\n") == (user, group)


@given(st.text() | st.from_regex(r"[0-9:]*"))
def test_no_text_is_roots_number_or_none(text: str) -> None:
    try:
        user, group = parse_user(text)
    except ValueError:
        return
    assert 0 < user < 2**32 - 1
    assert 0 <= group < 2**32 - 1


@given(st.lists(st.from_regex(r"[a-z._-]{1,9}", fullmatch=True), min_size=1, max_size=9))
def test_a_path_is_plain_and_not_the_kernels(parts: list[str]) -> None:
    path = f"/{'/'.join(parts)}"
    plain = not {".", ".."} & {*parts} and parts[0] not in ("dev", "proc", "sys")
    try:
        assert check_path(path) == path
        assert plain
    except ValueError:
        assert not plain


@given(st.dictionaries(KEYS, st.text(st.characters(exclude_characters="\0")), max_size=5))
def test_a_secrets_keys_become_variables(secret: dict[str, str]) -> None:
    config = parse_options(Config, {"environment-secret": secret})
    found = config.environment_secret
    assert {key.upper().replace("-", "_") for key in secret} == set(found)
    assert sorted(value.get_secret_value() for value in found.values()) == sorted(secret.values())


@given(st.dictionaries(st.text(), st.text().map(lambda text: f"hunter2{text}")), st.booleans())
def test_no_error_and_no_text_of_the_options_shows_a_secret(
    secret: dict[str, str], nul: object
) -> None:
    given_secret = {key: f"{value}\0" if nul else value for key, value in secret.items()}
    try:
        shown = repr(parse_options(Config, {"environment-secret": given_secret}))
    except OptionsError as error:
        shown = str(error)
        assert shown.startswith("option environment-secret: ")
    assert "hunter2" not in shown


def test_a_variable_that_is_given_twice_is_refused() -> None:
    options = {"environment": "KEY=1", "environment-secret": {"key": "2"}}
    with pytest.raises(OptionsError, match="KEY is given twice; give it here or in the option"):
        parse_options(Config, options)
