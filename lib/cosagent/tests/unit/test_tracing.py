from __future__ import annotations

import sys
from types import SimpleNamespace

import ops
import pytest
from ops import hookcmds

from cosagent import tracing
from lib.cosagent.tests.unit.fixtures import no_hook_tools

__all__ = ["no_hook_tools"]


@pytest.mark.parametrize("related", [[], ["charm-tracing:7"]])
def test_ops_gets_its_tracing_only_where_somebody_takes_the_traces(
    monkeypatch: pytest.MonkeyPatch, related: list[str]
) -> None:
    package = SimpleNamespace()
    monkeypatch.setitem(sys.modules, "ops_tracing", None)
    monkeypatch.setattr(ops, "tracing", None)
    monkeypatch.setattr(hookcmds, "relation_ids", lambda _: related)
    monkeypatch.setattr("importlib.import_module", lambda _: package)
    tracing.load_if_related()
    assert ops.tracing is (package if related else None)
    assert ("ops_tracing" in sys.modules) == (not related)


def test_outside_of_a_hook_nothing_is_traced(no_hook_tools: None) -> None:
    before = ops.tracing
    tracing.load_if_related()
    assert ops.tracing is before
