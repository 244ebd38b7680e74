"""What all tests of the repository share."""

from __future__ import annotations

import gc

import yaml
from hypothesis import settings

# ops.testing reads a charm's YAML for each test and writes it for each event: a fifth of the unit
# tests' time with PyYAML's own parser, and next to nothing with libyaml's, which it comes with.
yaml.SafeLoader = yaml.CSafeLoader  # pyright: ignore
yaml.SafeDumper = yaml.CSafeDumper  # pyright: ignore

# To look for garbage, again and again, among all that was imported and collected took a seventh of
# the unit tests' time.
gc.disable()

# How long an example may take depends on the machine, and no test here is about that.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    """Begin to look for garbage, in a process that runs tests, and only among what they make."""
    gc.freeze()
    gc.enable()
