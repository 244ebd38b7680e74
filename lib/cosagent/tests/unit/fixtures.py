"""What the tests of charms that may be traced share."""

from __future__ import annotations

import sys

import ops
import pytest
from ops import testing

TRACES = testing.Relation(
    "charm-tracing",
    remote_app_data={
        "receivers": '[{"protocol": {"name": "otlp_http", "type": "http"}, '
        '"url": "http://172.30.0.9:4318"}]'
    },
)
# Loaded, as where the package is installed and nothing keeps it from ops.
_OPS_TRACING = ops.tracing


@pytest.fixture(autouse=True)
def untraced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keeps ops from tracing, as in a unit that nobody asks for traces."""
    monkeypatch.setitem(sys.modules, "ops_tracing", None)
    monkeypatch.setattr(ops, "tracing", None)


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    """Lets ops trace, as in a unit that is related; holds where the traces are to go."""
    monkeypatch.setitem(sys.modules, "ops_tracing", _OPS_TRACING)
    monkeypatch.setattr(ops, "tracing", _OPS_TRACING)
    sent: list[str | None] = []
    monkeypatch.setattr("ops.tracing.set_destination", lambda url, ca: sent.append(url))
    return sent
