"""charmhelpers, loaded where there is something to do with it, and not before.

Loading it takes a tenth of a second, since it asks apt-config for all settings: too much for hooks
that find everything done.

Of it, `fetch` serves here. `core.host.service_*` does not: it reads /etc/lsb-release, which Debian
does not have, and of a failure it returns False, where `hostkit.systemd` tells systemd's reason.
`core.sysctl.create` has no use, since no charm here sets any.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_DISTUTILS = "distutils.version"


def load_fetch() -> ModuleType:
    """Return `charmhelpers.fetch`, with what it wants to find on the system.

    It refuses systems that have another name than Ubuntu; Debian's apt is the same. And it imports
    a part of distutils, which Python has no longer since 3.12, for a function that nobody calls
    here.
    """
    stand_in = ModuleType(_DISTUTILS)
    vars(stand_in)["LooseVersion"] = None
    before = sys.modules.get(_DISTUTILS)
    sys.modules[_DISTUTILS] = stand_in
    try:
        osplatform = importlib.import_module("charmhelpers.osplatform")
        vars(osplatform)["get_platform"] = lambda: "ubuntu"
        return importlib.import_module("charmhelpers.fetch")
    finally:
        del sys.modules[_DISTUTILS]
        if before is not None:
            sys.modules[_DISTUTILS] = before
