#!/usr/bin/env python3
from __future__ import annotations

from harvest.charm import HarvestCharm, run
from spare.config import Config
from spare.program import Program


class SpareCharm(HarvestCharm[Config, None]):
    """A subordinate that runs any image on the processor time that its machine leaves over."""

    workload = Program()


if __name__ == "__main__":  # pragma: nocover
    run(SpareCharm)
