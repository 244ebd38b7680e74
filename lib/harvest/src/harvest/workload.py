"""What a charm tells harvest about the container that it runs.

A charm has one `Workload`. Once there is an image, that makes a `Job`: how the container is to
run, and what is to be done before it starts and while it runs. While there is a container, it
makes a `Report`: what the program in it has told.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from dockerhost import Container, Image, Proxies
from harvest.options import C
from harvest.unit import Unit
from harvest.workdir import OWNER, WorkDirectory

D = TypeVar("D")

FAILURE = re.compile(r"\berror\b|\bfail|\bunable|not found", re.IGNORECASE)


@dataclass(frozen=True)
class Desired(Generic[C]):
    """The container that a unit wants on its machine.

    Attributes:
        unit: whose it is.
        config: the charm's options.
        charm: the charm's directory, with the Dockerfiles in it.
        archive: an image that docker save wrote, if the operator gave one.
        no_archive: why Juju handed out none; empty if it did.
        proxies: what to fetch an image through.
        report: called with a short text before each step that takes time.
        confined: whether the engine's socket and the unit's own folder are all that is in reach of
            the machine, as from a snap. See `harvest.snap`.
    """

    unit: Unit
    config: C
    charm: Path
    archive: Path | None = None
    no_archive: str = ""
    proxies: Proxies = field(default_factory=Proxies)
    report: Callable[[str], None] = field(default=lambda _: None, compare=False)
    confined: bool = False


@dataclass(frozen=True)
class Share:
    """What of its machine a container may use.

    Attributes:
        cores: their numbers, rising; at least one.
        threads: how many are worth running on the time that it gets of them.
    """

    cores: tuple[int, ...]
    threads: int


@dataclass(frozen=True)
class Job:
    """How a program runs in its container, and what it needs of harvest.

    A charm whose program reads settings or a list of work from its directory overrides the
    methods. Each may raise OSError.

    Attributes:
        program: what messages call it.
        memory: bytes that the container may use, where the option memory-limit tells none.
        command: arguments to the image's entry point; empty leaves the image's own.
        environment: the program's variables, besides those of the image. They may be secret, and
            stay out of every text that is made of this.
        user: the numbers of its user and group, who own its work directory.
        inside: where it finds that directory.
        pids: processes and threads that it may have.
        network: the Docker network, where the option network names none.
        restart: the engine's restart policy that keeps the program at work: on-failure for one
            that ends with 0 when it is done, and not where it is told to stop; unless-stopped for
            one that is never done.
        stop_signal: what ends it; empty leaves the image's own.
        stop_timeout: seconds that it gets to save its work then.
        labels: of the container, such as tell `Workload.read` about its options.
        mode: of its work directory, such as 0o755 where others may read what is there.
        failure: what a line of its output looks like that tells of a failure.
    """

    program: str
    memory: int
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    user: tuple[int, int] = OWNER
    inside: str = "/work"
    pids: int = 64
    network: str = "none"
    restart: str = "on-failure"
    stop_signal: str = "SIGTERM"
    stop_timeout: int = 10
    labels: Mapping[str, str] = field(default_factory=dict[str, str])
    mode: int = 0o700
    failure: re.Pattern[str] = FAILURE

    def explain(self, work: WorkDirectory) -> str:
        """Return why the program can't do what the options ask for; empty if it can."""
        return ""

    def is_current(self, work: WorkDirectory) -> bool:
        """Return whether the program, if it started now, would find its settings in its files.

        Where it would not, it is stopped, and `ensure_files` is called before it starts again.
        """
        return True

    def ensure_files(self, work: WorkDirectory) -> None:
        """Write the program's settings; it does not run."""

    def add_work(self, work: WorkDirectory, *, running: bool) -> None:
        """List what is to be done and is not listed; the program may run."""

    def find_left(self, work: WorkDirectory, exit_code: int) -> str | None:
        """Return what a program that has ended has left to do, in a word or two; empty if that is
        unknown; None if it is done, and is not to be started again.
        """
        return None if exit_code == 0 and self.restart == "on-failure" else ""


@dataclass(frozen=True)
class Report(Generic[D]):
    """What a program has told, in its output and its files.

    Attributes:
        program: its name.
        text: where its work is, in one line, for the unit's status.
        details: what the charm's own actions and metrics show.
        version: the program's; may be empty.
        paused: what an operator who paused it should know, in one line.
        busy: whether it should run, as it has work left or asks for some.
        waiting: why it does not run although it should, in one line; empty leaves it at its state
            and its last words.
        unsaved: why it can't save its work; empty if it can.
        refused: why it does not do what the options ask for, in one line; empty if it does.
        savefiles: what the names of the files look like that it saves its work in; None if there
            is nothing to save.
        failure: what a line of its output looks like that tells of a failure.
    """

    program: str
    text: str
    details: D
    version: str = ""
    paused: str = "run the action resume to continue"
    busy: bool = True
    waiting: str = ""
    unsaved: str = ""
    refused: str = ""
    savefiles: re.Pattern[str] | None = None
    failure: re.Pattern[str] = FAILURE


class Workload(Generic[C, D]):
    """What a charm runs on spare processor time.

    Attributes:
        name: the charm's. Its resource is NAME-image, its work in /var/lib/NAME, and its metrics
            begin with NAME_.
        noun: what messages call the work, such as search.
        options: the charm's options.
        files: kinds of files that belong to the work, but are out of its container's reach; see
            `Unit.find_file`.
        apart: whether each application of the charm works on a machine that several are attached
            to; otherwise one unit does, and all others stand by.
        stage: a label that its Dockerfiles give their first stages, which the engine would keep.
    """

    name: str
    options: type[C]
    noun: str = "work"
    files: tuple[str, ...] = ()
    apart: bool = False
    stage: str = ""

    @property
    def prefix(self) -> str:
        """What the names of its metrics begin with."""
        return self.name.replace("-", "_")

    def choose_recipes(self, work: WorkDirectory) -> Sequence[str]:
        """Return the folders in the charm's `images` to build an image from where the operator
        names none: the first that can be built here is. Empty: the operator has to name one.
        """
        return (self.name,)

    def explain_image(self, image: Image) -> str:
        """Return why an image is not for this charm; empty if it is."""
        return ""

    def make_job(self, desired: Desired[C], image: Image, share: Share) -> Job:
        """Return how the program of an image is to run.

        Raises:
            DockerHostError: the engine does not answer.
            OSError: a file can't be read.
            ValueError: the options contradict each other; the text names them.
        """
        raise NotImplementedError

    def read(
        self, container: Container, work: WorkDirectory, log: Sequence[str]
    ) -> Report[D] | None:
        """Return what the program of a container has told; None for one that is unknown.

        Args:
            container: the unit's, whether it runs or has ended.
            work: its files, which it may have filled with anything.
            log: its last lines, short and printable.

        Raises:
            OSError: a file can't be read.
        """
        raise NotImplementedError
