"""IPRoute of pyroute2, without the rest of pyroute2.

The package imports all that it has, which takes longer than anything else that `fanctl up` does.
Here its own code runs only once somebody asks the package for a name of its own.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

_PACKAGE = "pyroute2"


def _defer(spec: ModuleSpec) -> ModuleType:
    """Return a package whose parts can be imported, and whose own code runs when it is needed."""
    module = module_from_spec(spec)

    def find(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if find_spec(f"{_PACKAGE}.{name}"):
            return importlib.import_module(f"{_PACKAGE}.{name}")
        if vars(module).pop("__getattr__", None) and spec.loader:
            spec.loader.exec_module(module)
        return getattr(module, name)

    vars(module)["__getattr__"] = find  # PEP 562: asked for what the module does not have
    return module


_spec = find_spec(_PACKAGE) if _PACKAGE not in sys.modules else None
if _spec:
    sys.modules[_PACKAGE] = _defer(_spec)

from pyroute2.iproute.linux import IPRoute  # noqa: E402 - it is deferred before
from pyroute2.netlink.exceptions import NetlinkError  # noqa: E402

__all__ = ["IPRoute", "NetlinkError"]
