"""Loads the charms of this repository for their tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load_charm(name: str) -> ModuleType:
    """Return the module `src/charm.py` of a test charm, under a name that no other charm has."""
    source = Path(__file__).parent / name / "src"
    if str(source) not in sys.path:
        sys.path.append(str(source))
    spec = importlib.util.spec_from_file_location(f"{name}_charm", source / "charm.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{source} has no charm.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
