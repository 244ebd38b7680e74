from __future__ import annotations

import pytest

from lib.dockerhost.tests.unit.api import Api


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    api = Api()
    monkeypatch.setattr("dockerhost.connection.Client", lambda **_: api)
    return api
