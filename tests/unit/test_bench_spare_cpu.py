from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import Any

import jubilant
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import spare_cpu
from benchmarks.figures import MeasureError
from benchmarks.probes import paced

PAGE = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nPage"
LAST = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nPage"


@contextmanager
def server(*answers: bytes) -> Iterator[str]:
    """A server that answers one request after another, and hangs up after a LAST or nothing."""
    todo = list(answers)

    def serve() -> None:
        while todo:
            connection, _ = listener.accept()
            with connection:
                while todo and connection.recv(65536):
                    answer = todo.pop(0)
                    connection.sendall(answer)
                    if answer in (LAST, b""):
                        break

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
        thread.join(timeout=5)


def test_latency_counts_from_the_schedule_and_not_from_when_it_was_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # One connection, so every request waits for the one before; all were due at the beginning.
    monkeypatch.setattr(paced, "CONNECTIONS", 1)
    release = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            for number in range(3):
                connection.recv(65536)
                if number == 0:
                    release.wait(0.2)  # nobody sets it: a stall
                connection.sendall(PAGE)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        latencies = paced.ask(url, [0.0, 0.0, 0.1])
        thread.join(timeout=5)
    assert sorted(latencies)[0] >= 0.1
    assert sorted(latencies)[1] >= 0.2


def test_a_server_that_hangs_up_is_asked_again() -> None:
    with server(PAGE, LAST, b"", PAGE) as url:
        assert len(paced.ask(url, [0.0, 0.01, 0.02])) == 3


def test_a_server_that_always_hangs_up_is_given_up() -> None:
    with server(b"", b"") as url, pytest.raises(ValueError, match="keeps hanging up"):
        paced.ask(url, [0.0])


