from __future__ import annotations

import pytest

from localmodel.errors import LocalModelError
from localmodel.machines.processes import run


def test_a_program_that_is_missing_is_told_with_what_to_install() -> None:
    with pytest.raises(LocalModelError, match=r"mmdebstrap is missing: install iproute2, .*mmdeb"):
        run("/nonexistent/mmdebstrap")


def test_a_program_that_fails_is_told_with_its_last_words() -> None:
    with pytest.raises(LocalModelError, match=r"^/bin/sh -c .*: no such luck$"):
        run("/bin/sh", "-c", "echo first >&2; echo no such luck >&2; exit 3")
