"""What an image is, and what an engine says while it fetches or makes one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dockerhost.errors import ImageError, UnauthorizedError, explain
from hostkit.text import make_printable

_STEP = re.compile(r"The command '.*' returned a non-zero code: (\d{1,3})", re.DOTALL)
# The engine paints what a build step writes to its error stream.
_CHATTER = ("Removing intermediate container", "--->")
_READ = 4000  # characters of a message that are looked at
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# What registries and engines of several versions say; a disk's `permission denied` is none.
_UNAUTHORIZED = re.compile(
    r"unauthorized|(?<!permission )denied|no basic auth credentials|incorrect username",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Credentials:
    """A user of a registry. The password stays out of every text that is made of this."""

    username: str
    password: str = field(repr=False)

    @property
    def request(self) -> dict[str, str]:
        """What the docker package puts into a request's header."""
        return {"username": self.username, "password": self.password}


@dataclass(frozen=True)
class Image:
    """An image that this engine has.

    Attributes:
        id: `sha256:` and 64 hex digits, over its configuration.
        names: its tags and digests, as the engine spells them.
        volumes: the directories that its containers get as volumes, sorted; empty in a list.
        working_dir: where its program starts; empty if it does not say, and in a list.
        names_program: whether it says what its containers run; True in a list.
    """

    id: str
    labels: Mapping[str, str]
    names: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    working_dir: str = ""
    names_program: bool = True


def read_image(answer: Mapping[str, Any]) -> Image:
    """Return the image in an engine's answer, of an inspection or of a list."""
    config = answer.get("Config") or answer
    return Image(
        id=answer["Id"],
        labels=config.get("Labels") or {},
        names=(*(answer.get("RepoTags") or ()), *(answer.get("RepoDigests") or ())),
        volumes=tuple(sorted(config.get("Volumes") or ())),
        working_dir=config.get("WorkingDir") or "",
        names_program=config is answer or bool(config.get("Entrypoint") or config.get("Cmd")),
    )


def follow_progress(stream: Iterable[Any], progress: Callable[[str], None] | None) -> None:
    """Read an operation's messages to its end.

    Raises:
        ImageError: it failed, as a message says.
    """
    said = ""
    for message in stream:
        words = str(message.get("stream") or message.get("status") or "")
        words = make_printable(_COLOUR.sub("", words[:_READ]), _READ)
        if "error" in message:
            raise ImageError(_explain_step(str(message["error"]), said))
        if words and not words.startswith(_CHATTER):
            said = words
        if words and progress:
            progress(words)


def classify_refusal(error: ImageError, credentials: Credentials | None) -> ImageError:
    """Return a pull's error as what it is, without the password."""
    reason = str(error)
    kind = UnauthorizedError if _UNAUTHORIZED.search(reason) else ImageError
    if credentials and credentials.password:
        reason = reason.replace(credentials.password, "***")
    return kind(reason)


def _explain_step(error: str, said: str) -> str:
    # A build's error repeats the whole command; what that wrote last says more.
    # From the beginning: searching for one would take the square of a long text's length.
    if match := _STEP.match(error):
        return explain(f"a build step ended with code {match[1]}: {said or 'it wrote nothing'}")
    return explain(error)
