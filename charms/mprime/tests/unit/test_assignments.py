from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mprime.assignments import (
    KNOWN_PRIMES,
    Assignment,
    Kind,
    check_exponent,
    find_factor,
    is_prime,
    merge_work,
    parse_exponents,
    parse_worktodo,
    read_orders,
    write_orders,
)

PRIMES = tuple(n for n in range(2, 2000) if all(n % f for f in range(2, n)))
primes = st.sampled_from(PRIMES)
assignments = st.lists(
    st.builds(Assignment, primes, st.sampled_from(Kind)), unique_by=lambda each: each.exponent
)


def test_small_numbers_are_told_apart() -> None:
    assert [number for number in range(2000) if is_prime(number)] == [
        p for p in PRIMES if p < 2000
    ]


@given(st.integers(2, 2**32 - 1))
def test_a_number_is_prime_if_it_has_no_factor_but_itself(number: int) -> None:
    factor = find_factor(number)
    assert number % factor == 0
    assert is_prime(factor)
    assert is_prime(number) == (factor == number)


# Strong pseudoprimes to the base 2, to 2, 3 and 5, and to 2, 3, 5 and 7.
@pytest.mark.parametrize("number", [2047, 25326001, 3215031751])
def test_numbers_that_pass_weaker_tests_are_found_out(number: int) -> None:
    assert not is_prime(number)


def test_the_greatest_prime_is_one() -> None:
    assert is_prime(2**32 - 5)
    assert find_factor(2**32 - 5) == 2**32 - 5


@given(primes, primes)
def test_a_product_is_refused_with_its_smallest_factor(one: int, other: int) -> None:
    with pytest.raises(ValueError, match=f"{one * other} is {min(one, other)} "):
        check_exponent(one * other)


@pytest.mark.parametrize("number", [0, 1, 2**32, 10**19])
def test_what_no_exponent_can_be_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"{number} is out of range; give a prime below"):
        check_exponent(number)


@pytest.mark.parametrize(
    ("text", "exponents"),
    [
        ("216091", (216091,)),
        ("216091, M756839,216091", (216091, 756839)),
        ("  3\n5\t7 ", (3, 5, 7)),
    ],
)
def test_exponents_are_read_in_their_order_and_once(text: str, exponents: tuple[int, ...]) -> None:
    assert parse_exponents(text) == exponents


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "names no exponent"),
        ("12three", "'12three' is not an exponent"),
        ("2047", "2047 is 23 "),
        ("3 " * 1001, "has 1001 exponents; give up to 1000"),
    ],
)
def test_what_are_no_exponents_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_exponents(text)


def test_a_work_list_takes_exponents_and_the_lines_of_gimps() -> None:
    text = f"""
        110503, M216091
        Test={"A" * 32},1257787,74,1
        DoubleCheck=N/A,1398269,75,1
        PRP=1,2,2976221,-1,77,0
        PRP=N/A,1,2,6972593,-1
    """
    assert parse_worktodo(text) == (
        *(Assignment(p) for p in (110503, 216091, 1257787, 1398269)),
        *(Assignment(p, Kind.PRP) for p in (2976221, 6972593)),
    )
    assert parse_worktodo(" \n,\n") == ()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Pminus1=1,2,3,-1,5,6", "'Pminus1=1,2,3,-1,5,6' is not a line of a work list"),
        ("PRP=1,3,5,-1", "is not a line of a work list"),
        ("Test=15", "15 is 3 "),
        ("11\nPRP=1,2,11,-1", "M11 is listed for a Lucas-Lehmer test and for a PRP test"),
        ("3\n" * 1001, "has 1001 exponents"),
    ],
)
def test_what_is_no_work_list_is_refused(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        parse_worktodo(text)


@given(st.text() | st.text(alphabet="Test=PRPM0123456789,- \n"))
def test_any_text_is_a_work_list_or_refused_in_one_line(text: str) -> None:
    try:
        found = parse_worktodo(text)
    except ValueError as error:
        assert "\n" not in str(error)
    else:
        assert all(is_prime(each.exponent) for each in found)
        assert len({each.exponent for each in found}) == len(found)


def test_the_default_work_list_is_of_primes_in_order() -> None:
    exponents = [each.exponent for each in KNOWN_PRIMES]
    assert exponents == sorted(exponents)
    assert all(map(is_prime, exponents))


@given(assignments, assignments)
def test_merged_lists_have_each_exponent_once_the_first_lists_first(
    first: list[Assignment], second: list[Assignment]
) -> None:
    kinds = {each.exponent: each.kind for each in first}
    assume(all(kinds.get(each.exponent, each.kind) is each.kind for each in second))
    merged = merge_work(first, second)
    assert list(merged[: len(first)]) == first
    assert set(merged) == {*first, *second}
    assert merge_work(merged, merged) == merged


@pytest.fixture
def orders(tmp_path: Path, owners: list[tuple[int, int]]) -> Path:
    return tmp_path / "mprime-0.orders"


def test_orders_are_read_back(orders: Path) -> None:
    ordered = (Assignment(110503), Assignment(2976221, Kind.PRP))
    write_orders(orders, ordered)
    assert read_orders(orders) == ordered
    assert orders.stat().st_mode & 0o777 == 0o600
    assert read_orders(orders.with_name("none")) == ()


@pytest.mark.parametrize("text", ["ll", "ll x\nother 3\n3\nprp -3\n", "\0\n" * 9])
def test_damaged_orders_are_left_out(orders: Path, text: str) -> None:
    orders.write_text(f"{text}\nll 110503\n")
    assert read_orders(orders) == (Assignment(110503),)
