"""The steps of a change to this machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fannet.errors import KernelError
from fannet.netlink import NetlinkError


class Steps:
    """Takes note of what is to be done, and does it, unless it is only to be told.

    Attributes:
        words: what was done, or would be, in words.
    """

    def __init__(self, *, pretend: bool = False):
        self.pretend = pretend
        self.words: list[str] = []

    def do(self, step: str, action: Callable[[], Any]) -> None:
        """Do one thing.

        Raises:
            KernelError: the kernel refused it.
        """
        self.words.append(step)
        if self.pretend:
            return
        try:
            action()
        except NetlinkError as error:
            raise KernelError(f"could not {step}: {error.strerror}") from error
