from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as bench
from benchmarks.figures import Figure, Outcome, Panel, show
from benchmarks.plot import draw

MET = Figure("ratio", "of alone", (0.96, 0.9, 0.97), at_least=0.95)
MISSED = Figure("latency", "ms", (1.0, 3.0, 2.0), at_most=1.5, consequence="too slow for people")


def test_the_median_counts_and_not_the_worst_run() -> None:
    assert MET.median == 0.96
    assert MET.is_met


@pytest.mark.parametrize(
    ("at_least", "at_most", "met"),
    [
        (None, None, True),
        (2.0, None, True),
        (2.1, None, False),
        (None, 2.0, True),
        (None, 1.9, False),
        (1.0, 1.9, False),
    ],
)
def test_a_bar_may_stand_on_either_side(
    at_least: float | None, at_most: float | None, met: bool
) -> None:
    figure = Figure("f", "s", (2.0,), at_least=at_least, at_most=at_most)
    assert figure.is_met == met


def test_a_miss_names_figure_value_bar_and_what_it_means() -> None:
    expected = "missed: latency: 2 ms, at most 1.5 ms: too slow for people"
    assert MISSED.explain_miss() == expected


def test_a_figure_is_one_line_with_its_spread_and_bar() -> None:
    assert (
        MET.summarize()
        == "ratio: 0.96 of alone (0.9 to 0.97, 3 runs); at least 0.95 of alone: met"
    )
    assert MISSED.summarize() == "latency: 2 ms (1 to 3, 3 runs); at most 1.5 ms: MISSED"
    assert Figure("count", "things", (4.0,)).summarize() == "count: 4 things"


def run_bench(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, outcome: Outcome, *words: str
) -> int:
    monkeypatch.setattr(bench, "FOUND", tmp_path)
    monkeypatch.setattr(sys, "argv", ["bench", "spare-cpu", *words])
    monkeypatch.setattr("benchmarks.spare_cpu.measure", lambda rounds, report: outcome)
    return bench.main()


def test_a_missed_bar_is_named_and_makes_the_command_fail(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_bench(monkeypatch, tmp_path, Outcome((MET, MISSED))) == 1
    said = capsys.readouterr().out
    assert MET.summarize() in said
    assert MISSED.explain_miss() in said
    assert "missed: ratio" not in said


def test_what_ended_a_benchmark_early_is_told_beside_what_it_had_measured(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outcome = Outcome((MET,), failure="round 3 of 9: the engine is killed: it is gone")
    assert run_bench(monkeypatch, tmp_path, outcome) == 1
    assert outcome.failure in capsys.readouterr().err
    written = json.loads((tmp_path / "spare-cpu.json").read_text())
    assert written["failure"] == outcome.failure
    assert len(written["figures"]) == 1


def test_endurance_takes_a_seed_and_says_which_and_prints_a_line_a_round(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(rounds: int, report: bench.Report, seed: int) -> Outcome:
        report("deploying")
        report(f"round {rounds} with seed {seed}", 1.0)
        return Outcome((MET,))

    monkeypatch.setattr(bench, "FOUND", tmp_path)
    monkeypatch.setattr("benchmarks.endurance.measure", measure)
    monkeypatch.setattr(sys, "argv", ["bench", "endurance", "--rounds", "1", "--seed", "7"])
    assert bench.main() == 0
    said = capsys.readouterr().out
    assert "the seed is 7\nround 1 with seed 7\n" in said
    assert "deploying" not in said
    assert (tmp_path / "endurance.json").exists()


def test_figures_and_plot_are_written_also_where_all_is_met(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    panels = (Panel("ms", {"alone": (1.0, 2.0), "beside": (3.0,)}, 2.5),)
    outcome = Outcome((MET,), {"rounds": [1, 2]}, panels)
    plot = tmp_path / "plot.png"
    assert run_bench(monkeypatch, tmp_path, outcome, "--plot", str(plot)) == 0
    written = json.loads((tmp_path / "spare-cpu.json").read_text())
    assert written["details"] == {"rounds": [1, 2]}
    assert written["figures"][0]["values"] == [0.96, 0.9, 0.97]
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("text", ["4", "-5", "five", ""])
def test_too_few_rounds_are_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="5 or more"):
        bench.parse_rounds(text)


def test_a_plot_that_could_not_be_written_is_refused_before_anything_is_measured() -> None:
    with pytest.raises(argparse.ArgumentTypeError, match=r"\.svg, \.png or \.pdf"):
        bench.parse_plot("plot.doc")


def test_the_same_figures_make_the_same_plot(tmp_path: Path) -> None:
    panels = (Panel("ms", {"alone": (1.0, 2.0)}),)
    for name in ("one.svg", "two.svg"):
        draw(panels, "title", tmp_path / name)
    assert (tmp_path / "one.svg").read_text() == (tmp_path / "two.svg").read_text()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.98765, "0.988"), (12.3456, "12.3"), (999.4, "999"), (37972.7, "37,973")],
)
def test_a_figure_is_shown_without_exponents(value: float, shown: str) -> None:
    assert show(value) == shown
