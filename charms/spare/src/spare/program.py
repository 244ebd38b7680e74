"""The charm's workload: the program of any image, of which nothing is known but what it prints."""

from __future__ import annotations

import posixpath
from collections.abc import Sequence

from dockerhost import Container, Image
from harvest.image import name_resource
from harvest.untrusted import read_label
from harvest.workdir import WorkDirectory
from harvest.workload import Desired, Job, Report, Share, Workload
from hostkit.text import make_printable
from spare.config import Config

_MEMORY = 1024**3  # bytes, where the option memory-limit says nothing
_PIDS = 1024  # some for each core of a great machine
_LINE = 120  # characters of the last line that a status shows
_NAME_LABEL = "spare.program"  # on the container: what messages call its program


class Program(Workload[Config, None]):
    """The program of an image that the operator names; the charm builds none."""

    name = "spare"
    noun = "program"
    apart = True
    options = Config

    def choose_recipes(self, work: WorkDirectory) -> Sequence[str]:
        return ()

    def make_job(self, desired: Desired[Config], image: Image, share: Share) -> Job:
        config = desired.config
        if len(image.volumes) == 1 and posixpath.normpath(image.volumes[0]) != config.work_path:
            raise ValueError(
                f"option work-path: {config.work_path} is not the image's VOLUME; "
                f"give {make_printable(image.volumes[0], _LINE)}"
            )
        has_archive = desired.archive and desired.archive.stat().st_size
        name = name_resource(self.name) if has_archive else config.image.rpartition("/")[2]
        if not (image.names_program or config.command):
            raise ValueError(
                f"{name} does not say what it runs; build it with an ENTRYPOINT or a CMD, or give "
                "the program with the option command"
            )
        secret = {k: v.get_secret_value() for k, v in config.environment_secret.items()}
        return Job(
            name,
            memory=_MEMORY,
            pids=_PIDS,
            command=config.command,
            environment={**config.environment, **secret},
            user=config.user,
            inside=config.work_path,
            restart=config.restart,
            stop_signal=config.stop_signal,
            stop_timeout=config.stop_timeout,
            labels={_NAME_LABEL: name},
        )

    def read(self, container: Container, work: WorkDirectory, log: Sequence[str]) -> Report[None]:
        name, text = read_label(container.labels, _NAME_LABEL), describe(container, log)
        return Report(name, text, None, busy=not _is_done(container), waiting=text)


def describe(container: Container, log: Sequence[str]) -> str:
    """Return a program's state, how often it was started again, and its last line, in one line."""
    facts, times = [container.state], container.restarts
    if _is_done(container):
        facts = ["done"]
    elif container.state != "running":
        facts.append("out of memory" if container.oom_killed else f"code {container.exit_code}")
    if times:
        facts.append("1 restart" if times == 1 else f"{times} restarts")
    said = make_printable(next((line for line in reversed(log) if line), ""), _LINE)
    return f"{', '.join(facts)}: {said}" if said else ", ".join(facts)


def _is_done(container: Container) -> bool:
    """Return whether a program that is to end has ended as it should."""
    found = container.state, container.exit_code, container.restart
    return found == ("exited", 0, "on-failure")
