"""What the charm runs: a program that counts, and saves in /work/count how far it is."""

from __future__ import annotations

import re
from collections.abc import Sequence

from prometheus_client.core import Metric

from dockerhost import Container, Image
from harvest.metrics import gauge
from harvest.options import Options
from harvest.reconcile import Seen
from harvest.workdir import WorkDirectory
from harvest.workload import Desired, Job, Report, Share, Workload


class Count(Workload[Options, int]):
    name = "counter"
    noun = "count"
    options = Options

    def make_job(self, desired: Desired[Options], image: Image, share: Share) -> Job:
        step = str(share.threads)
        return Job("counter", memory=64 * 2**20, command=(step,), restart="unless-stopped")

    def read(self, container: Container, work: WorkDirectory, log: Sequence[str]) -> Report[int]:
        saved = re.match("[0-9]{1,18}", work.read("count"))
        count = int(saved[0]) if saved else 0
        return Report("counter", f"at {count}", count, savefiles=re.compile("count"))


def describe_count(seen: Seen[int]) -> list[Metric]:
    return [gauge("counter_count", "How far it is.", seen.report.details)]
