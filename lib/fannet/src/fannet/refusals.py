"""What the kernel's refusals of a fan's devices mean, in words."""

from __future__ import annotations

import errno

from fannet.errors import ConflictError, FannetError, KernelError
from fannet.fan import Fan


def refuse_port(port: int) -> ConflictError:
    """Return the error for a UDP port that somebody has."""
    return ConflictError(
        f"UDP port {port} is in use on this machine, such as by another vxlan device; "
        "give the fan another port, the same on all of its hosts"
    )


def explain(error: KernelError, fan: Fan) -> FannetError:
    """Turn the kernel's refusals that have a plain cause into errors that name it."""
    code = getattr(error.__cause__, "errno", None)
    if code in (errno.EADDRINUSE, errno.EEXIST) and fan.encapsulation == "vxlan":
        return refuse_port(fan.port)
    if code == errno.EEXIST:
        return ConflictError(
            "another ipip device in external mode is there, and the kernel takes only one; "
            "remove it, or use the encapsulation vxlan"
        )
    if code == errno.EOPNOTSUPP:
        return KernelError(
            f"this kernel has no {fan.encapsulation} devices, or not the module for them; "
            "use another encapsulation"
        )
    return error
