"""What a search looks like to Prometheus, beside what harvest tells of its container."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import Metric

from harvest.metrics import counter, gauge
from harvest.reconcile import Seen
from mprime.engines import Search, Task


def describe_search(seen: Seen[Search]) -> Iterator[Metric]:
    """Yield the metrics of a search. What can't be known is left out."""
    report, search = seen.report, seen.report.details
    progress, results = search.progress, search.results
    program = {"engine": report.program, "version": report.version}
    yield gauge("mprime_search_info", "The search program.", 1, **program)
    yield counter("mprime_primes_found", "Mersenne primes found.", len(results.primes))
    yield counter(
        "mprime_probable_primes_found", "Numbers that passed a PRP test.", len(results.probable)
    )
    yield counter(
        "mprime_composites_found", "Numbers shown not to be prime.", len(results.composites)
    )
    yield gauge("mprime_out_of_work", "Whether there is nothing left to test.", progress is None)
    if search.asks:
        yield gauge(
            "mprime_primenet_up", "Whether PrimeNet can be reached.", not search.out_of_reach
        )
    if progress is None:
        return
    number = "p of the number 2^p - 1 that is worked on."
    yield gauge("mprime_exponent", number, progress.exponent)
    yield gauge("mprime_task_info", "What is done with the number.", 1, task=progress.task.value)
    if progress.iterations:
        yield gauge("mprime_progress_ratio", "How much of it is done.", progress.percent / 100)
    if progress.task is not Task.TEST:
        return
    yield gauge("mprime_iterations", "Iterations that the test takes.", progress.iterations)
    yield gauge("mprime_iterations_done", "Iterations done so far.", progress.iteration)
    if progress.ms_per_iteration and progress.seconds_left is not None:
        runs = seen.container.state == "running"
        speed = 1000 / progress.ms_per_iteration if runs else 0
        yield gauge("mprime_iterations_per_second", "Speed as the program last told.", speed)
        yield gauge(
            "mprime_remaining_seconds",
            "Time to the end of the test at this speed.",
            progress.seconds_left,
        )
