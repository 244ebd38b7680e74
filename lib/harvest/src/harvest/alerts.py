"""The alerts that all such charms have: harvest.rules, in a charm's own words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harvest.workload import Workload

_RULES = Path(__file__).with_name("harvest.rules")


def make_rules(workload: Workload[Any, Any]) -> str:
    """Return the rules for a charm, as Prometheus has them in a file. Raises OSError."""
    words = {
        "alert": "".join(word.capitalize() for word in workload.name.split("-")),
        "name": workload.name,
        "noun": workload.noun,
        "prefix": workload.prefix,
    }
    text = _RULES.read_text()
    for mark, word in words.items():
        text = text.replace(f"%%{mark}%%", word)
    return text
