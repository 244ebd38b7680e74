"""Keeps models, logs and tasks in one SQLite file, and charms and resources beside it.

Writers hold the lock, one command at a time; readers read the last commit and wait for nobody.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from localmodel.errors import LocalModelError
from localmodel.paths import Paths
from localmodel.state import Model, Status
from localmodel.tasks import Operation

SCHEMA = """
CREATE TABLE IF NOT EXISTS model (uuid TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL,
    body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS setting (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS log (id INTEGER PRIMARY KEY, model TEXT NOT NULL, time REAL NOT NULL,
    entity TEXT NOT NULL, level TEXT NOT NULL, module TEXT NOT NULL, message TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS operation (model TEXT NOT NULL, id INTEGER NOT NULL,
    body BLOB NOT NULL, PRIMARY KEY (model, id));
CREATE TABLE IF NOT EXISTS status (model TEXT NOT NULL, entity TEXT NOT NULL, kind TEXT NOT NULL,
    since REAL NOT NULL, current TEXT NOT NULL, message TEXT NOT NULL,
    PRIMARY KEY (model, entity, kind, since));
CREATE INDEX IF NOT EXISTS log_by_model ON log (model, id);
"""

# How long statuses that have passed are kept, in seconds: two weeks, as Juju does.
KEPT_STATUSES = 14 * 86400.0

# How many operations of a model are kept.
KEPT_OPERATIONS = 1000

# From the least to the worst, as Juju has them.
LOG_LEVELS = ("TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")


class LogLine(msgspec.Struct, frozen=True):
    """One line of the debug log; `time` is in seconds since the epoch."""

    id: int
    time: float
    entity: str
    level: str
    module: str
    message: str


class Store:
    """The database. Its methods may be called from several threads."""

    def __init__(self, paths: Paths) -> None:
        paths.home.mkdir(parents=True, exist_ok=True, mode=0o711)
        self.paths = paths
        self._lock = threading.RLock()
        self._db = sqlite3.connect(
            paths.database, timeout=30, isolation_level=None, check_same_thread=False
        )
        # Secrets are in here.
        paths.database.chmod(0o600)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(SCHEMA)

    def close(self) -> None:
        with self._lock:
            self._db.close()

    def models(self) -> list[Model]:
        """Return every model, by name."""
        rows = self._query("SELECT body FROM model ORDER BY name")
        return [msgspec.json.decode(body, type=Model) for (body,) in rows]

    def load(self, name: str) -> Model:
        """Raises: LocalModelError if there is none of that name."""
        rows = self._query("SELECT body FROM model WHERE name = ?", name)
        if not rows:
            raise LocalModelError(f'model "{name}" not found')
        return msgspec.json.decode(rows[0][0], type=Model)

    def save(self, model: Model) -> None:
        """Write a model whole, in one transaction."""
        with self._lock:
            self._db.execute(
                "INSERT INTO model VALUES (?, ?, ?) ON CONFLICT (uuid) DO UPDATE"
                " SET name = excluded.name, body = excluded.body",
                (model.uuid, model.name, msgspec.json.encode(model)),
            )
            self._db.executemany(
                "INSERT OR IGNORE INTO status VALUES (?, ?, ?, ?, ?, ?)",
                [
                    (model.uuid, entity, kind, status.since, status.current, status.message)
                    for entity, kind, status in _list_statuses(model)
                ],
            )

    def delete(self, model: Model) -> None:
        """Forget a model and its log."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.execute("DELETE FROM log WHERE model = ?", (model.uuid,))
            self._db.execute("DELETE FROM operation WHERE model = ?", (model.uuid,))
            self._db.execute("DELETE FROM status WHERE model = ?", (model.uuid,))
            self._db.execute("DELETE FROM model WHERE uuid = ?", (model.uuid,))
            self._db.execute("COMMIT")

    def save_operation(self, model: Model, operation: Operation) -> None:
        """Keep what came of an operation, and forget the one so many before it."""
        with self._lock:
            self._db.execute(
                "INSERT OR REPLACE INTO operation VALUES (?, ?, ?)",
                (model.uuid, int(operation.id), msgspec.json.encode(operation)),
            )
            self._db.execute(
                "DELETE FROM operation WHERE model = ? AND id NOT IN"
                " (SELECT id FROM operation WHERE model = ? ORDER BY id DESC LIMIT ?)",
                (model.uuid, model.uuid, KEPT_OPERATIONS),
            )

    def statuses(self, model: Model, entity: str) -> list[tuple[str, Status]]:
        """Return the kind and text of a unit's or a machine's statuses, oldest first."""
        oldest = time.time() - KEPT_STATUSES
        with self._lock:
            self._db.execute("DELETE FROM status WHERE since < ?", (oldest,))
        rows = self._query(
            "SELECT kind, current, message, since FROM status WHERE model = ? AND entity = ?"
            " ORDER BY since",
            model.uuid,
            entity,
        )
        return [(kind, Status(*rest)) for kind, *rest in rows]

    def operations(self, model: Model) -> list[Operation]:
        """Return a model's operations, oldest first."""
        rows = self._query("SELECT body FROM operation WHERE model = ? ORDER BY id", model.uuid)
        return [msgspec.json.decode(body, type=Operation) for (body,) in rows]

    def setting(self, key: str, default: str = "") -> str:
        rows = self._query("SELECT value FROM setting WHERE key = ?", key)
        return rows[0][0] if rows else default

    def set(self, key: str, value: str) -> None:
        with self._lock:
            self._db.execute(
                "INSERT INTO setting VALUES (?, ?) ON CONFLICT (key) DO UPDATE"
                " SET value = excluded.value",
                (key, value),
            )

    def log(
        self, model: Model, entity: str, level: str, message: str, module: str = "unit"
    ) -> None:
        """Add lines to a model's log: one for each line of the message."""
        now = time.time()
        rows = [
            (model.uuid, now, entity, level, module, line)
            for line in message.splitlines()
            if line.strip()
        ]
        with self._lock:
            self._db.executemany(
                "INSERT INTO log (model, time, entity, level, module, message)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                rows,
            )

    def logs(self, model: Model, after: int = 0, limit: int = 0) -> list[LogLine]:
        """Return a model's log lines after an id, oldest first; with a limit, the last ones."""
        rows = self._query(
            "SELECT id, time, entity, level, module, message FROM log"
            " WHERE model = ? AND id > ? ORDER BY id DESC LIMIT ?",
            model.uuid,
            after,
            limit or -1,
        )
        return [LogLine(*row) for row in reversed(rows)]

    def _query(self, sql: str, *values: Any) -> list[Any]:
        with self._lock:
            return self._db.execute(sql, values).fetchall()


def _list_statuses(model: Model) -> Iterator[tuple[str, str, Status]]:
    for unit in model.units.values():
        yield unit.name, "juju-unit", unit.agent
        yield unit.name, "workload", unit.workload
    for machine in model.machines.values():
        yield machine.number, "juju-machine", machine.status


@contextmanager
def hold_lock(paths: Paths, *, wait: bool = True) -> Generator[bool]:
    """Hold the right to change models and machines; yields whether it was got.

    Args:
        wait: wait for another command to end, and say so; else give up at once.
    """
    paths.run.mkdir(parents=True, exist_ok=True, mode=0o711)
    with paths.lock.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                yield False
                return
            lock.seek(0)
            print(f"waiting for process {lock.read().strip()} to end", file=sys.stderr)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        # Closing the file gives the lock back, so the kernel does it for a killed process too.
        yield True


@contextmanager
def naming(path: Path) -> Generator[None]:
    """Add the name of the written file to an OSError; those of write(2) have none."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_atomically(path: Path, data: bytes, mode: int = 0o644) -> None:
    """Put a file in place whole: a reader sees the old content or the new.

    Raises: OSError that names the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    try:
        with naming(path), os.fdopen(os.open(temporary, flags, mode), "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    temporary.replace(path)
