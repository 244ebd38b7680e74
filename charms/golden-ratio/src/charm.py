#!/usr/bin/env python3
from __future__ import annotations

from harvest.charm import HarvestCharm, failing, run  # before ops

# isort: split
import ops

from golden_ratio import tasks
from golden_ratio.computation import Computation
from golden_ratio.workload import GOLDEN_RATIO, Config
from harvest.tasks import find_seen


class GoldenRatioCharm(HarvestCharm[Config, Computation]):
    """A subordinate that computes digits of the golden ratio on its principal's machine."""

    workload = GOLDEN_RATIO

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        framework.observe(self.on["progress"].action, self._on_progress)
        framework.observe(self.on["digits"].action, self._on_digits)
        framework.observe(self.on["verify"].action, self._on_verify)
        framework.observe(self.on["report"].action, self._on_report)

    def _on_progress(self, event: ops.ActionEvent) -> None:
        with failing(event):
            event.set_results(tasks.list_progress(self._find_computation(), self.own.work))

    def _on_digits(self, event: ops.ActionEvent) -> None:
        asked = event.load_params(tasks.Range, errors="fail")
        with failing(event):
            verified = self._find_computation().verified is not None
            event.set_results({**tasks.find_digits(self.own.work, asked), "verified": verified})

    def _on_verify(self, event: ops.ActionEvent) -> None:
        with failing(event):
            desired = self.read_desired()
            try:
                digits = tasks.verify(desired, event.log)
            finally:
                self.reconcile()
            event.set_results({"message": f"{digits:,} digits, verified"})

    def _on_report(self, event: ops.ActionEvent) -> None:
        with failing(event):
            config = self.read_desired().config
            event.set_results(tasks.list_report(self._find_computation(), config))

    def _find_computation(self) -> Computation:
        return find_seen(self.workload, self.own).report.details


if __name__ == "__main__":
    run(GoldenRatioCharm)
