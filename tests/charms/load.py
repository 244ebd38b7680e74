"""Loads the charms of this repository for their tests."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def load_charm(name: str) -> ModuleType:
    """Return the module `src/charm.py` of a test charm, under a name that no other charm has."""
    return load_module(Path(__file__).parent / name, "charm")


def load_module(charm: Path, name: str) -> ModuleType:
    """Return a module whose name other charms' have too, under one such as mprime_charm.

    Args:
        charm: the charm's directory.
        name: the module's, in its `src`.
    """
    source = charm / "src"
    if str(source) not in sys.path:
        sys.path.append(str(source))
    spec = importlib.util.spec_from_file_location(f"{charm.name}_{name}", source / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"{source} has no {name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
