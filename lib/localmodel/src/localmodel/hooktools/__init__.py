"""The hook tools, a module for each subject: what they answer, in the shapes ops and Juju know."""

from __future__ import annotations

# Each registers its tools.
from localmodel.hooktools import action, config, network, relation, secret, status, storage, unit
from localmodel.hooktools.registry import Answer, list_tools, run_tool

__all__ = [
    "Answer",
    "action",
    "config",
    "list_tools",
    "network",
    "relation",
    "run_tool",
    "secret",
    "status",
    "storage",
    "unit",
]
