"""Holds charms to what `requirements/` pins: the versions, and the hashes of the files."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import tomli

# A line `name==version ; marker`, whose hashes are in the lines below it, which are indented.
_REQUIREMENT = re.compile(r"^([a-z0-9][^ =]*)==([^ ;\\]+)([^\\\n]*?) *\\?$")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")


class UnpinnedError(Exception):
    """A charm would be packed with something that is not pinned; the text names it."""


@dataclass(frozen=True)
class Pins:
    """The packages that may be installed.

    Attributes:
        requirements: as a requirements file has them, such as `tomli==2.4.0 ; marker`.
        hashes: of the files of each package, by its name and version, as `sha256:…`.
    """

    requirements: list[str]
    hashes: dict[tuple[str, str], set[str]]


def read_pins(file: Path) -> Pins:
    """Read a requirements file with hashes."""
    requirements: list[str] = []
    hashes: dict[tuple[str, str], set[str]] = {}
    current: set[str] = set()
    for line in file.read_text().splitlines():
        if match := _REQUIREMENT.match(line):
            name, version, marker = match.groups()
            requirements.append(f"{name}=={version}{marker}")
            current = hashes.setdefault((name, version), set())
        current.update(_HASH.findall(line))
    return Pins(requirements, hashes)


def strip_lock(lock: str, pins: Pins) -> str:
    """Return a uv.lock without the files whose hashes are not pinned.

    What somebody adds to a version after it was pinned is left out so, and what takes the place
    of a file is refused.

    Raises:
        UnpinnedError: a package from an index has no file, or no version, that is pinned.
    """
    kept: list[str] = []
    package: tuple[str, str] = ("", "")
    for line in lock.splitlines():
        if match := re.match(r'name = "(.+)"$', line):
            package = (match[1], "")
        elif match := re.match(r'version = "(.+)"$', line):
            package = (package[0], match[1])
        found = _HASH.search(line) if " url = " in line else None
        if found is None or found[0] in pins.hashes.get(package, set()):
            kept.append(line)
    stripped = "\n".join(kept) + "\n"
    for each in tomli.loads(stripped).get("package", []):
        if "registry" in each["source"] and not each.get("wheels"):
            raise UnpinnedError(
                f"{each['name']} {each['version']} has no wheel whose hash is in requirements/;"
                " compile dev.txt again, as CONTRIBUTING.md describes"
            )
    return stripped
