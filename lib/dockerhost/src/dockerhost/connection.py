"""The connection to the engine's socket: how long a request may take, and what went wrong with it.

An engine may accept connections and never answer: one that hangs, or a socket of systemd's that
no engine takes. So each request has a limit of its own, and after the first that was not answered
nobody is asked for a while: whoever has many questions waits once.
"""

# ruff: noqa: E402 - what is ignored has to be, before it is said

from __future__ import annotations

import errno
import os
import re
import time
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

# Charms are packed without what requests guesses encodings with, and it says so in each hook.
warnings.filterwarnings("ignore", "Unable to find acceptable character detection")

# isort: split
import docker
import docker.errors
import requests
import requests.exceptions
import urllib3.exceptions

from dockerhost.errors import (
    DockerHostError,
    EngineSilentError,
    EngineUnavailableError,
    explain,
)

SOCKET = "unix:///var/run/docker.sock"
_GREETING = 5.0  # seconds for the version, which an engine tells whatever else it does
_QUESTION = 10.0  # seconds for what only reads
_CHANGE = 60  # seconds for what starts, stops or removes; a stop adds what that may take
_WORK = 600.0  # seconds without a byte from a pull, a build, a load; a step may be silent
_WORKS = re.compile(r"/(build|images/create|images/load)$")
# Seconds for which a greeting counts: for a hook, and not for an exporter, whose engine may become
# one of another release.
_GREETED = 30.0
_REST = 30.0  # seconds for which an engine that did not answer is asked nothing
_SILENT = (
    "the Docker Engine accepts connections on its socket but does not answer; "
    "see systemctl status docker.service docker.socket"
)
_ABSENT = "the Docker Engine does not answer on its socket; see systemctl status docker"
_FULL = os.strerror(errno.EAGAIN)  # said of a socket on which nobody takes connections any more


class _Silence:
    """Since when the engine has not answered; a process forgets it when it ends."""

    until = 0.0

    def begin(self) -> None:
        self.until = time.monotonic() + _REST

    def lasts(self) -> bool:
        return time.monotonic() < self.until


_silence = _Silence()


class Client(docker.APIClient):
    """The Engine API client of the docker package, which can't wait for ever."""

    def request(self, method: str, url: str, **options: Any) -> requests.Response:  # type: ignore[override]
        """Send a request; every other method comes to this one."""
        if _silence.lasts():
            raise requests.exceptions.ReadTimeout(_SILENT)
        options["timeout"] = (_QUESTION, _choose_limit(method, url, options.get("timeout")))
        try:
            return super().request(method, url, **options)
        except requests.exceptions.Timeout:
            _silence.begin()
            raise
        except requests.exceptions.ConnectionError as error:
            if _FULL not in str(error):
                raise
            _silence.begin()
            raise requests.exceptions.ReadTimeout(_SILENT) from error


def _choose_limit(method: str, url: str, asked: object) -> float:
    path = urlsplit(url).path
    if method == "GET":
        return _GREETING if path.endswith("/version") else _QUESTION
    if _WORKS.search(path):
        return _WORK
    # The package adds to it what a container gets to end by itself.
    return asked if isinstance(asked, int | float) else _CHANGE


# By socket: the API's version that its engine has told, and until when that counts.
_greeted: dict[str, tuple[str, float]] = {}


def greet(url: str = SOCKET) -> None:
    """Ask the engine behind a socket for its version, which tells that it answers.

    Raises:
        EngineSilentError: it accepts connections, and does not answer within 5 s.
        EngineUnavailableError: nobody is there.
    """
    _greeted.pop(url, None)
    connect(url).close()


def connect(url: str = SOCKET) -> Client:
    """Return a client of the engine behind a socket, which is greeted once in half a minute.

    Raises:
        EngineSilentError: it accepts connections, and does not answer within 5 s.
        EngineUnavailableError: nobody is there.
    """
    version, until = _greeted.get(url, ("", 0.0))
    known = time.monotonic() < until
    with translating(EngineUnavailableError):
        client = Client(base_url=url, timeout=_CHANGE, version=version if known else "auto")
    if not known:
        _greeted[url] = client.api_version, time.monotonic() + _GREETED
    return client


def reset_silence() -> None:
    """Forget that the engine has not answered, after something was done about it."""
    _silence.until = 0.0


@contextmanager
def translating(kind: type[DockerHostError]) -> Generator[None, None, None]:
    """Turn the errors of the docker package and its transport into ours."""
    try:
        yield
    except (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError, TimeoutError) as error:
        raise EngineSilentError(_SILENT) from error
    except requests.exceptions.ConnectionError as error:
        raise EngineUnavailableError(_ABSENT) from error
    except docker.errors.APIError as error:
        raise kind(explain(error.explanation or error)) from error
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError) as error:
        raise kind(explain(error)) from error
    except docker.errors.DockerException as error:
        # What the client wraps, when it asks for the version.
        if isinstance(error.__context__, requests.exceptions.Timeout):
            raise EngineSilentError(_SILENT) from error
        raise EngineUnavailableError(_ABSENT) from error
