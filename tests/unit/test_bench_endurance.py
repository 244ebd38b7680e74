"""What the endurance benchmark counts: each thing that may be lost is lost here, and noticed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jubilant
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import endurance
from benchmarks.endurance import Round, count_lost, judge, measure_on
from benchmarks.faults import KINDS, Fault, draw_faults
from benchmarks.probes import stream, witness
from benchmarks.probes.witness import Start, read_checkpoint, read_starts

P = 216091
REPORT = "[2026-11-28 01:14:09] M216091 Iter# = {} [ 1.39% complete] clocks = 00:00:00.612 [ … ]\n"
AGAIN = "Restarting M216091 at iteration = {}. Res64: 7D150CEE138215BA\n"
ANEW = "INFO: no restart file found...starting run from scratch.\n"
FAULT = Fault("container-kill")


def make_status(*lines: tuple[str, int]) -> str:
    return "".join(line.format(iteration) for line, iteration in lines)


def look(exponent: int, iteration: int, status: str, finished: tuple[int, ...] = ()) -> Any:
    starts = list(read_starts(P, status))
    return {
        "exponent": exponent,
        "iteration": iteration,
        "finished": list(finished),
        "starts": starts,
    }


def make_round(lost: int = 0, drift: tuple[str, ...] = ()) -> Round:
    return Round(1, FAULT, began=100.0, seconds=3.0, lost=lost, drift=drift)


def test_a_search_that_goes_on_from_its_last_checkpoint_has_lost_none() -> None:
    status = make_status((ANEW, 0), (REPORT, 1000), (REPORT, 2000), (AGAIN, 2000), (REPORT, 3000))
    assert count_lost(look(P, 2000, ""), look(P, 3000, status)) == 0


def test_each_checkpoint_that_a_search_falls_back_behind_is_lost() -> None:
    status = make_status(*((REPORT, n) for n in (1000, 2000, 3000, 4000)), (AGAIN, 1000))
    assert count_lost(look(P, 4000, ""), look(P, 1000, status)) == 3


def test_what_was_reported_when_the_kill_came_had_perhaps_no_checkpoint_yet() -> None:
    status = make_status((REPORT, 1000), (REPORT, 2000), (AGAIN, 1000))
    assert count_lost(look(P, 1000, ""), look(P, 2000, status)) == 0
    # But it had where one was seen that was whole.
    assert count_lost(look(P, 2000, ""), look(P, 2000, status)) == 1


def test_a_search_that_begins_anew_has_lost_all() -> None:
    status = make_status((REPORT, 1000), (REPORT, 2000), (ANEW, 0), (REPORT, 1000))
    assert count_lost(look(P, 2000, ""), look(P, 1000, status)) == 2


def test_a_loss_counts_in_the_round_in_which_it_came_and_in_no_later() -> None:
    status = make_status((REPORT, 1000), (REPORT, 2000), (ANEW, 0), (REPORT, 1000))
    later = status + make_status((REPORT, 2000), (AGAIN, 2000))
    assert count_lost(look(P, 1000, status), look(P, 2000, later)) == 0


def test_an_exponent_that_leaves_the_list_without_an_outcome_is_lost() -> None:
    assert count_lost(look(P, 2000, ""), look(P + 12, 0, "")) == 1
    assert count_lost(look(P, 2000, ""), look(P + 12, 0, "", finished=(P,))) == 0


def test_work_that_is_gone_altogether_is_lost() -> None:
    assert count_lost(look(P, 2000, ""), look(0, 0, "")) == 1


@given(
    st.lists(st.integers(1, 100), min_size=2, unique=True).map(sorted),
    st.integers(0, 100),
)
def test_no_start_loses_more_than_was_reported_nor_what_it_went_on_from(
    reports: list[int], at: int
) -> None:
    lost = Start(P, at, tuple(reports)).count_lost()
    assert 0 <= lost <= len([each for each in reports if each > at])


def test_a_savefile_that_was_cut_off_is_no_checkpoint() -> None:
    whole = b"\x01\x01" + (28000).to_bytes(8, "little") + bytes((P + 7) // 8 + 37)
    assert read_checkpoint(whole, P) == 28000
    assert read_checkpoint(whole[:4096], P) == 0
    assert read_checkpoint(b"", P) == 0


@contextmanager
def echoing(*unanswered: int) -> Iterator[tuple[str, int]]:
    """A receiver that does not answer some of the datagrams, by their numbers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))

        def answer() -> None:
            while data_and_sender := receiver.recvfrom(64):
                data, sender = data_and_sender
                if not data:
                    return
                if int.from_bytes(data, "big") not in unanswered:
                    receiver.sendto(data, sender)

        thread = threading.Thread(target=answer)
        thread.start()
        yield receiver.getsockname()
        receiver.sendto(b"", receiver.getsockname())
        thread.join()


