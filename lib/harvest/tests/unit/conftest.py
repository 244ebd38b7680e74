from __future__ import annotations

import pytest

from lib.cosagent.tests.unit.fixtures import untraced
from lib.harvest.tests.unit.fake_host import LARGE, SMALL, Host
from lib.harvest.tests.unit.fixtures import MakeHost, kernel, make_host, owners

__all__ = ["kernel", "make_host", "owners", "untraced"]


@pytest.fixture
def host(make_host: MakeHost) -> Host:
    return make_host(Host, "digits", recipes={"small": SMALL, "large": LARGE})
