"""Settings files that a program reads and rewrites: key=value, then [sections] of it."""

from __future__ import annotations

from collections.abc import Mapping

# By section, of which the first has the name "", and by key; None takes a key out.
Wanted = Mapping[str, Mapping[str, "str | None"]]


def merge(text: str, wanted: Wanted) -> str:
    """Return a settings file with some keys as they should be, and all else as it was.

    Keys and sections count regardless of case. A line that says already
    what it should is kept unchanged, so merging again changes nothing.
    """
    lines = text.split("\n")
    if lines[-1] == "":
        lines.pop()
    for section, keys in wanted.items():
        for key, value in keys.items():
            lines = _set_key(lines, section, key, value)
    return "".join(f"{line}\n" for line in lines)


def _set_key(lines: list[str], section: str, key: str, value: str | None) -> list[str]:
    kept: list[str] = []
    current, end, found = "", 0 if section == "" else None, False
    for line in lines:
        if name := _read_section(line):
            current = name
        there, _, said = line.partition("=")
        if current == section.lower() and there.strip().lower() == key.lower() and not name:
            if value is None or found:
                continue
            found = True
            line = line if said.strip() == value else f"{key}={value}"
        kept.append(line)
        if current == section.lower() and line.strip():
            end = len(kept)
    if value is not None and not found:
        if end is None:
            kept.append(f"[{section}]")
            end = len(kept)
        kept.insert(end, f"{key}={value}")
    return kept


def _read_section(line: str) -> str:
    """Return the name of the section that a line begins, in small letters; empty if none."""
    line = line.strip()
    return line[1:-1].lower() if line.startswith("[") and line.endswith("]") else ""
