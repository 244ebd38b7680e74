"""Whether the kernel has inotify instances left for one more machine.

The machines' processes are the host's root, who may have so many in all (inotify(7),
`/proc/sys/fs/inotify/max_user_instances`). A machine that gets none hangs half booted, or dies
without a word.
"""

from __future__ import annotations

import ctypes
import errno
import os
from pathlib import Path

from localmodel.errors import LocalModelError

# What a machine's systemd, message bus and Docker Engine take, which is 10 on Ubuntu 22.04 with
# Docker 29, and two for its charms.
PER_MACHINE = 12

# The limit of the whole host, and that of the user namespace that this process is in.
LIMITS = {
    "fs.inotify.max_user_instances": Path("/proc/sys/fs/inotify/max_user_instances"),
    "user.max_inotify_instances": Path("/proc/sys/user/max_inotify_instances"),
}


def require_instances(machines: int) -> None:
    """Check that so many machines can boot.

    Raises: LocalModelError that says how many instances are used, and what to set.
    """
    wanted = machines * PER_MACHINE
    free = count_free(wanted)
    if free == wanted:
        return
    limits = {name: int(file.read_text()) for name, file in LIMITS.items() if file.exists()}
    name = min(limits, key=lambda n: limits[n])
    limit = limits[name]
    raise LocalModelError(
        f"{limit - free} of {limit} inotify instances are in use, and a machine needs"
        f" {PER_MACHINE} to boot: run 'sysctl -w {name}={max(1024, 2 * limit)}', and put"
        f" '{name} = {max(1024, 2 * limit)}' into a file in /etc/sysctl.d to keep it"
    )


def count_free(most: int) -> int:
    """Return how many inotify instances are free, up to `most`: make them, and close them.

    To count those in use is slower, and inexact where processes share one.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    taken: list[int] = []
    try:
        while len(taken) < most:
            descriptor = libc.inotify_init1(os.O_CLOEXEC)
            if descriptor < 0:
                if ctypes.get_errno() != errno.EMFILE:
                    raise OSError(ctypes.get_errno(), "inotify_init1 failed")
                break
            taken.append(descriptor)
    finally:
        for descriptor in taken:
            os.close(descriptor)
    return len(taken)
