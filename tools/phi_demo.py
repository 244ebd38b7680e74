"""The demo's third part: digits of the golden ratio, computed beside the apache2 of the first."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from tools.pack import ROOT
from tools.stage import (
    SHIM,
    DemoError,
    console,
    juju,
    print_step,
    progress_bar,
    run_action,
    run_program,
)

UNIT = "golden-ratio/0"
_DIGITS = 10_000_000
# Longest time for the digits, in seconds.
_PATIENCE = 120.0


def show_digits(model: str, image: Path) -> dict[str, Any]:
    """Compute digits beside a model's apache2, and show the last; return what was seen.

    Args:
        model: the first part's.
        image: what docker save wrote.
    """
    began = time.monotonic()
    print_step(f"Deploy golden-ratio beside apache2: {_DIGITS:,} digits")
    charm = str(ROOT / "dist" / "golden-ratio.charm")
    options = ["--config", f"digits={_DIGITS}", "--resource", f"golden-ratio-image={image}"]
    juju("deploy", charm, *options, model=model)
    juju("integrate", "apache2:juju-info", "golden-ratio:juju-info", model=model)
    _await_digits(model)
    run_program(str(SHIM / "localmodel"), "tick", "--model", model)
    for words in (("digits", "count=50"), ("report",)):
        console.print(f"[dim]$ juju run {UNIT} {' '.join(words)}[/dim]")
        print(run_action(model, UNIT, *words, form="plain"))
    status = json.loads(juju("status", "--format", "json", model=model))
    unit = status["applications"]["apache2"]["units"]["apache2/0"]["subordinates"][UNIT]
    return {
        "message": unit["workload-status"]["message"],
        "digits": run_action(model, UNIT, "digits", "count=50")["digits"],
        "seconds": round(time.monotonic() - began, 1),
    }


def summarize(seen: dict[str, Any]) -> str:
    """Return what the part showed, in one line."""
    return f"{UNIT} on apache2/0's machine: {seen['message']}; the last 50: {seen['digits']}"


def _await_digits(model: str) -> None:
    """Follow the computation until its digits are verified."""
    deadline = time.monotonic() + _PATIENCE
    with progress_bar() as progress:
        bar = progress.add_task("the computation starts", total=None)
        while time.monotonic() < deadline:
            now = run_action(model, UNIT, "progress")
            if now["verified"] == "True":
                progress.update(bar, description=now["message"], total=1, completed=1)
                return
            progress.update(bar, description=now["message"])
            time.sleep(0.2)
    raise DemoError(f"no digits within {_PATIENCE:.0f} s; see: ./run juju debug-log")
