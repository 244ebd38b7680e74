"""The library that loads BPF programs: opening it, and telling what it says.

What libbpf and the kernel's verifier say goes to the logger of this module: a charm's to its
unit's log, and nowhere unless somebody listens.
"""

from __future__ import annotations

import ctypes
import logging
import re
from collections import deque
from collections.abc import Sequence
from functools import cache
from typing import Any

from fannet.errors import KernelError

_logger = logging.getLogger(__name__)
_logger.addHandler(logging.NullHandler())  # or Python prints warnings that nobody listens to

# Ubuntu 22.04 has libbpf 0.5; what is used here is the same in all.
_LIBRARIES = ("libbpf.so.1", "libbpf.so.0")
_DEBUG = 2  # LIBBPF_DEBUG, of enum libbpf_print_level
_DIRECT_ERRORS = 2  # LIBBPF_STRICT_DIRECT_ERRS: negative error numbers, as from 1.0 on
_PRINT = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
# Lines that only frame the reason, or count what the verifier did.
_FRAME = re.compile(
    r"failed to load(:| program| object)|program load failed|load bpf program failed"
    r"|^-- (BEGIN|END) |: -- BEGIN |^(processed \d+ insns|verification time|stack depth)"
)
_said: deque[str] = deque(maxlen=1000)  # the verifier may tell each step; the reason is the last


@cache
def open_library() -> Any:
    """Return libbpf, by ctypes.

    Raises:
        KernelError: it is not on this machine.
    """
    for name in _LIBRARIES:
        try:
            library = ctypes.CDLL(name)
        except OSError:
            continue
        library.libbpf_set_strict_mode(_DIRECT_ERRORS)
        library.libbpf_set_print(_hear)
        for function in ("open_mem", "find_program_by_name", "find_map_by_name"):
            getattr(library, f"bpf_object__{function}").restype = ctypes.c_void_p
        library.libbpf_get_error.restype = ctypes.c_long
        library.libbpf_get_error.argtypes = [ctypes.c_void_p]
        library.bpf_map_update_elem.argtypes = [
            ctypes.c_int,
            ctypes.c_char_p,
            ctypes.c_char_p,
            ctypes.c_uint64,
        ]
        return library
    raise KernelError(
        f"{' or '.join(_LIBRARIES)} is needed to load BPF programs, and is missing; "
        "install iproute2, which depends on it"
    )


def check(result: int, what: str) -> int:
    """Return what a function of libbpf returned.

    Raises:
        KernelError: it is an error's number.
    """
    if result < 0:
        raise KernelError(f"{what}: {_name_error(result)}")
    return result


def listen() -> None:
    """Forget what libbpf said, so that `explain` tells what it says from here on."""
    _said.clear()


def explain(result: int, what: str) -> None:
    """Check a result as `check` does, log what libbpf said since `listen`, and tell the reason.

    Raises:
        KernelError: it is an error's number; the text ends with the reason.
    """
    for line in _said:
        _logger.log(logging.ERROR if result < 0 else logging.DEBUG, "%s", line)
    if result < 0:
        reason = find_reason(_said)
        raise KernelError(f"{what}: {_name_error(result)}" + (f" ({reason})" if reason else ""))


def find_reason(lines: Sequence[str]) -> str:
    """Return the last line that says why something failed; empty if none does."""
    told = (line.removeprefix("libbpf: ").strip() for line in reversed(lines))
    return next((line for line in told if line and not _FRAME.search(line)), "")[:300]


def _name_error(result: int) -> str:
    """Return what an error's number means; libbpf has some of its own beside the kernel's."""
    text = ctypes.create_string_buffer(200)
    open_library().libbpf_strerror(result, text, ctypes.c_size_t(len(text)))
    return text.value.decode(errors="replace")


@_PRINT
def _hear(level: int, form: bytes, values: int) -> int:
    """Take what libbpf prints; `values` is a pointer to it in every ABI that Linux has here."""
    if level >= _DEBUG:
        return 0
    text = ctypes.c_char_p()
    libc = ctypes.CDLL(None)
    length = libc.vasprintf(ctypes.byref(text), ctypes.c_char_p(form), ctypes.c_void_p(values))
    if length >= 0:
        _said.extend((text.value or b"").decode(errors="replace").splitlines())
        libc.free(text)
    return 0
