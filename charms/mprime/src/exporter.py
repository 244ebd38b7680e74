"""Serves the metrics of a unit's search: what cosagent's service of systemd runs."""

from __future__ import annotations

from harvest import exporter
from mprime.metrics import describe_search
from mprime.search import SEARCH

if __name__ == "__main__":
    exporter.run(SEARCH, describe_search)
