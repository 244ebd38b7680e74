"""The boundary between containers and images and the charm: what they say passes here, and is
bounded and printable before anything else sees it.

The container is not trusted, and whoever made its image need not be. What they write may hold NUL,
which no argument of a program can; lone surrogates, which no encoding takes; sequences that a
terminal acts on; and any number of characters. (Files of the work directory pass `workdir`; what
stands in them is for the charm to check, which knows what may stand there.)
"""

from __future__ import annotations

from collections.abc import Mapping

from dockerhost import Engine
from hostkit.text import make_printable

_LINE = 400  # characters
_LABEL = 40
# A status, or why an action failed.
_MESSAGE = 500


def read_log(engine: Engine, name: str, lines: int = 100) -> list[str]:
    """Return the last lines that a container wrote.

    Raises:
        DockerHostError: there is no such container, or the engine does not answer.
    """
    return [make_printable(line, _LINE) for line in engine.logs(name, lines)]


def read_label(labels: Mapping[str, str], name: str) -> str:
    """Return a label of an image or of a container; empty if it has none."""
    return make_printable(labels.get(name, ""), _LABEL)


def make_message(text: str) -> str:
    """Return a status, or why something failed, as Juju takes it: one short printable line."""
    return make_printable(text, _MESSAGE)
