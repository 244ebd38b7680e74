"""The snap's side: a daemon that keeps the container as `snap set` wants it, and hooks for snapd.

Under strict confinement a snap reaches its own folders and, with the interface docker, the socket
of the engine, and nothing else of its machine: `Desired.confined` says what follows. snapd starts
and stops the daemon, and keeps the options and what the daemon tells of itself: see
https://snapcraft.io/docs/using-snapctl.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, NoReturn

from dockerhost import DockerHostError, Engine
from harvest import reconcile, texts
from harvest.options import C, Options, OptionsError, parse_options
from harvest.policy import LEFT_OUT
from harvest.unit import Unit
from harvest.untrusted import make_message
from harvest.workload import D, Desired, Workload
from hostkit import programs
from hostkit.text import explain

logger = logging.getLogger(__name__)

SNAPCTL = "/usr/bin/snapctl"
PLUG = "docker"
_PAUSE = 30.0  # seconds between two looks at the container
_RARELY = 300.0  # seconds: how often progress alone is told to snapd, which writes it to its disk
# Those that take more of the machine than a snap has, or a collector that finds the port.
NOT_OFFERED = {
    "install_keys",
    "install_sources",
    "metrics_port",
    "registry_ca",
    "registry_credentials",
    "remove_work",
}


@dataclass(frozen=True)
class SnapUnit(Unit):
    """What a snap calls its own on its machine.

    Attributes:
        charm: the workload's name.
        name: the snap's.
        common: the snap's folder that outlives its revisions.
    """

    common: Path
    _pattern: ClassVar[re.Pattern[str]] = re.compile(r"[a-z0-9][a-z0-9-]*")

    @property
    def id(self) -> str:
        """What the container and its work directory are called: snap.mprime for mprime."""
        return f"snap.{self.name}"

    @property
    def label(self) -> str:
        """On each container of the snap; charms look for another."""
        return f"{self.charm}.snap"

    @property
    def folder(self) -> Path:
        """Where the snap has its work."""
        return self.common


class Snap(Generic[C, D]):
    """A snap that keeps one container, as the environment that snapd gives its programs says.

    Args:
        workload: what it runs.
    """

    def __init__(self, workload: Workload[C, D]):
        self.workload = workload
        self.folder = Path(os.environ["SNAP"])
        self.unit = SnapUnit(
            workload.name, os.environ["SNAP_NAME"], Path(os.environ["SNAP_COMMON"])
        )

    def read_options(self) -> C:
        """Return what `snap set` was given; in the hook configure, what it is about to be.

        Raises:
            OptionsError: options are wrong.
            OSError: snapd does not answer.
        """
        model = self.workload.options
        offered = sorted(each.replace("_", "-") for each in {*model.model_fields} - NOT_OFFERED)
        said = json.loads(_snapctl("get", "-d", *offered) or "{}")
        given = {n: _read_value(n, value) for n, value in said.items() if value is not None}
        return parse_options(model, given)

    def reconcile(self) -> tuple[Options | None, reconcile.Observed[D]]:
        """Change what differs from what is wanted; return the options, and how it stands."""
        try:
            config = self.read_options()
            if not _is_connected():
                name = self.unit.name
                return config, reconcile.Observed(
                    f"the plug {PLUG} is not connected; run: "
                    f"sudo snap connect {name}:{PLUG} docker:docker-daemon"
                )
            desired = Desired(self.unit, config, self.folder, report=_log_step, confined=True)
            return config, reconcile.reconcile(self.workload, desired)
        except (OptionsError, OSError) as error:
            return None, reconcile.Observed(str(error))

    def remove(self, *, images: bool) -> bool:
        """Remove the container, and the images that were brought; return whether it could.

        The work stays: snapd removes it with the snap, after a snapshot unless told otherwise.
        """
        try:
            engine = Engine()
            reconcile.remove_containers(self.unit, engine)
            if images:
                reconcile.remove_all_images(self.workload, self.unit, engine)
        except (DockerHostError, OSError) as error:
            logger.warning("%s may have been left: %s", self.unit.id, error)
            return False
        return True


class _Reporter:
    """Reports the container's state to snapd and the log, when there is something new."""

    def __init__(self, workload: Workload[Any, Any]):
        self._workload = workload
        self._reported: tuple[str, ...] = ()
        self._due = 0.0

    def report(self, config: Options | None, observed: reconcile.Observed[Any]) -> None:
        state, message = texts.choose_status(self._workload, observed)
        policy = _describe_policy(config) if config else ""
        # Progress changes all the time, and everything else when something has happened.
        news = (state, policy, "" if state == "active" else message)
        if news == self._reported and time.monotonic() < self._due:
            return
        fields = {"state": state, "message": make_message(message), "cpu-policy": policy}
        # In JSON, which snapd would also take the texts for.
        _snapctl("set", *(f"status.{name}={json.dumps(said)}" for name, said in fields.items()))
        level = logging.INFO if state == "active" else logging.WARNING
        logger.log(level, "%s: %s", state, fields["message"])
        if policy and policy not in self._reported:
            logger.info("cpu-policy %s", policy)
        self._reported, self._due = news, time.monotonic() + _RARELY


