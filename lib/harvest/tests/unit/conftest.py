from __future__ import annotations

import pytest

from lib.harvest.tests.unit.fake_host import LARGE, SMALL, Host
from lib.harvest.tests.unit.fixtures import MakeHost, kernel, make_host, owners, untraced

__all__ = ["kernel", "make_host", "owners", "untraced"]


@pytest.fixture
def host(make_host: MakeHost) -> Host:
    return make_host(Host, "digits", recipes={"small": SMALL, "large": LARGE})