@pytest.mark.parametrize("unanswered", [(), (0,), (2, 3)])
def test_a_datagram_without_an_answer_is_lost_and_told_by_its_number(
    monkeypatch: pytest.MonkeyPatch, unanswered: tuple[int, ...]
) -> None:
    monkeypatch.setattr(stream, "PERIOD", 0.001)
    monkeypatch.setattr(stream, "PATIENCE", 0.2)
    with (
        echoing(*unanswered) as address,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection,
    ):
        connection.connect(address)
        sender = stream.Sender(connection)
        send = connection.send

        class EndsAfterFive:
            """A connection over which the sender sends five datagrams."""

            def send(self, data: bytes) -> int:
                if int.from_bytes(data, "big") == 4:
                    sender.end()
                return send(data)

            def __getattr__(self, name: str) -> Any:
                return getattr(connection, name)

        monkeypatch.setattr(sender, "_connection", EndsAfterFive())
        found = sender.run().document()
    assert found["sent"] == 5
    assert tuple(number for number, _ in found["lost"]) == unanswered


def test_a_datagram_to_where_nobody_listens_is_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "PATIENCE", 0.01)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
        with echoing() as address:
            connection.connect(address)
        sender = stream.Sender(connection)
        sender._send()
        sender.end()
        assert len(sender.run().document()["lost"]) == 1
        assert not stream.ask(connection, 0.01)


def test_what_a_hook_makes_or_takes_away_is_drift() -> None:
    before = {("device", "fan-250"), ("rules", "drop # handle 3")}
    after = {("device", "fan-250"), ("rules", "drop # handle 9")}
    assert witness.describe_drift(before, before) == []
    assert witness.describe_drift(before, after) == [
        "the hook took away rules: drop # handle 3",
        "the hook made rules: drop # handle 9",
    ]


def test_the_same_seed_gives_the_same_faults_and_a_longer_run_begins_alike() -> None:
    assert draw_faults(7, 20) == draw_faults(7, 50)[:20]
    assert draw_faults(7, 20) != draw_faults(8, 20)
    assert {fault.kind for fault in draw_faults(7, 2000)} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_killed_says_when(kind: str) -> None:
    assert ("% of its time" in str(Fault(kind, 0.4))) == bool(KINDS[kind].victim)
    waits = "{after}" in KINDS[kind].script or KINDS[kind].where == "model"
    assert waits == bool(KINDS[kind].victim)


def test_with_nothing_lost_all_bars_are_met() -> None:
    figures = judge([make_round()], {"sent": 9, "lost": []}, [])
    assert [figure.values for figure in figures] == [(1,), (0,), (0,), (0,)]
    assert all(figure.is_met for figure in figures)


@pytest.mark.parametrize(
    ("round_", "lost", "leftovers", "missed", "cause"),
    [
        (make_round(lost=2), [], [], "checkpoints lost", "round 1: the search is killed: 2"),
        (make_round(drift=("no fan",)), [], [], "drift left", "round 1: the search is killed: no"),
        (make_round(), [(7, 101.0)], [], "packets lost", "number 7 in round 1: the search is"),
        (make_round(), [(7, 99.0)], [], "packets lost", "number 7 in no round"),
        (make_round(), [], ["device fan-250"], "drift left", "left in the end: device fan-250"),
    ],
)
def test_whatever_is_lost_misses_a_bar_and_names_its_fault(
    round_: Round, lost: list[tuple[int, float]], leftovers: list[str], missed: str, cause: str
) -> None:
    figures = judge([round_], {"sent": 9, "lost": lost}, leftovers)
    (found,) = [figure for figure in figures if not figure.is_met]
    assert found.name.startswith(missed)
    assert cause in found.explain_miss()


class FakeGround:
    """A ground whose third round fails."""

    def set_up(self) -> None:
        pass

    def play(self, number: int, fault: Fault) -> Round:
        if number == 3:
            raise jubilant.WaitError("machine 2 is gone")
        return Round(number, fault, 100.0 + number, 1.0, 0, ())

    def end_stream(self) -> dict[str, Any]:
        return {"sent": 9, "lost": []}

    def list_leftovers(self) -> list[str]:
        return []


def test_a_round_that_fails_is_named_and_what_was_measured_is_kept() -> None:
    told: list[tuple[str, float | None]] = []

    def report(what: str, part: float | None = None) -> None:
        told.append((what, part))

    ground: Any = FakeGround()
    outcome = measure_on(ground, [FAULT] * 4, report)
    assert outcome.failure == "round 3 of 4: the search is killed: machine 2 is gone"
    assert outcome.figures[0].values == (2,)
    assert len(outcome.details["rounds"]) == 2
    assert [part for _, part in told if part] == [0.25, 0.5]


def test_there_is_work_of_primes_for_as_many_rounds_as_are_asked_for() -> None:
    found = endurance.list_exponents(5)
    assert found == [216091, 216103, 216107, 216113, 216119]
