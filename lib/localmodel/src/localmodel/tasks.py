"""Tasks: what an operator asked a unit to do now, an action or a command."""

from __future__ import annotations

import time
from typing import Any, Literal

from msgspec import Struct, field

#: What a command is called where an action has its name.
JUJU_EXEC = "juju-exec"


class Task(Struct):
    """One run of an action or a command, and what came of it; times are in seconds."""

    id: str
    target: str
    action: str
    params: dict[str, Any] = {}
    status: Literal["running", "completed", "failed", "aborted"] = "running"
    results: dict[str, Any] = {}
    message: str = ""
    log: list[str] = []
    started: float = field(default_factory=time.time)
    completed: float = 0.0

    def set_result(self, key: str, value: Any) -> None:
        """Set a result; dots in the key nest (``a.b=c`` is ``{"a": {"b": "c"}}``)."""
        *parents, last = key.split(".")
        level = self.results
        for parent in parents:
            inner = level.get(parent)
            if not isinstance(inner, dict):
                inner = level[parent] = {}
            level = inner
        level[last] = value

    def fail(self, message: str) -> None:
        self.status, self.message = "failed", message

    def finish(self, code: int, out: list[str], err: list[str]) -> None:
        """Close it. An action whose program ends with an error has failed; a command has not."""
        self.completed = time.time()
        if self.status == "running":
            self.status = "completed"
            if code != 0 and self.action != JUJU_EXEC:
                self.fail(f"exit status {code}")
        self.results["return-code"] = code
        for name, lines in (("stdout", out), ("stderr", err)):
            if lines:
                self.results[name] = "\n".join(lines) + "\n"
