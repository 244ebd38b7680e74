"""Route netlink, rtnetlink(7): what the kernel is asked, and what it answers.

The messages' formats are pyroute2's. The exchange is not: pyroute2's is built on asyncio, and to
import both takes longer than all else that `fanctl up` does.
"""

from __future__ import annotations

import importlib
import itertools
import socket
import struct
import sys
from collections.abc import Mapping
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from types import ModuleType
from typing import Any

_PACKAGE = "pyroute2"


def _defer(spec: ModuleSpec) -> ModuleType:
    """Return a package whose parts can be imported, and whose own code runs when it is needed.

    The package itself imports all that it has.
    """
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

from pyroute2.netlink import rtnl  # noqa: E402 - it is deferred before
from pyroute2.netlink.exceptions import NetlinkError  # noqa: E402
from pyroute2.netlink.rtnl.ifaddrmsg import ifaddrmsg  # noqa: E402
from pyroute2.netlink.rtnl.ifinfmsg import ifinfmsg  # noqa: E402
from pyroute2.netlink.rtnl.rtmsg import rtmsg  # noqa: E402

# <linux/netlink.h>
DUMP = 0x300  # of requests that read: all there is
REPLACE, EXCLUSIVE, CREATE = 0x100, 0x200, 0x400  # of requests that make something
_REQUEST, _ACKNOWLEDGE = 0x1, 0x4
_INTERRUPTED = 0x10  # of answers: what was read changed meanwhile
_ERROR, _DONE = 2, 3  # kinds of answers
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, kind, flags, number, port
_CODE = struct.Struct("=i")  # what answers of these two kinds begin with
_LARGEST = 1 << 16  # bytes, of which the kernel fills half at most

Attributes = Mapping[str, Any]  # by name, such as IFLA_MTU

__all__ = [
    "CREATE",
    "DUMP",
    "EXCLUSIVE",
    "REPLACE",
    "Attributes",
    "Netlink",
    "NetlinkError",
    "ifaddrmsg",
    "ifinfmsg",
    "nest",
    "rtmsg",
    "rtnl",
]


class Netlink:
    """A socket to the kernel, of the network namespace in which it was opened."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        self._socket.connect((0, 0))  # to the kernel, so nobody else can answer
        self._numbers = itertools.count(1)

    def __enter__(self) -> Netlink:
        return self

    def __exit__(self, *error: object) -> None:
        self._socket.close()

    def request(
        self,
        kind: int,
        form: type,
        modifiers: int = 0,
        attributes: Attributes | None = None,
        **fields: int,
    ) -> list[Any]:
        """Ask the kernel for something.

        Args:
            kind: an RTM_ constant of <linux/rtnetlink.h>.
            form: what messages of this kind look like: a class of pyroute2's.
            modifiers: DUMP, or others of the above together.
            attributes: of the message.
            fields: what the message begins with.

        Returns:
            The kernel's answers, of the same form; none if it had only to do something.

        Raises:
            NetlinkError: the kernel refused; `code` is its errno.
        """
        number = next(self._numbers)
        message = form()
        message.update(fields)
        message.update(nest(attributes or {}))
        message["header"] = {
            "type": kind,
            "flags": _REQUEST | _ACKNOWLEDGE | modifiers,
            "sequence_number": number,
        }
        message.encode()
        answers = None
        while answers is None:
            self._socket.send(message.data)
            answers = self._receive(number, form)
        return answers

    def _receive(self, number: int, form: type) -> list[Any] | None:
        """Return the answers to a request; None if they don't belong together."""
        answers = []
        is_whole = True
        while True:
            data = self._socket.recv(_LARGEST)
            offset = 0
            while offset < len(data):
                length, kind, flags, answered, _ = _HEADER.unpack_from(data, offset)
                part = data[offset : offset + length]
                offset += (length + 3) & ~3
                if answered != number:
                    continue
                is_whole &= not flags & _INTERRUPTED
                if kind in (_ERROR, _DONE):
                    (code,) = _CODE.unpack_from(part, _HEADER.size)
                    if code:
                        raise NetlinkError(-code)
                    return answers if is_whole else None
                answer = form(part)
                answer.decode()
                answers.append(answer)


def nest(attributes: Attributes) -> dict[str, Any]:
    """Return attributes as the value of another, which holds them."""
    return {"attrs": list(attributes.items())}
