from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.localmodel.tests.unit.driver import World
from localmodel.errors import LocalModelError
from localmodel.paths import Paths, find_paths
from localmodel.state import (
    Application,
    Bag,
    Consumer,
    Grant,
    Hook,
    Model,
    Relation,
    Revision,
    Secret,
    Unit,
)
from localmodel.store import Store, hold_lock, write_atomically

TEXT = st.text(max_size=20)
MODELS = st.builds(
    Model,
    uuid=st.just("u"),
    name=st.just("m"),
    config=st.dictionaries(TEXT, st.none() | st.booleans() | st.integers() | TEXT, max_size=3),
    apps=st.dictionaries(
        TEXT, st.builds(Application, TEXT, TEXT, TEXT, st.integers(0), TEXT), max_size=2
    ),
    units=st.dictionaries(
        TEXT,
        st.builds(
            Unit,
            name=TEXT,
            app=TEXT,
            machine=TEXT,
            principal=st.none() | TEXT,
            pending=st.none() | st.builds(Hook, TEXT, TEXT, st.none() | st.integers(0), TEXT),
        ),
        max_size=2,
    ),
    relations=st.dictionaries(
        st.integers(0),
        st.builds(
            Relation,
            st.integers(0),
            st.just([]),
            bags=st.dictionaries(TEXT, st.builds(Bag, st.dictionaries(TEXT, TEXT, max_size=2))),
        ),
        max_size=2,
    ),
    secrets=st.dictionaries(
        TEXT,
        st.builds(
            Secret,
            TEXT,
            TEXT,
            revisions=st.dictionaries(
                st.integers(1), st.builds(Revision, st.dictionaries(TEXT, TEXT)), max_size=2
            ),
            grants=st.lists(st.builds(Grant, TEXT, st.none() | st.integers(0)), max_size=2),
            consumers=st.dictionaries(TEXT, st.builds(Consumer, st.integers(1)), max_size=2),
        ),
        max_size=2,
    ),
)


@given(MODELS)
def test_a_model_is_the_same_after_it_was_written(model: Model) -> None:
    kept = msgspec.json.encode(model)
    assert msgspec.json.decode(kept, type=Model) == model


def test_a_model_is_the_same_after_it_was_stored(related: World, paths: Paths) -> None:
    related.store.save(related.model)
    other = Store(paths)
    assert other.load("m") == related.model
    assert other.models() == [related.model]
    other.close()


def test_a_model_that_is_not_there_is_named(store: Store) -> None:
    with pytest.raises(LocalModelError, match='model "prod" not found'):
        store.load("prod")


def test_a_deleted_model_leaves_no_log(store: Store, model: Model) -> None:
    store.save(model)
    store.log(model, "unit-a-0", "INFO", "hello")
    store.delete(model)
    assert store.models() == []
    assert store.logs(model) == []


def test_settings_are_kept(store: Store, paths: Paths) -> None:
    store.set("model", "m")
    store.set("model", "n")
    other = Store(paths)
    assert (other.setting("model"), other.setting("none", "x")) == ("n", "x")
    other.close()


def test_the_log_gives_lines_in_order_and_the_last_of_them(store: Store, model: Model) -> None:
    for number in range(5):
        store.log(model, "unit-a-0", "INFO", f"line {number}\n\nand {number}\n")
    lines = store.logs(model)
    assert [x.message for x in lines[:3]] == ["line 0", "and 0", "line 1"]
    assert [x.message for x in store.logs(model, limit=2)] == ["line 4", "and 4"]
    assert store.logs(model, after=lines[-2].id) == lines[-1:]


def test_a_reader_sees_the_last_commit_while_a_writer_writes(
    store: Store, model: Model, paths: Paths
) -> None:
    """Both bags change in each write: a reader that saw half of one would find them differ."""
    model.relations[0] = Relation(0, [], bags={"a": Bag(), "b": Bag()})
    store.save(model)
    done = threading.Event()
    torn: list[tuple[int, int]] = []
    seen: set[int] = set()

    def read() -> None:
        reader = Store(paths)
        last = False
        while not last:
            last = done.is_set()  # all have been written: read once more, and once at least
            bags = reader.load("m").relations[0].bags
            seen.add(bags["a"].version)
            if bags["a"].version != bags["b"].version:
                torn.append((bags["a"].version, bags["b"].version))
        reader.close()

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for version in range(1, 100):
        for bag in model.relations[0].bags.values():
            bag.version = version
        store.save(model)
    done.set()
    for thread in threads:
        thread.join()
    assert torn == []
    assert max(seen) == 99


def test_writes_from_several_threads_are_all_kept(store: Store, model: Model) -> None:
    def write(name: str) -> None:
        for _ in range(20):
            store.log(model, name, "INFO", "x")

    threads = [threading.Thread(target=write, args=(f"unit-{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(store.logs(model)) == 80


def test_only_root_may_read_the_database(store: Store, paths: Paths) -> None:
    assert paths.database.stat().st_mode & 0o777 == 0o600


def test_an_interrupted_transaction_leaves_the_last_commit(paths: Paths, model: Model) -> None:
    """A process that dies within a transaction is one whose connection ends without a commit."""
    store = Store(paths)
    store.save(model)
    store._db.execute("BEGIN IMMEDIATE")
    store._db.execute("DELETE FROM model")
    store.close()
    again = Store(paths)
    assert [m.name for m in again.models()] == ["m"]
    again.close()


def test_the_lock_has_one_holder(paths: Paths) -> None:
    with hold_lock(paths) as first:
        assert first
        with hold_lock(paths, wait=False) as second:
            assert not second
    with hold_lock(paths, wait=False) as third:
        assert third


def test_the_lock_is_handed_over_when_its_holder_is_killed(
    paths: Paths, capsys: pytest.CaptureFixture[str]
) -> None:
    held, told = os.pipe()
    holder = os.fork()
    if holder == 0:
        try:
            with hold_lock(paths):
                os.write(told, b"x")
                signal.pause()
        finally:
            os._exit(1)
    assert os.read(held, 1) == b"x"
    with hold_lock(paths, wait=False) as got:
        assert not got
    killer = threading.Thread(target=os.kill, args=(holder, signal.SIGKILL))
    killer.start()
    with hold_lock(paths) as got:
        assert got
        assert paths.lock.read_text() == str(os.getpid())
    killer.join()
    assert os.waitstatus_to_exitcode(os.waitpid(holder, 0)[1]) == -signal.SIGKILL
    os.close(held)
    os.close(told)
    assert capsys.readouterr().err in ("", f"waiting for process {holder} to end\n")


def test_a_file_is_replaced_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "new" / "file"
    write_atomically(path, b"one", 0o600)
    assert path.stat().st_mode & 0o777 == 0o600

    def fail(_: int) -> None:
        raise OSError(28, "no space left")

    monkeypatch.setattr("localmodel.store.os.fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(path, b"two")
    assert path.read_bytes() == b"one"


def test_the_folders_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LOCALMODEL_HOME", str(tmp_path / "h"))
    monkeypatch.setenv("LOCALMODEL_RUN", str(tmp_path / "r"))
    assert find_paths() == Paths(tmp_path / "h", tmp_path / "r")
