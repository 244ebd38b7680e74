"""The reference shows all that the charms' files and fanctl's parser have."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from docs._ext.reference import (
    code,
    expand,
    make_table,
    prose,
    read_dashboard,
    read_rules,
    read_words,
)
from fannet.cli.parser import make_verbs
from fannet.fanfile import FLAGS
from harvest.options import Options
from harvest.workload import Workload

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs" / "reference"
CHARMS = sorted(file.parent for file in ROOT.glob("charms/*/charmcraft.yaml"))
EACH_CHARM = pytest.mark.parametrize("charm", CHARMS, ids=lambda charm: charm.name)
COLUMNS = re.compile(r"(?<!\\)\|")


def build(page: str) -> str:
    return expand((PAGES / f"{page}.md").read_text(), ROOT)


def read_first_column(text: str) -> set[str]:
    return set(re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE))


@EACH_CHARM
def test_a_charms_page_has_its_options_actions_endpoints_and_resources(charm: Path) -> None:
    metadata = yaml.safe_load((charm / "charmcraft.yaml").read_text())
    endpoints = [metadata.get(role, {}) for role in ("requires", "provides", "peers")]
    tables = [metadata["config"]["options"], metadata["actions"], *endpoints]
    expected = {name for table in (*tables, metadata.get("resources", {})) for name in table}
    alerts = {rule["alert"] for rule in read_rules(charm)}
    assert read_first_column(build(charm.name)) == expected | alerts


@EACH_CHARM
def test_a_charms_page_has_the_parameters_of_its_actions(charm: Path) -> None:
    text = build(charm.name)
    for name, action in yaml.safe_load((charm / "charmcraft.yaml").read_text())["actions"].items():
        for parameter, schema in action.get("params", {}).items():
            (row,) = re.findall(rf"^\| `{name}` \| `{parameter}` \| .*$", text, re.MULTILINE)
            assert ("required" in row) == (parameter in action.get("required", []))
            assert prose(schema["description"]) in row


@EACH_CHARM
def test_a_charms_page_has_the_panels_of_its_dashboard(charm: Path) -> None:
    shown = [each for each in read_dashboard(charm)["panels"] if each.get("targets")]
    assert len(shown) >= 10
    text = build(charm.name).partition("## Dashboard")[2]
    assert len(re.findall(r"^\| [A-Z]", text, re.MULTILINE)) == len(shown)
    for panel in shown:
        assert f"| {panel['title']} | {prose(panel['description'])} |" in text
    assert "$" not in text


@EACH_CHARM
def test_a_charms_page_has_no_mark_that_is_filled_in_elsewhere(charm: Path) -> None:
    text = build(charm.name)
    assert "%%" not in text
    assert "{{" not in text
    assert "```{" not in text


@pytest.mark.parametrize(
    ("charm", "noun_"),
    [("mprime", "search"), ("golden-ratio", "computation"), ("spare", "program")],
)
def test_what_harvest_makes_is_shown_in_the_words_that_the_charm_has_it_in(
    charm: str, noun_: str
) -> None:
    class Work(Workload[Options, None]):
        name = charm
        noun = noun_

    found, work = read_words(ROOT / "charms" / charm), Work()
    assert (found.name, found.noun, found.prefix) == (work.name, work.noun, work.prefix)


def test_a_charm_that_does_not_say_what_its_container_does_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"no class in {tmp_path}/src has a line 'noun = "):
        read_words(tmp_path)


def test_fanctls_page_has_each_command_and_flag() -> None:
    text = build("fanctl-commands")
    assert re.findall(r"^## fanctl (\w+)$", text, re.MULTILINE) == list(make_verbs())
    up = text.partition("## fanctl down")[0]
    for name, flag in FLAGS.items():
        assert f"| `--{name}{flag.value and ' '}{flag.value or ''}` | {prose(flag.help)} |" in up


def test_a_block_of_another_name_is_left_to_sphinx() -> None:
    text = "```{charm-colours} mprime\n```\n\n```{toctree}\n```\n"
    assert expand(text, ROOT) == text


def test_a_charm_that_is_not_there_is_named() -> None:
    with pytest.raises(OSError, match=r"prime-charm/charmcraft\.yaml"):
        expand("```{charm-options} prime-charm\n```\n", ROOT)


@given(st.text(), st.text())
def test_no_text_breaks_a_table(first: str, second: str) -> None:
    table = make_table(("option", "what it does"), [(code(first), prose(second))])
    lines = table.split("\n")
    assert len(lines) == 4
    assert [len(COLUMNS.findall(line)) for line in lines] == [3, 3, 3, 0]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("as `docker save` writes it", "as `docker save` writes it"),
        ("what `a|b` is", r"what `a\|b` is"),
        ("du /var/*, or <none>", r"du /var/\*, or \<none\>"),
        ("two\nlines", "two lines"),
    ],
)
def test_plain_text_is_shown_as_it_is(text: str, shown: str) -> None:
    assert prose(text) == shown
