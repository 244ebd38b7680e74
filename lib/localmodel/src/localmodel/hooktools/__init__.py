"""The hook tools: what each answers, in the shapes that ops and Juju's documentation name."""

from __future__ import annotations

from localmodel.hooktools import general, secrets
from localmodel.hooktools.registry import Answer, run_tool, tool_names

__all__ = ["Answer", "general", "run_tool", "secrets", "tool_names"]
