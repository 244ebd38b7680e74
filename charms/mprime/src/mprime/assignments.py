"""What a search is to test: assignments, how they are written, and those that actions ordered."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from harvest.workdir import read_file
from hostkit import files

_GREATEST = 2**32  # exclusive; what is_prime is proven for, and far beyond what anybody tests
_MANY = 1000  # more than a single machine's work list has
_NUMBER = re.compile(r"M?([0-9]{1,20})", re.IGNORECASE)
# An assignment's id, and what a line may have before its number, such as FFT2=4480K.
_ID = r"(?:(?:N/A|[0-9A-F]{32}),)?(?:[A-Z][A-Z0-9]{0,9}=[^,=]{0,40},){0,8}"
_HEADER = re.compile(r"\[Worker #[0-9]{1,4}\]", re.IGNORECASE)
_COMMENTS = ("#", ";", "//")
_LL = re.compile(rf"(?:Test|DoubleCheck)={_ID}([0-9]{{1,20}})(?:,.*)?", re.IGNORECASE)
_PRP = re.compile(rf"PRP(?:DC)?={_ID}1,2,([0-9]{{1,20}}),-1(?:,.*)?", re.IGNORECASE)
_ALLOWED = "give exponents, such as 216091, or GIMPS's own lines, such as PRP=1,2,216091,-1"


class Kind(str, Enum):
    """The test: Lucas and Lehmer's, which proves, or Fermat's, whose errors are found out."""

    LL = "ll"
    PRP = "prp"


@dataclass(frozen=True)
class Assignment:
    """An exponent p, and how 2^p - 1 is to be tested."""

    exponent: int
    kind: Kind = Kind.LL


# Exponents of known Mersenne primes, so that every result can be checked: two that are done within
# two minutes of one core, then some that keep it busy for about 10 min, 30 min, 35 min, 2.5 h,
# 14 h and 56 h.
KNOWN_PRIMES = tuple(
    Assignment(exponent)
    for exponent in (110503, 216091, 756839, 1257787, 1398269, 2976221, 6972593, 13466917)
)


def is_exponent(number: int) -> bool:
    """Return whether a number can be the exponent of a test: 2 to 2^32."""
    return 2 <= number < _GREATEST


def is_prime(number: int) -> bool:
    """Return whether a number below 2^32 is prime.

    Miller and Rabin's test is certain there for the bases 2, 7 and 61 (Jaeschke, "On strong
    pseudoprimes to several bases", 1993).
    """
    if number < 2 or number % 2 == 0:
        return number == 2
    twos = (number - 1 & 1 - number).bit_length() - 1
    odd = number - 1 >> twos
    for base in (2, 7, 61):
        power = pow(base, odd, number)
        if base % number == 0 or power == 1:
            continue
        for _ in range(twos):
            if power == number - 1:
                break
            power = power * power % number
        else:
            return False
    return True


def find_factor(number: int) -> int:
    """Return the smallest factor above 1 of a number from 2 to 2^32."""
    if number % 2 == 0:
        return 2
    return next((f for f in range(3, 2**16, 2) if number % f == 0 and f < number), number)


def check_exponent(exponent: int) -> int:
    """Return an exponent that a Mersenne prime can have.

    Raises:
        ValueError: it is none; the text says which, and its smallest factor.
    """
    if not is_exponent(exponent):
        raise ValueError(f"{exponent} is out of range; give a prime below 2^32")
    if not is_prime(exponent):
        factor = find_factor(exponent)
        raise ValueError(
            f"{exponent} is {factor} * {exponent // factor}, so 2^{exponent} - 1 is not prime; "
            "give a prime exponent"
        )
    return exponent


def parse_exponents(text: str) -> tuple[int, ...]:
    """Return the exponents in a text such as `216091, M756839`, each once, in its order.

    Raises:
        ValueError: there are none, too many, or what is there is no prime.
    """
    words = re.split(r"[,\s]+", text.strip(" ,\t\r\n"))
    if words == [""]:
        raise ValueError("names no exponent; give some, such as 216091,756839")
    if len(words) > _MANY:
        raise ValueError(f"has {len(words)} exponents; give up to {_MANY}")
    found: list[int] = []
    for word in words:
        match = _NUMBER.fullmatch(word)
        if not match:
            raise ValueError(f"{word[:40]!r} is not an exponent; {_ALLOWED}")
        found.append(check_exponent(int(match[1])))
    return tuple(dict.fromkeys(found))


def parse_worktodo(text: str) -> tuple[Assignment, ...]:
    """Return the assignments in a work list, each once, in its order; none for an empty text.

    A line is one of GIMPS's own (`Test=`, `DoubleCheck=` or `PRP=`; their other fields count for
    nothing here, where no server gave them), or holds exponents for Lucas-Lehmer tests. Comments
    and headers such as `[Worker #1]` are passed over.

    Raises:
        ValueError: it is not such a list, or an exponent is not prime, or listed for two tests.
    """
    found: list[Assignment] = []
    for line in map(str.strip, text.splitlines()):
        if line.startswith(_COMMENTS) or _HEADER.fullmatch(line):
            continue
        if match := _LL.fullmatch(line):
            found.append(Assignment(check_exponent(int(match[1]))))
        elif match := _PRP.fullmatch(line):
            if '"' in line:
                raise ValueError(
                    f"{line[:60]!r} tests a cofactor, which says nothing about "
                    f"2^{match[1]} - 1; leave out the known factors, or the line"
                )
            found.append(Assignment(check_exponent(int(match[1])), Kind.PRP))
        elif "=" in line:
            raise ValueError(f"{line[:40]!r} is not a line of a work list; {_ALLOWED}")
        elif line.strip(","):
            found += map(Assignment, parse_exponents(line))
    if len(found) > _MANY:
        raise ValueError(f"has {len(found)} exponents; give up to {_MANY}")
    return merge_work(found)


def merge_work(*lists: Iterable[Assignment]) -> tuple[Assignment, ...]:
    """Return the assignments of several lists, each once, the first list's first.

    Raises:
        ValueError: an exponent is listed for two tests, which would overwrite each other's work.
    """
    merged: dict[int, Assignment] = {}
    for assignment in (each for work in lists for each in work):
        other = merged.setdefault(assignment.exponent, assignment)
        if other.kind is not assignment.kind:
            raise ValueError(
                f"M{assignment.exponent} is listed for a Lucas-Lehmer test and for a PRP test; "
                "give one of them"
            )
    return tuple(merged.values())


def read_orders(file: Path) -> tuple[Assignment, ...]:
    """Return what actions ordered; a line that is damaged is left out.

    Raises:
        OSError: the file is there and can't be read.
    """
    orders: list[Assignment] = []
    for line in read_file(file).splitlines():
        kind, _, exponent = line.partition(" ")
        if kind in {each.value for each in Kind} and re.fullmatch(r"[0-9]{1,10}", exponent):
            orders.append(Assignment(int(exponent), Kind(kind)))
    return tuple(dict.fromkeys(orders))


def write_orders(file: Path, orders: Iterable[Assignment]) -> None:
    """Write what actions ordered, whole or not at all. Raises OSError."""
    lines = (f"{each.kind.value} {each.exponent}\n" for each in orders)
    files.write(file, "".join(lines), mode=0o600)
