"""What every command does around its verb: the lock, the model, what is due, errors."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from localmodel.agent import Agent
from localmodel.cli.terminal import Progress
from localmodel.errors import LocalModelError
from localmodel.machines import underlay
from localmodel.paths import find_paths
from localmodel.state import Model
from localmodel.store import Store, hold_lock

# A command's exit code after an interrupt at the terminal, as shells have it.
INTERRUPTED = 130


def open_store() -> Store:
    """Return the store of this host. Raises: LocalModelError if this is not root."""
    if os.geteuid() != 0:
        raise LocalModelError("the local model makes machines, so it must run as root; use sudo")
    store = Store(find_paths())
    if not store.setting("underlay"):
        store.set("underlay", underlay.DEFAULT)
    return store


def choose_model(store: Store, given: str | None) -> str:
    """Return the model that is meant: the one given, in JUJU_MODEL, or switched to.

    Raises: LocalModelError if none is.
    """
    name = given or os.environ.get("JUJU_MODEL") or store.setting("model")
    if not name:
        raise LocalModelError(
            'No selected model: make one with "juju add-model NAME" or choose with "juju switch"'
        )
    return name.rpartition(":")[2].rpartition("/")[2]


@contextmanager
def changing(given: str | None) -> Generator[Agent]:
    """Change a model: what the block does is saved if it does not raise, and then run to idle."""
    store = open_store()
    with hold_lock(store.paths), Progress() as progress:
        agent = _make_agent(store, store.load(choose_model(store, given)), progress.report)
        if agent.model.machines and store.setting("down"):
            raise LocalModelError("the local model is down: start it with localmodel up")
        yield agent
        agent.save()
        agent.run_until_idle()


@contextmanager
def reading(given: str | None) -> Generator[tuple[Store, Model]]:
    """Look at a model. If nobody else is at work on it, what is due is done first."""
    store = open_store()
    name = choose_model(store, given)
    with hold_lock(store.paths, wait=False) as held:
        if held:
            with Progress() as progress:
                agent = _make_agent(store, store.load(name), progress.report)
                agent.save()
                if not store.setting("down"):
                    agent.run_until_idle()
    yield store, store.load(name)


def _make_agent(
    store: Store, model: Model, report: Callable[[str, str, float | None], None]
) -> Agent:
    agent = Agent(store, model, report)
    agent.observe_machines()
    return agent


def guarded(main: Callable[[], int]) -> int:
    """Run a command so that no traceback reaches the user."""
    try:
        return main()
    except LocalModelError as error:
        print(f"ERROR {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        # The reader has seen enough; nothing is left to say.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (OSError, sqlite3.OperationalError) as error:
        # Such as a full disk. What was done so far is stored.
        print(f"ERROR {_explain(error)}: fix that, and run the command again", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "ERROR interrupted: running hooks continue, and so does the next command",
            file=sys.stderr,
        )
        return INTERRUPTED


def _explain(error: Exception) -> str:
    """Return what the host refuses, after the name of the file that it is about."""
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    return f"{find_paths().database}: {error}"


def exit_process(code: int) -> NoReturn:
    """End the process; after an interrupt at once, without waiting for threads that run hooks."""
    if code == INTERRUPTED:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def find_charm_folder() -> Path:
    """Return the folder that stands in for Charmhub: LOCALMODEL_CHARMS, else `dist` here."""
    return Path(os.environ.get("LOCALMODEL_CHARMS", "dist")).resolve()
