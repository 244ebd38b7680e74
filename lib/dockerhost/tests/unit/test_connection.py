from __future__ import annotations

import gc
import json
import socket
import socketserver
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread

import pytest

from dockerhost import (
    Engine,
    EngineSilentError,
    EngineUnavailableError,
    Networks,
    connection,
)

VERSION = {"ApiVersion": "1.41"}


class Listener(socketserver.ThreadingUnixStreamServer):
    """An engine on a real socket that answers what it is told to, and nothing else.

    Attributes:
        answers: what it says, by the last part of a request's path.
        asked: the requests that came.
    """

    daemon_threads = True
    block_on_close = False  # a client may keep its connection

    def __init__(self, place: Path):
        self.answers: dict[str, object] = {}
        self.asked: list[str] = []
        self.closing = Event()
        super().__init__(str(place), Request)


class Request(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        server = self.server
        assert isinstance(server, Listener)
        while words := self.rfile.readline().decode().split():
            while self.rfile.readline().strip():
                pass
            path = words[1].partition("?")[0]
            server.asked.append(f"{words[0]} {path}")
            name = path.rpartition("/")[2]
            if name not in server.answers:
                server.closing.wait()
                return
            text = json.dumps(server.answers[name])
            head = "HTTP/1.1 200 OK\r\nContent-Type: application/json"
            said = f"{head}\r\nContent-Length: {len(text)}\r\n\r\n{text}"
            self.wfile.write(said.encode())


@pytest.fixture
def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Listener]:
    for limit in ("_GREETING", "_QUESTION", "_CHANGE", "_WORK"):
        monkeypatch.setattr(connection, limit, 0.05)
    with Listener(tmp_path / "socket") as listener:
        thread = Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield listener
        listener.closing.set()
        listener.shutdown()
        thread.join()
    connection.reset_silence()


def url(listener: Listener) -> str:
    return f"unix://{listener.server_address}"


def test_an_engine_that_accepts_a_connection_and_never_answers_is_told(listener: Listener) -> None:
    with pytest.raises(EngineSilentError, match=r"accepts connections .* but does not answer"):
        Engine(url(listener))


def test_an_engine_that_does_not_answer_is_asked_once_however_many_questions_there_are(
    listener: Listener,
) -> None:
    for kind in (Engine, Networks, Engine):
        with pytest.raises(EngineSilentError):
            kind(url(listener))
    assert listener.asked == ["GET /version"]
    connection.reset_silence()
    listener.answers["version"] = VERSION
    Engine(url(listener))
    assert len(listener.asked) == 2


QUESTIONS: dict[str, Callable[[Engine], object]] = {
    "inspect": lambda engine: engine.inspect("search"),
    "containers": lambda engine: engine.runs_others(),
    "info": lambda engine: engine.has_proxies(),
    "images": lambda engine: engine.list_images("tools/*"),
    "logs": lambda engine: engine.logs("search"),
    "stop": lambda engine: engine.stop("search"),
    "pull": lambda engine: engine.pull("tools/one:1"),
    "prune": lambda engine: engine.prune_images("tools"),
}


@pytest.mark.parametrize("question", QUESTIONS)
def test_an_engine_that_ceases_to_answer_is_told_by_every_question(
    listener: Listener, question: str
) -> None:
    listener.answers["version"] = VERSION
    engine = Engine(url(listener))
    with pytest.raises(EngineSilentError):
        QUESTIONS[question](engine)
    with pytest.raises(EngineSilentError):
        engine.inspect("search")
    assert len(listener.asked) == 2


def test_a_build_that_says_nothing_for_too_long_is_given_up(
    listener: Listener, tmp_path: Path
) -> None:
    listener.answers["version"] = VERSION
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(EngineSilentError):
        Engine(url(listener)).build(tmp_path, "tools/one:1")
    gc.collect()  # a file that was left open would be told


@pytest.mark.parametrize(
    ("method", "path", "limit"),
    [
        ("GET", "/version", 5),
        ("GET", "/v1.41/containers/json", 10),
        ("GET", "/v1.41/containers/search/logs", 10),
        ("POST", "/v1.41/containers/create", 60),
        ("POST", "/v1.41/images/create", 600),
        ("POST", "/v1.41/images/load", 600),
        ("POST", "/v1.41/build", 600),
    ],
)
def test_only_pulls_builds_and_loads_may_take_long(method: str, path: str, limit: int) -> None:
    assert connection._choose_limit(method, f"http+docker://localhost{path}?all=1", None) == limit


@pytest.fixture
def absent() -> Iterator[None]:
    """Sweeps up the socket that the docker package leaves open when it can't connect."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        yield
        gc.collect()
    connection.reset_silence()


def ask(place: str) -> str:
    """Return the kind of error that comes of asking an engine, without keeping its frames."""
    with pytest.raises(EngineUnavailableError, match="does not answer") as told:
        Engine(f"unix://{place}")
    return told.typename


def test_a_hook_greets_an_engine_once_and_asks_what_it_is_once_a_client(
    listener: Listener,
) -> None:
    listener.answers |= {"version": VERSION, "info": {"CgroupDriver": "systemd"}}
    for _ in range(2):
        engine = Engine(url(listener))
        assert engine.read_cgroups() == engine.read_cgroups()
    assert listener.asked == ["GET /version", *["GET /v1.41/info"] * 2]


def test_a_process_that_lives_longer_greets_an_engine_that_may_be_another(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "_GREETED", 0.0)
    for version in ("1.41", "1.52"):
        listener.answers |= {"version": {"ApiVersion": version}}
        assert connection.connect(url(listener)).api_version == version


def test_a_greeting_asks_the_engine_again(listener: Listener) -> None:
    listener.answers["version"] = VERSION
    Engine(url(listener))
    connection.greet(url(listener))
    assert listener.asked == ["GET /version"] * 2


def test_a_socket_on_which_nobody_takes_connections_any_more_is_silent_and_not_absent(
    tmp_path: Path, absent: None
) -> None:
    place = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as full, socket.socket(socket.AF_UNIX) as waiting:
        full.bind(place)
        full.listen(0)
        waiting.connect(place)
        assert ask(place) == "EngineSilentError"


def test_a_socket_that_nobody_listens_on_is_told_as_absent(tmp_path: Path, absent: None) -> None:
    assert ask(f"{tmp_path}/socket") == "EngineUnavailableError"
