from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from lib.fannet.tests.integration.kit import Lab


@pytest.fixture
def lab() -> Iterator[Lab]:
    with ExitStack() as stack:
        yield Lab(stack)