class _Stopped(BaseException):
    """snapd stops the daemon."""


def keep(snap: Snap[Any, Any]) -> int:
    """Keep the container as it should be until SIGTERM; SIGHUP asks for a look at once."""
    reporter = _Reporter(snap.workload)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGHUP})
    signal.signal(signal.SIGTERM, _stop)
    with contextlib.suppress(_Stopped):
        while True:
            try:
                reporter.report(*snap.reconcile())
            except OSError as error:
                logger.warning("snapd could not be told: %s", error)
            signal.sigtimedwait({signal.SIGHUP}, _PAUSE)
    return 0 if snap.remove(images=False) else 1


def reload() -> int:
    """Let the daemon look at once: what systemd runs for `snapctl restart --reload`."""
    os.kill(int(os.environ["MAINPID"]), signal.SIGHUP)
    return 0


def configure(snap: Snap[Any, Any]) -> int:
    """Refuse options that are wrong, and let the daemon follow those that are not.

    snapd changes nothing if this fails. It restarts the daemon after it has kept the options, and
    only if that runs; a signal from here would make it read the former ones.
    """
    try:
        snap.read_options()
        _snapctl("restart", "--reload", snap.unit.name)
    except (OptionsError, OSError) as error:
        print(f"{error}; nothing was changed", file=sys.stderr)
        return 1
    return 0


def show(snap: Snap[Any, D], describe: Callable[[D], Mapping[str, Any]]) -> int:
    """Print what a program has told."""
    try:
        seen = reconcile.observe(snap.workload, snap.unit)
    except (DockerHostError, OSError) as error:
        print(explain(error), file=sys.stderr)
        return 1
    if seen is None:
        print(
            f"there is no {snap.workload.noun} yet; snap get {snap.unit.name} status says why",
            file=sys.stderr,
        )
        return 1
    for name, value in describe(seen.report.details).items():
        print(f"{name}: {value}")
    return 0


def run(
    workload: Workload[Any, D], reports: Mapping[str, Callable[[D], Mapping[str, Any]]]
) -> NoReturn:
    """Do what the snap's program is called for, and exit.

    Args:
        workload: what the snap runs.
        reports: commands of the snap's own: what each prints of what the program has told.
    """
    logging.basicConfig(format="%(message)s", level=logging.INFO)
    (word,) = sys.argv[1:]
    snap = Snap(workload)
    if word in reports:
        sys.exit(show(snap, reports[word]))
    sys.exit(
        {
            "daemon": lambda: keep(snap),
            "reload": reload,
            "configure": lambda: configure(snap),
            "remove": lambda: int(not snap.remove(images=True)),
        }[word]()
    )


def _read_value(name: str, value: Any) -> str:
    """Return an option as text; snapd takes what looks like JSON for JSON, such as cpuset=1.

    Raises:
        OptionsError: it holds more than one value.
    """
    text = value if isinstance(value, str) else json.dumps(value)
    if isinstance(value, dict | list):
        raise OptionsError(f"option {name}: {text[:40]} is not one value; give text or a number")
    return text


def _describe_policy(config: Options) -> str:
    policy = config.cpu_policy
    return f"{policy.value}; not in force under confinement: {LEFT_OUT[policy]}"


def _is_connected() -> bool:
    return programs.call(SNAPCTL, "is-connected", PLUG).returncode == 0


def _snapctl(*words: str) -> str:
    return programs.run(SNAPCTL, *words)


def _log_step(step: str) -> None:
    logger.info("%s", make_message(step))


def _stop(*_: object) -> NoReturn:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise _Stopped
