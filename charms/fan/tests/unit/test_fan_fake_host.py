"""The machine in memory stands in for the real one, so what it takes must be what that takes."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from charms.fan.tests.unit.fake_host import Host
from fan.system import System

NAMES = [name for name, member in vars(System).items() if isinstance(member, staticmethod)]


@pytest.mark.parametrize("name", NAMES)
def test_the_machine_in_memory_takes_what_the_real_one_takes(host: Host, name: str) -> None:
    real, real_names = count(getattr(System, name))
    fake, fake_names = count(getattr(host, name))
    assert fake <= real
    assert fake_names <= real_names


def count(function: Callable[..., Any]) -> tuple[int, set[str]]:
    """How many arguments may be given by their places, and which by their names."""
    parameters = inspect.signature(function).parameters.values()
    by_name = {each.name for each in parameters if each.kind is not each.POSITIONAL_ONLY}
    places = [each for each in parameters if each.kind is not each.KEYWORD_ONLY]
    return len(places), by_name - {each.name for each in places if each.name == "_"}
