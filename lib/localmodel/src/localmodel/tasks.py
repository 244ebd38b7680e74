"""Tasks: what an operator asked a unit or a machine to do now, an action or a command."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any, Literal

from msgspec import Struct, field

from localmodel.typeguards import is_mapping

# What a command is called where an action has its name.
JUJU_EXEC = "juju-exec"

TaskStatus = Literal["pending", "running", "completed", "failed", "aborted"]


class Task(Struct):
    """One run of an action or a command, and what came of it.

    Attributes:
        target: the unit, or the machine's number.
        log: what the action logged, and when.
        enqueued, started, completed: in seconds since the epoch; 0 before.
    """

    id: str
    target: str
    action: str
    params: dict[str, Any] = {}
    status: TaskStatus = "running"
    results: dict[str, Any] = {}
    message: str = ""
    log: list[tuple[float, str]] = []
    enqueued: float = field(default_factory=time.time)
    started: float = 0.0
    completed: float = 0.0

    @property
    def kind(self) -> str:
        """What the target is."""
        return "unit" if "/" in self.target else "machine"

    @property
    def return_code(self) -> int:
        """The exit code of its program; 0 for one that never ran, as Juju counts it."""
        return self.results.get("return-code", 0)

    def start(self) -> None:
        self.status, self.started = "running", time.time()

    def note(self, message: str) -> None:
        """Add a line to its log."""
        self.log.append((time.time(), message))

    def set_result(self, key: str, value: Any) -> None:
        """Set a result; dots in the key nest (`a.b=c` is `{"a": {"b": "c"}}`)."""
        *parents, last = key.split(".")
        level = self.results
        for parent in parents:
            if not is_mapping(level.get(parent)):
                level[parent] = {}
            level = level[parent]
        level[last] = value

    def fail(self, message: str) -> None:
        self.status, self.message = "failed", message

    def end(self, status: TaskStatus, message: str = "") -> None:
        """Close one whose program did not come to its end."""
        self.status, self.message, self.completed = status, message, time.time()

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

    def document(self) -> dict[str, Any]:
        """Return what `juju run --format json` and `juju show-task` give of it."""
        shown: dict[str, Any] = {"id": self.id, "status": self.status, self.kind: self.target}
        if self.message:
            shown["message"] = self.message
        if self.results:
            shown["results"] = self.results
        if self.log:
            shown["log"] = [f"{format_in_full(moment)} {line}" for moment, line in self.log]
        return shown | {"timing": make_timing(self.enqueued, self.started, self.completed)}


class Operation(Struct):
    """What one command line asked for: a task for each of its targets.

    Attributes:
        fail: why some targets have no task.
    """

    id: str
    summary: str
    tasks: list[Task] = []
    fail: str = ""
    enqueued: float = field(default_factory=time.time)

    @property
    def started(self) -> float:
        return min((t.started for t in self.tasks if t.started), default=0.0)

    @property
    def completed(self) -> float:
        """When its last task ended; 0 while one has not."""
        return max((t.completed for t in self.tasks), default=0.0) if self.ended else 0.0

    @property
    def ended(self) -> bool:
        return all(t.completed for t in self.tasks)

    @property
    def status(self) -> str:
        """The worst of its tasks' statuses."""
        if not self.tasks:
            return "error"
        order = ("running", "pending", "failed", "aborted", "completed")
        return min((t.status for t in self.tasks), key=order.index)

    def document(self) -> dict[str, Any]:
        """Return what `juju show-operation` gives of it."""
        shown: dict[str, Any] = {"summary": self.summary, "status": self.status}
        if self.fail:
            shown["fail"] = self.fail
        if self.tasks:
            shown["action"] = {"name": self.tasks[0].action, "parameters": self.tasks[0].params}
        shown["timing"] = make_timing(self.enqueued, self.started, self.completed)
        shown["tasks"] = {}
        for task in self.tasks:
            body = task.document()
            body = {"host": body.pop(task.kind), **body}
            del body["id"]
            shown["tasks"][task.id] = body
        return shown


def format_in_full(moment: float) -> str:
    """Return a moment as Go prints one: `2026-11-27 23:30:36 +0000 UTC`."""
    return datetime.fromtimestamp(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S %z %Z")


def make_timing(enqueued: float, started: float, completed: float) -> dict[str, str]:
    moments = {"enqueued": enqueued, "started": started, "completed": completed}
    return {name: format_in_full(moment) for name, moment in moments.items() if moment}
