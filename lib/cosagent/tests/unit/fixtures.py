"""What the tests of charms that may be traced share."""

from __future__ import annotations

import json
import sys

import ops
import pytest
from ops import hookcmds, testing

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


def check_traced(
    context: testing.Context[ops.CharmBase], state: testing.State, traced: list[str | None]
) -> None:
    """Check that a charm asked the backend of TRACES for OTLP, and sends its traces there."""
    (relation,) = state.get_relations("charm-tracing")
    assert isinstance(relation, testing.Relation)
    assert json.loads(relation.local_app_data["receivers"]) == ["otlp_http"]
    assert traced == ["http://172.30.0.9:4318/v1/traces"]
    assert context.trace_data


@pytest.fixture
def no_hook_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets hook tools fail, as outside of a hook, or where Juju has taken them away."""

    def fail(_: str) -> list[str]:
        raise hookcmds.Error(returncode=1, cmd=["relation-ids"])

    monkeypatch.setattr(hookcmds, "relation_ids", fail)
