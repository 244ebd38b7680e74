from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerhost import InvalidReferenceError, Reference, parse_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4

labels = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?", fullmatch=True)
ports = st.integers(0, 65535)
registries = st.one_of(
    st.builds(lambda host, port: f"{host}:{port}", labels, ports),
    st.builds(lambda one, two: f"{one}.{two}", labels, labels),
    st.builds(lambda port: f"[fd00::5]:{port}", ports),
    st.just("localhost"),
)
components = st.from_regex(r"[a-z0-9]{1,8}((\.|_|__|-{1,3})[a-z0-9]{1,8}){0,3}", fullmatch=True)
repositories = st.lists(components, min_size=1, max_size=4).map("/".join)
tags = st.from_regex(re.compile(r"[\w][\w.-]{0,127}", re.ASCII), fullmatch=True)
digests = st.from_regex(r"sha256:[a-f0-9]{64}", fullmatch=True)


@given(registries, repositories, st.none() | tags, st.none() | digests)
def test_a_reference_is_read_back_as_it_was_put_together(
    registry: str, repository: str, tag: str | None, digest: str | None
) -> None:
    reference = Reference(registry, repository, tag, digest)
    assert parse_reference(str(reference)) == reference


@given(st.text() | st.from_regex(r"[a-z.:/@\[\]A-Z0-9_-]{0,40}", fullmatch=True))
def test_any_text_is_a_reference_or_is_refused_by_name(text: str) -> None:
    try:
        reference = parse_reference(text)
    except InvalidReferenceError as error:
        assert repr(text) in str(error)
        assert "\n" not in str(error)
    else:
        assert parse_reference(str(reference)) == reference


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mlucas", Reference("docker.io", "library/mlucas")),
        ("me/mlucas:1", Reference("docker.io", "me/mlucas", "1")),
        ("docker.io/mlucas", Reference("docker.io", "library/mlucas")),
        ("localhost/mlucas", Reference("localhost", "mlucas")),
        ("Registry/mlucas", Reference("Registry", "mlucas")),
        ("172.30.0.5:5000/mlucas:1", Reference("172.30.0.5:5000", "mlucas", "1")),
        (f"172.30.0.5:5000/a/b@{DIGEST}", Reference("172.30.0.5:5000", "a/b", None, DIGEST)),
        (f"r.example/a:1@{DIGEST}", Reference("r.example", "a", "1", DIGEST)),
    ],
)
def test_short_and_long_spellings_are_understood(text: str, expected: Reference) -> None:
    assert parse_reference(text) == expected


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", "repository ''"),
        ("Mlucas", "repository 'Mlucas'"),
        ("r.example/", "repository ''"),
        ("r.example/a:", "tag ''"),
        (f"r.example/a:{'x' * 129}", "tag"),
        ("r.example/a@sha256:123", "digest 'sha256:123'"),
        ("r.example/a@", "digest ''"),
        ("http://r.example/a", "registry 'http:'"),
        ("r.example:port/a", "registry 'r.example:port'"),
        ("0" * 64, "image's id"),
        (f"r.example/{'a' * 300}", "255"),
        ("r.example/a b", "repository 'a b'"),
        ("r.example/a\n", "repository"),
    ],
)
def test_a_wrong_part_is_named(text: str, names: str) -> None:
    with pytest.raises(InvalidReferenceError, match=re.escape(names)):
        parse_reference(text)


def test_a_digest_selects_before_a_tag_and_a_tag_before_latest() -> None:
    assert parse_reference(f"r.example/a:1@{DIGEST}").selector == DIGEST
    assert parse_reference("r.example/a:1").selector == "1"
    assert parse_reference("r.example/a").selector == "latest"
