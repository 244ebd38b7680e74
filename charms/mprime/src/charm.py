#!/usr/bin/env python3
"""The mprime charm: what harvest does, and the actions of a search."""

from __future__ import annotations

from harvest.charm import HarvestCharm, failing, run  # before ops

# isort: split
import ops

from harvest import tasks as common
from mprime import parameters, tasks, texts
from mprime.config import Config
from mprime.engines import Search
from mprime.search import SEARCH


class MprimeCharm(HarvestCharm[Config, Search]):
    """A subordinate that searches for Mersenne primes on its principal's machine."""

    workload = SEARCH

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        framework.observe(self.on["progress"].action, self._on_progress)
        framework.observe(self.on["results"].action, self._on_results)
        framework.observe(self.on["add-work"].action, self._on_add_work)
        framework.observe(self.on["benchmark"].action, self._on_benchmark)
        framework.observe(self.on["stress-test"].action, self._on_stress_test)

    def _on_progress(self, event: ops.ActionEvent) -> None:
        with failing(event):
            event.set_results(texts.list_progress(self._find_search().progress))

    def _on_results(self, event: ops.ActionEvent) -> None:
        with failing(event):
            event.set_results(texts.list_results(self._find_search().results))

    def _on_add_work(self, event: ops.ActionEvent) -> None:
        asked = event.load_params(parameters.AddWork, errors="fail")
        with failing(event):
            ordered = tasks.add_work(self.read_desired(), asked.work)
            self.reconcile()
            event.set_results(texts.list_ordered(ordered))

    def _on_benchmark(self, event: ops.ActionEvent) -> None:
        asked = event.load_params(parameters.Benchmark, errors="fail")
        with failing(event):
            measured = tasks.run_benchmark(self.read_desired(), asked.seconds, event.log)
            event.set_results(texts.list_benchmark(measured))

    def _on_stress_test(self, event: ops.ActionEvent) -> None:
        asked = event.load_params(parameters.StressTest, errors="fail")
        with failing(event):
            tested = tasks.run_stress_test(self.read_desired(), asked.minutes, event.log)
            event.set_results(texts.list_stress_test(tested))
            if tested.errors:
                event.fail(texts.describe_errors(tested))

    def _find_search(self) -> Search:
        return common.find_seen(SEARCH, self.own).report.details


if __name__ == "__main__":  # pragma: nocover
    run(MprimeCharm)
