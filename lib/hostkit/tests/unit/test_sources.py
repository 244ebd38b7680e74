from __future__ import annotations

import platform
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostkit.sources import PackageSource, parse_sources
from lib.hostkit.tests.unit.keys import KEY

SERIES = platform.freedesktop_os_release()["VERSION_CODENAME"]
ITEM = "- |\n  " + KEY.strip().replace("\n", "\n  ")
DOCKER = "https://download.docker.com/linux/debian"
WORD = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,9}", fullmatch=True)


@pytest.mark.parametrize(
    ("text", "sources"),
    [
        ("", []),
        ("null", []),
        ("[]", []),
        ("# none yet", []),
        ("distro", []),
        (
            f"deb [arch=amd64 trusted=yes] {DOCKER} bookworm stable test",
            [PackageSource(("arch=amd64", "trusted=yes"), DOCKER, "bookworm stable test")],
        ),
        (f"- {DOCKER} {{series}} stable", [PackageSource((), DOCKER, f"{SERIES} stable")]),
        (
            "- 'deb file:/srv/mirror ./'\n- 'http://[::1]:80/x  a  b'",
            [
                PackageSource((), "file:/srv/mirror", "./"),
                PackageSource((), "http://[::1]:80/x", "a b"),
            ],
        ),
    ],
)
def test_sources_are_read_as_charmhelpers_reads_them(
    text: str, sources: list[PackageSource]
) -> None:
    assert parse_sources(text, "") == tuple(sources)


@pytest.mark.parametrize(
    "keys",
    [
        f"- null\n{ITEM}",
        f"- ''\n{ITEM.replace('BLOCK-----', 'BLOCK-----' + chr(10) + '  Comment: mine', 1)}",
        f"- null\n{ITEM.replace('  -----END', '  =tocD' + chr(10) + '  -----END')}",
    ],
)
def test_each_source_has_the_key_in_its_place(keys: str) -> None:
    one, two = parse_sources("[http://a b c, http://d e f]", keys)
    assert (one.key, two.key) == ("", KEY)


def test_one_key_needs_no_list_and_no_yaml() -> None:
    (source,) = parse_sources("http://a b c", KEY)
    assert source.key == KEY


def test_a_ppa_is_launchpads_repository_for_the_series_with_its_key() -> None:
    uri = "https://ppa.launchpadcontent.net/me/tools/ubuntu"
    assert parse_sources("ppa:me/tools", KEY) == (PackageSource((), uri, f"{SERIES} main", KEY),)


def test_a_login_is_no_part_of_the_address_and_of_what_is_shown() -> None:
    (source,) = parse_sources("deb http://me:it%40%2F@mirror.example:8080/x a b", "")
    assert source.uri == "http://mirror.example:8080/x"
    assert source.login == "machine http://mirror.example:8080/x login me password it@/"
    assert "it@" not in repr(source)


@pytest.mark.parametrize(
    ("sources", "keys", "words"),
    [
        ("- [", "", "option install_sources: it is not YAML (line 1, column 4); give a list"),
        ("- \x00", "", "option install_sources: it is not YAML"),
        ("[" * 1000, "", "option install_sources: it is not YAML"),
        ("- a: b", "", "option install_sources: it has more than texts in it"),
        ("cloud:jammy-yoga", "", "'cloud:jammy-yoga' is not a source that is understood; give 'd"),
        ("[null]", "", "'' is not a source"),
        ("http://mirror.example", "", "is not a source that is understood"),
        ("http://mirror.example stable", "", "is not a source that is understood"),
        ('"http://a b c\\nd"', "", "is not a source that is understood"),
        ('"http://a b c\\u202e"', "", "is not a source that is understood"),
        ("deb [arch] http://a b c", "", "has an option in brackets that is not NAME=VALUE"),
        ("http://[a b c", "", "has no proper address"),
        ("http://[a]b c d", "", "has no proper address"),
        ("ppa:me/tools", "", "'ppa:me/tools' needs the PPA's key in install_keys"),
        ("deb [signed-by=/x] http://a b c", KEY, "names a key by signed-by"),
        (
            "http://a b c",
            "[null, null]",
            "option install_keys: it has 2 items, and install_sources has 1; give a",
        ),
        ("http://a b c", "9DC858229FC7DD38", "option install_keys: '9DC858229FC7DD38' is not a"),
        (
            "http://a b c",
            KEY.replace("PUBLIC", "PRIVATE"),
            "not a public key; give the key itself",
        ),
        ("http://a b c", KEY.replace("mDME", "lDME"), "is not a public key"),
        ("http://a b c", KEY.replace("mDME", "m!ME"), "is not a public key"),
        ("http://a b c", KEY.partition("\n\n")[0], "is not a public key"),
        (
            "http://a b c",
            KEY.partition("\n\n")[0] + "\n" + KEY.rpartition("=\n")[2],
            "not a public",
        ),
    ],
)
def test_what_is_wrong_is_told_in_one_line_with_what_to_do(
    sources: str, keys: str, words: str
) -> None:
    with pytest.raises(ValueError, match=r"^option install_") as told:
        parse_sources(sources, keys)
    assert words in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    "source",
    [
        "http://me:secret@mirror.example",
        "http://me:sec ret@mirror.example a b",
        "http://me:secret/@mirror.example a b",
        "http://me:secret%20@mirror.example a b",
        "http://me:secret%23@mirror.example a b",
        "http://secret@mirror.example a b",
        "deb [x] http://me:secret@mirror.example a b",
        "- http://me:secret@[mirror a b",
        "deb [http://me:secret@x] http://a b c",
        "http:/me:secret@mirror.example a b",
        "deb me:secret@mirror.example a b",
        "[http://me:secret@mirror.example a b",
    ],
)
def test_a_login_is_never_told(source: str) -> None:
    with pytest.raises(ValueError, match=r"^option install_sources: ") as told:
        parse_sources(source, "")
    assert "sec" not in str(told.value)


@given(st.text(), st.text())
def test_any_text_is_read_or_refused(sources: str, keys: str) -> None:
    try:
        found = parse_sources(sources, keys)
    except ValueError as error:
        assert str(error).startswith("option install_")
        assert str(error).isprintable()
    else:
        assert all(isinstance(source, PackageSource) for source in found)


@given(
    st.sampled_from(["http", "https", "mirror+http"]),
    st.lists(WORD, min_size=1, max_size=3).map("/".join),
    WORD,
    st.lists(WORD, min_size=1, max_size=3),
    st.lists(st.tuples(WORD.filter(str.isalpha), WORD).map("=".join), max_size=3),
)
def test_a_source_keeps_all_that_it_says(
    scheme: str, place: str, suite: str, components: list[str], options: list[str]
) -> None:
    parts = " ".join([suite, *components])
    bracket = f"[{' '.join(options)}] " if options else ""
    (source,) = parse_sources(f"- 'deb {bracket}{scheme}://{place} {parts}'", "")
    assert source == PackageSource(tuple(options), f"{scheme}://{place}", parts)


@given(WORD, st.text(st.characters(codec="ascii", categories=["L", "N", "P", "S"]), min_size=1))
def test_a_login_comes_back_as_it_was(user: str, password: str) -> None:
    text = f"- 'http://{user}:{quote(password, safe='')}@mirror a b'"
    if "#" in password:
        with pytest.raises(ValueError, match="without spaces and #"):
            parse_sources(text, "")
    else:
        (source,) = parse_sources(text, "")
        assert source.login == f"machine http://mirror login {user} password {password}"
