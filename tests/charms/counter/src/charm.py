#!/usr/bin/env python3
from __future__ import annotations

from counter import Count
from harvest.charm import HarvestCharm, run
from harvest.options import Options


class CounterCharm(HarvestCharm[Options, int]):
    workload = Count()


if __name__ == "__main__":
    run(CounterCharm)
