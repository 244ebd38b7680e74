from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostkit import agents

APPLICATIONS = st.from_regex(r"[a-z][a-z0-9]*(-[a-z0-9]*[a-z][a-z0-9]*)*", fullmatch=True)
UNITS = st.builds("{}/{}".format, APPLICATIONS, st.integers(0, 10**6))


@given(UNITS)
def test_an_agents_folder_tells_its_unit(unit: str) -> None:
    assert agents.unit_of(agents.folder_of(unit)) == unit


@given(APPLICATIONS, st.lists(st.integers(0, 10**9), min_size=1))
def test_units_sort_by_number(application: str, numbers: list[int]) -> None:
    units = sorted((f"{application}/{number}" for number in numbers), key=agents.order)
    assert units == [f"{application}/{number}" for number in sorted(numbers)]


@pytest.mark.parametrize(
    ("applications", "has"), [(["apache2"], True), (["haproxy"], False), ([], False)]
)
def test_a_unit_has_its_principal_while_a_relation_to_its_application_is_there(
    monkeypatch: pytest.MonkeyPatch, applications: list[str], has: bool
) -> None:
    monkeypatch.setenv("JUJU_PRINCIPAL_UNIT", "apache2/1")
    assert agents.has_principal(applications) is has
