"""Serves the unit's metrics; started by systemd while there is a collector."""

from __future__ import annotations

from harvest import exporter
from spare.program import Program

if __name__ == "__main__":
    exporter.run(Program())