def test_an_answer_that_is_no_page_is_an_error_and_no_latency() -> None:
    with pytest.raises(ValueError, match="503"):
        paced.read_answer(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")


@given(st.integers(0, len(LAST)))
def test_an_answer_is_done_when_its_last_byte_is_there(length: int) -> None:
    done, again = paced.read_answer(LAST[:length])
    assert done == (length == len(LAST))
    assert not (done and again)


@given(st.floats(1, 200), st.floats(0.1, 5))
def test_a_schedule_is_the_same_each_time_and_in_order(rate: float, seconds: float) -> None:
    moments = paced.make_schedule(rate, seconds)
    assert moments == paced.make_schedule(rate, seconds) == sorted(moments)
    assert all(0 < moment < seconds for moment in moments)


def test_a_schedule_keeps_its_rate() -> None:
    assert len(paced.make_schedule(1000, 20)) == pytest.approx(20_000, rel=0.02)


def test_percentiles_are_those_of_all_turns_together() -> None:
    latencies = [float(number) for number in reversed(range(1000))]
    assert spare_cpu.summarize(latencies) == {
        "answers": 1000,
        "p50": 500.0,
        "p99": 990.0,
        "p99.9": 999.0,
    }


WRK = "  17767 requests in 1.00s, 7.79MB read\nRequests/sec:  17767.19\nTransfer/sec:   7.09MB\n"


@pytest.mark.parametrize(
    "fault", ["", "  Socket errors: connect 0, read 17, write 0, timeout 0\n"]
)
def test_wrks_rate_is_read_though_single_connections_broke(fault: str) -> None:
    assert spare_cpu.read_wrk(fault + WRK) == 17767.19


@pytest.mark.parametrize(
    "said",
    [
        f"  Socket errors: connect 0, read 17, write 0, timeout 1\n{WRK}",
        f"  Non-2xx or 3xx responses: 9\n{WRK}",
        "unable to connect to 172.30.0.2:80 Connection refused\n",
    ],
)
def test_a_load_that_failed_is_no_measurement(said: str) -> None:
    with pytest.raises(MeasureError, match="wrk: "):
        spare_cpu.read_wrk(said)


def round_of(
    charm: float, unlimited: float, both: float = 1000.0, part: float = 0.5
) -> dict[str, dict[str, float]]:
    """A round: requests/s of each setting, of which alone has 1000; latency is its inverse."""
    rates = {"alone": 1000.0, "mprime-0": charm, "both": both}
    rates |= {"shares": unlimited, "unlimited": unlimited}
    found = {
        name: {"requests": rate, "p99": 1 / rate, "saturated-cpu": 0.1, "paced-cpu": 0.8}
        for name, rate in rates.items()
    }
    found["both"]["part"] = part
    return found


def missed(*rounds: dict[str, dict[str, float]]) -> list[str]:
    return [figure.name for figure in spare_cpu.judge_load([*rounds]) if not figure.is_met]


def test_a_search_that_costs_nothing_beside_a_control_that_does_passes() -> None:
    assert missed(round_of(980, 500)) == []


def test_a_search_that_costs_throughput_and_latency_is_told() -> None:
    assert missed(round_of(700, 500)) == ["requests/s with mprime", "p99 with mprime"]


def test_two_searches_must_disturb_no_more_than_one_and_share_evenly() -> None:
    assert missed(round_of(980, 500, both=700)) == [
        "requests/s with two searches",
        "p99 with two searches",
    ]
    for part in (0.3, 0.7):
        assert missed(round_of(980, 500, part=part)) == ["mprime beside spare"]


def test_a_benchmark_whose_control_does_no_harm_says_that_it_can_not_tell() -> None:
    figures = spare_cpu.judge_load([round_of(1000, 990)])
    said = [figure.explain_miss() for figure in figures if not figure.is_met]
    assert len(said) == 2
    for text in said:
        assert "no limit" in text
        assert "nothing here can tell" in text


def harvest(charm: float, bare: float) -> list[str]:
    def found(cpu: float) -> dict[str, float]:
        return {"cpu": cpu, "iterations": 300 * cpu}

    figures = spare_cpu.judge_harvest([{"mprime-0": found(charm), "bare": found(bare)}])
    return [figure.explain_miss() for figure in figures if not figure.is_met]


def test_a_search_that_gets_too_little_of_an_idle_machine_is_told() -> None:
    assert harvest(0.95, 1.0) == []
    assert len(harvest(0.85, 1.0)) == 2  # of time, and of iterations


def test_a_machine_that_others_work_on_is_told() -> None:
    assert ["others work on this machine" in text for text in harvest(0.6, 0.6)] == [True]


class Machines:
    """Answers as machines with a ground of the benchmark do, until a probe fails."""

    def __init__(self, probes: int):
        self.probes = probes

    def cli(self, *words: object) -> str:
        self.probes -= 1
        if self.probes < 0:
            raise jubilant.CLIError(1, ["juju"], "", "the search bare is gone\n")
        if "paced.py" in str(words):
            return json.dumps([1000.0] * 4)
        if "wrk" in str(words):
            return "  900 requests in 1.00s\nRequests/sec:    900.0\n"
        if "docker info" in str(words):
            return "{}"
        if "watch" in words:
            return json.dumps({"cpu": 0.5, "iterations": 100.0, "part": 0.5})
        return "0"

    def status(self) -> Any:
        machine = SimpleNamespace(ip_addresses=["172.30.0.2"])
        return SimpleNamespace(machines={"0": machine})

    def ssh(self, _: int, *words: object) -> str:
        return self.cli(*words)

    def scp(self, *words: object) -> None:
        self.cli(*words)

    def exec(self, *words: object, **_: object) -> Any:
        self.cli(*words)
        return SimpleNamespace(stdout="")


@pytest.mark.parametrize("probes", [120, 356, 100_000])
def test_what_was_measured_before_a_probe_failed_is_kept(
    probes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spare_cpu.time, "sleep", lambda seconds: None)
    machines: Any = Machines(probes)
    outcome = spare_cpu.measure_on(spare_cpu.Ground(machines), 5, lambda what, part=None: None)
    names = [figure.name for figure in outcome.figures]
    rounds = outcome.details["rounds"]
    assert bool(outcome.failure) == (probes < 100_000)
    if outcome.failure:
        assert outcome.failure.endswith(": the search bare is gone")
        assert 0 < len(rounds) <= 5
        assert len(outcome.figures[0].values) == len(rounds)
        assert len(outcome.details["harvests"]) < 5
    else:
        assert len(rounds) == 5
        assert names[-1] == "iterations/s, machine idle"
