"""What all parts of the demo are shown with: steps, progress bars, the local model's commands."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from tools.pack import ROOT

SHIM = ROOT / ".venv" / "shim"

console = Console(stderr=True, highlight=False, soft_wrap=True)


class DemoError(Exception):
    """A step failed; the text says which and why."""


def print_step(text: str) -> None:
    """Say what comes now."""
    console.print(f"[bold]==> {text}[/bold]")


def progress_bar() -> Progress:
    """Return a bar for steps that take long."""
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)


@contextmanager
def spinner(text: str) -> Iterator[None]:
    """Show that a step goes on of which nobody knows how long it takes."""
    with progress_bar() as progress:
        task = progress.add_task(text, total=None)
        yield
        progress.update(task, total=1, completed=1)


def renew_model(name: str, *options: str) -> None:
    """Make a model, with options of add-model; one that the last demo left goes first."""
    if name in list_models():
        print_step("Remove the last demo")
        juju("destroy-model", "--no-prompt", "--force", name)
    juju("add-model", *options, name)


def list_models() -> list[str]:
    """Return the names of the local model's models."""
    listed = json.loads(juju("models", "--format", "json"))
    return [model["short-name"] for model in listed["models"]]


def run_action(model: str, unit: str, action: str, *parameters: str, form: str = "json") -> Any:
    """Run an action; return its results, or what it printed in another form than JSON."""
    printed = juju("run", "--format", form, unit, action, *parameters, model=model, quiet=True)
    return json.loads(printed)[unit]["results"] if form == "json" else printed


def juju(*words: str, model: str | None = None, quiet: bool = False) -> str:
    """Run a command of the local model's juju and return its output; its progress is shown."""
    name, *rest = words
    chosen = ["--model", model] if model else []
    return run_program(str(SHIM / "juju"), name, *chosen, *rest, quiet=quiet)


def run_program(*command: str, quiet: bool = False) -> str:
    """Run a program that shows its progress on standard error; return its standard output.

    Raises:
        DemoError: it failed; it has said why itself, unless it was to be quiet.
    """
    done = subprocess.run(
        command,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if quiet else None,
        text=True,
    )
    if done.returncode:
        name = " ".join([Path(command[0]).name, *command[1:]])
        raise DemoError(f"{name} failed{': ' + done.stderr.strip() if quiet else ''}")
    return done.stdout
