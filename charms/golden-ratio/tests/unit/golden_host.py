"""A machine for the charm's tests, and what the program leaves there."""

from __future__ import annotations

import json
from typing import Any

from dockerhost import Image
from lib.harvest.tests.unit import fake_host

GOLDEN = Image(
    "sha256:1",
    {
        "org.opencontainers.image.title": "golden-ratio",
        "org.opencontainers.image.version": "1",
    },
)
# 1,000 decimals as a program might have them; what they are does not matter to the charm.
DECIMALS = "".join(f"{number:04}" for number in range(250))


class Host(fake_host.Host):
    """Stands in for a machine on which the digits are computed."""

    def write_state(self, phase: str, **told: Any) -> None:
        """Let the program write its state."""
        state = {
            "phase": phase,
            "digits": 1000,
            "step": 7,
            "steps": 7,
            "seconds": 0.5,
            "digits-per-second": 2000 if phase == "done" else None,
            "verified": phase == "done",
            "verify": "fast",
            "threads": 2,
            "message": "",
        }
        state |= {name.replace("_", "-"): value for name, value in told.items()}
        (self.directory / "state.json").write_text(json.dumps(state))

    def finish(self, **told: Any) -> None:
        """Let the program write its digits, and end."""
        (self.directory / "phi.txt").write_text(f"1.{DECIMALS}\n")
        self.write_state("done", **told)
        self.end()

    def fail(self, code: int, *lines: str) -> None:
        """Let the program end with an error, and the engine start it again in a while."""
        self.log = [*lines]
        self.end(state="restarting", exit_code=code)
