"""The transforms that Mlucas works with, as its file mlucas.cfg lists them.

Without a line for the length that an exponent takes, the program tests itself first, which fails
for short transforms, and then ends. So every length has one here that it can use: to 8192K, for
exponents beyond those that GIMPS hands out.

The radices are the fastest that passed its own self-test, residues included, with the build
without vector instructions that Debian calls mlucas-generic-c; below 40K they were also compared
with residues that Python's arithmetic gave. This is needed: 32, 16, 32 gives wrong residues
without any warning.
"""

from __future__ import annotations

import math

from mprime.assignments import Kind

# 9K, 11K, 13K, 15K and 30K prove too inaccurate at once. The program sees it, and moves on to the
# next length; without these lines it would not begin. That does not help below 8K, where only 6K
# works. A PRP test takes a first number of 16 or more: up to 80K, what is faster went first.
_RADICES = """
    6,16,32 8,16,32 9,16,32 10,32,16 11,16,32 6,8,8,16 13,16,32 14,16,32 15,16,32 8,8,8,16
    18,16,32 10,32,32 22,32,16 6,8,16,16 26,32,16 14,32,32 30,16,32 8,8,16,16 18,32,32
    10,8,16,16 22,32,32 48,16,32 52,16,32 14,8,16,16 60,16,32 8,16,16,16 18,8,16,16 10,16,16,16
    22,8,16,16 24,8,16,16 26,8,16,16 28,8,16,16 60,8,8,16 32,8,16,16 18,16,16,16 160,32,16
    22,16,16,16 24,16,16,16 208,16,32 28,16,16,16 60,8,16,16 32,16,16,16 36,16,16,16 160,8,8,16
    176,8,8,16 24,8,8,8,16 208,8,8,16 28,32,16,16 240,8,8,16 16,32,32,16 144,8,16,16
    40,32,16,16 176,8,16,16 192,8,16,16 208,8,16,16 224,8,16,16 240,8,16,16 128,16,16,16
    144,16,16,16 160,16,16,16 176,16,16,16 192,16,16,16 208,16,16,16 224,16,16,16 240,16,16,16
    128,16,16,32 144,8,8,8,16 160,8,8,8,16 176,8,8,8,16 192,16,16,32 208,16,16,32 224,16,16,32
    240,16,16,32 128,8,8,16,16 144,8,8,16,16 160,8,8,16,16 176,8,8,16,16 192,8,8,16,16
    208,8,8,16,16 224,16,32,32 240,16,32,32 256,8,8,16,16
"""

# The exponents that this build tests: those of 6K, short of the last, whose rounding errors grow
# too great where there is no next length; and those from 8K on, with PRP tests from 88K on. Builds
# for processors with fused multiplication put the limits of a length 0.5 % higher, so those are
# left out that either kind would take for another length's.
RANGES = {
    Kind.LL: ((110_019, 125_000), (152_919, 152_816_052)),
    Kind.PRP: ((1_659_159, 152_816_052),),
}


def make_table() -> str:
    """Return the text of mlucas.cfg for version 20.1.1; it refuses another version's."""
    lines = ["20.1.1"]
    for radices in (tuple(map(int, word.split(","))) for word in _RADICES.split()):
        length = math.prod(radices) // 512  # K, of real numbers where radices are of complex ones
        padded = "".join(f"{radix:3d}" for radix in (*radices, *(0,) * (10 - len(radices))))
        # Length and radices count. The times must rise with the length, or the program would take
        # a longer transform for a faster one; it wants the errors to be there, no more.
        lines.append(
            f"{length:10d}  msec/iter = {0.02 * length:7.2f}"
            f"  ROE[avg,max] = [0.250000000, 0.312500000]  radices = {padded}"
        )
    return "\n".join(lines) + "\n"


def is_ours(table: str) -> bool:
    """Return whether a table, whole or a part, is of this module's making, not tuned or added to
    by the program or an operator.
    """
    return set(table.splitlines()) <= set(make_table().splitlines())


def estimate_speed(exponent: int) -> float:
    """Return how many milliseconds an iteration takes on one slow core, at most.

    A core of 2024 took 0.02 to 0.03 for each K of the transform.
    """
    return 0.05 * exponent / 18_500
