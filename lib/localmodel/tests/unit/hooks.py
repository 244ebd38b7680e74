"""A hook's context on a model in memory, for the tests of what charms call."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from lib.localmodel.tests.unit.driver import World
from localmodel.context import HARDWARE_ADDRESS, HookContext
from localmodel.hooktools import Answer, run_tool
from localmodel.state import Hook
from localmodel.tasks import Task

IDLE = Hook("update-status", "update-status", context="token")


class HostFiles:
    """This host's files in place of a machine's; what is placed goes under a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, path: str) -> bytes:
        if path == HARDWARE_ADDRESS:
            return b"02:00:ac:1e:00:02\n"
        return Path(path).read_bytes()

    def place(self, path: str, source: Path) -> None:
        target = self.folder / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes())


class Running:
    """A charm that runs: calls hook tools, and ends well or not."""

    def __init__(
        self, world: World, unit: str, hook: Hook = IDLE, task: Task | None = None
    ) -> None:
        self.world = world
        self.unit = world.model.unit(unit)
        self.files = HostFiles(world.store.paths.home / "machine")
        meta = world.meta(self.unit)
        self.context = HookContext(
            world.store, world.model, self.unit, meta, hook, threading.RLock(), self.files, task
        )

    def call(self, name: str, *argv: str, stdin: str = "") -> Answer:
        return run_tool(self.context, name, list(argv), stdin)

    def json(self, name: str, *argv: str) -> Any:
        """What a tool prints for `--format=json`; it must end well."""
        answer = self.call(name, "--format=json", *argv)
        assert answer.code == 0, answer.stderr
        return json.loads(answer.stdout)

    def refusal(self, name: str, *argv: str, stdin: str = "") -> str:
        """What a tool says when it refuses; it must."""
        answer = self.call(name, *argv, stdin=stdin)
        assert answer.code in (1, 2)
        assert answer.stdout == ""
        assert answer.stderr.startswith("ERROR ")
        assert answer.stderr.endswith("\n")
        return answer.stderr

    def end(self) -> None:
        """End the hook well."""
        self.context.commit()
        self.world.store.save(self.world.model)
