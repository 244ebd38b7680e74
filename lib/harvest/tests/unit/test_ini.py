from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harvest.ini import merge

FILE = """\
V24OptionsConverted=1
StressTester=99
ComputerGUID=0123456789abcdef0123456789abcdef

[PrimeNet]
Debug=0
ProxyHost=old.example:8080

[Worker #1]
Affinity=1
"""


def test_keys_are_set_in_their_section_and_all_else_is_kept() -> None:
    wanted = {
        "": {"StressTester": "0", "UsePrimenet": "1"},
        "PrimeNet": {"ProxyHost": "new.example:3128", "ProxyUser": "me", "ProxyPass": None},
    }
    assert merge(FILE, wanted) == (
        FILE.replace("StressTester=99", "StressTester=0")
        .replace("cdef\n", "cdef\nUsePrimenet=1\n")
        .replace("old.example:8080\n", "new.example:3128\nProxyUser=me\n")
    )


def test_a_key_is_taken_out() -> None:
    merged = merge(FILE, {"PrimeNet": {"ProxyHost": None}})
    assert merged == FILE.replace("ProxyHost=old.example:8080\n", "")


def test_a_section_that_is_missing_is_begun() -> None:
    assert merge("A=1\n", {"PrimeNet": {"B": "2"}}) == "A=1\n[PrimeNet]\nB=2\n"
    assert merge("", {"": {"A": "1"}, "X": {"B": None}}) == "A=1\n"


def test_a_key_that_is_there_already_is_left_to_the_letter() -> None:
    text = "stresstester = 0 \r\n; note\n"
    assert merge(text, {"": {"StressTester": "0"}}) == text


def test_of_a_key_that_is_there_twice_one_stays() -> None:
    assert merge("A=1\nA=2\n[B]\nA=3\n", {"": {"A": "1"}}) == "A=1\n[B]\nA=3\n"


KEYS = st.sampled_from(["StressTester", "NumCores", "ProxyHost"])
VALUES = st.none() | st.text(alphabet="abc019.:", min_size=1)
WANTED = st.fixed_dictionaries(
    {}, optional={name: st.dictionaries(KEYS, VALUES) for name in ("", "PrimeNet")}
)
LINES = st.lists(
    st.text(alphabet="Aab=[]# \r9")
    | st.builds("{}={}".format, KEYS | st.just("ComputerGUID"), st.text(alphabet="xy9"))
    | st.sampled_from(["[PrimeNet]", "[Worker #1]"])
)


@given(LINES, WANTED)
def test_merging_again_changes_nothing(
    lines: list[str], wanted: dict[str, dict[str, str | None]]
) -> None:
    merged = merge("\n".join(lines), wanted)
    assert merge(merged, wanted) == merged


@given(LINES, WANTED)
def test_foreign_lines_are_kept_in_their_order(
    lines: list[str], wanted: dict[str, dict[str, str | None]]
) -> None:
    def foreign(text: str) -> list[str]:
        ours = ("stresstester", "numcores", "proxyhost")
        return [
            line
            for line in text.split("\n")
            if line.partition("=")[0].strip().lower() not in ours and line != "[PrimeNet]" and line
        ]

    text = "\n".join(lines)
    assert foreign(merge(text, wanted)) == foreign(text)
