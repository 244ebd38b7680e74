"""What all tests of the repository share."""

from __future__ import annotations

import yaml
from hypothesis import settings

# ops.testing reads a charm's YAML for each test and writes it for each event: a fifth of the unit
# tests' time with PyYAML's own parser, and next to nothing with libyaml's, which it comes with.
yaml.SafeLoader = yaml.CSafeLoader  # pyright: ignore
yaml.SafeDumper = yaml.CSafeDumper  # pyright: ignore

# How long an example may take depends on the machine, and no test here is about that.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
