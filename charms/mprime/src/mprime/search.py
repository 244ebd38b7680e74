"""The charm's workload: the search for Mersenne primes, whichever program an image holds."""

from __future__ import annotations

import platform
import socket
from collections.abc import Sequence
from dataclasses import dataclass

from dockerhost import Container, Image
from harvest.untrusted import read_label
from harvest.workdir import WorkDirectory
from harvest.workload import Desired, Job, Report, Share, Workload
from mprime.assignments import KNOWN_PRIMES, Assignment, merge_work, read_orders
from mprime.config import Config
from mprime.engines import (
    ADAPTERS,
    ENGINE_LABEL,
    PRIMENET_LABEL,
    VERSION_LABEL,
    Adapter,
    PrimeNet,
    Search,
    Settings,
)
from mprime.texts import describe_pause, describe_search

# On the container of a search that asks PrimeNet for work.
SERVER_LABEL = "mprime.primenet"
ORDERS = "orders"  # what actions ordered, out of the container's reach


@dataclass(frozen=True, kw_only=True)
class SearchJob(Job):
    """What a search program is to do, and in which settings."""

    adapter: Adapter
    settings: Settings

    def explain(self, work: WorkDirectory) -> str:
        return self.adapter.explain(self.settings) or self._explain_need(work)

    def is_current(self, work: WorkDirectory) -> bool:
        return self.adapter.is_current(work, self.settings)

    def ensure_files(self, work: WorkDirectory) -> None:
        self.adapter.ensure_files(work, self.settings)

    def add_work(self, work: WorkDirectory, *, running: bool) -> None:
        self.adapter.add_work(work, self.settings, running=running)

    def find_left(self, work: WorkDirectory, exit_code: int) -> str | None:
        """Return the number that is next; empty if PrimeNet is asked for one; None if none is."""
        if progress := self.adapter.read_progress(work, ()):
            return f"M{progress.exponent}"
        return "" if self.settings.primenet else None

    def _explain_need(self, work: WorkDirectory) -> str:
        """Return why the disk is too small for what the program lays aside."""
        need = self.adapter.choose_disk(self.settings)
        # What it has laid aside already counts.
        if not need or (left := work.measure_space() + work.measure()) >= need:
            return ""
        return (
            f"option disk-limit: the disk of {work.path} has {left / 1e9:.1f} GB for the search, "
            f"and it may lay aside {need / 1e9:.1f} GB; free some, or give a lower limit"
        )


class SearchWorkload(Workload[Config, Search]):
    """A search for Mersenne primes."""

    name = "mprime"
    noun = "search"
    options = Config
    files = (ORDERS,)
    stage = "mersenne.stage"

    def choose_recipes(self, work: WorkDirectory) -> Sequence[str]:
        """Return the program that has begun the work, or else those for this machine."""
        for name, adapter in ADAPTERS.items():
            if adapter.owns(work):
                return (name,)
        # GIMPS has mprime for x86 only.
        return ("mprime", "mlucas") if platform.machine() == "x86_64" else ("mlucas",)

    def explain_image(self, image: Image) -> str:
        """Return why an image does not hold a search program."""
        label = read_label(image.labels, ENGINE_LABEL)
        wrong = f"its label {ENGINE_LABEL} is {label!r}, and must be one of: {', '.join(ADAPTERS)}"
        return "" if label in ADAPTERS else wrong

    def make_job(self, desired: Desired[Config], image: Image, share: Share) -> SearchJob:
        config = desired.config
        adapter = ADAPTERS[image.labels[ENGINE_LABEL]]
        try:
            work = declare_work(desired)
        except ValueError as error:
            raise ValueError(f"option worktodo: {error}") from error
        asks = bool(config.primenet_user)
        memory = config.memory_limit or adapter.choose_memory(work, asks=asks)
        primenet = None
        if asks:
            primenet = PrimeNet(
                config.primenet_user,
                # PrimeNet keeps 20 characters.
                config.computer_name or socket.gethostname()[:20],
                config.work_preference,
                desired.proxies.http,
                read_label(image.labels, PRIMENET_LABEL),
            )
        settings = Settings(
            work, config.checkpoint_minutes, memory, share.threads, primenet, config.disk_limit
        )
        return SearchJob(
            program=adapter.name,
            adapter=adapter,
            settings=settings,
            memory=memory,
            command=adapter.choose_cores(share.cores),
            network="bridge" if asks else "none",
            restart=adapter.restart,
            stop_signal=adapter.stop_signal,
            stop_timeout=adapter.stop_timeout,
            labels={SERVER_LABEL: ""} if asks else {},
            failure=adapter.failure,
        )

    def read(
        self, container: Container, work: WorkDirectory, log: Sequence[str]
    ) -> Report[Search] | None:
        adapter = ADAPTERS.get(read_label(container.labels, ENGINE_LABEL))
        if adapter is None:
            return None
        progress, asks = adapter.read_progress(work, log), SERVER_LABEL in container.labels
        outage = adapter.find_outage(log) if asks else ""
        search = Search(progress, adapter.read_results(work), asks, outage)
        # A checkpoint takes as many bits as the exponent says, beside the one before.
        need = 2 * progress.exponent // 8 if progress else 0
        code = 0 if container.state == "running" else container.exit_code
        return Report(
            program=adapter.name,
            version=read_label(container.labels, VERSION_LABEL),
            text=describe_search(search),
            paused=describe_pause(search),
            details=search,
            busy=bool(progress or asks),
            unsaved=work.explain_lack(need) or adapter.find_unsaved(log, code),
            savefiles=adapter.match_savefiles(progress.exponent) if progress else None,
            failure=adapter.failure,
        )


SEARCH = SearchWorkload()


def declare_work(desired: Desired[Config]) -> tuple[Assignment, ...]:
    """Return what the option worktodo lists, and then what actions ordered.

    Raises:
        OSError: the file of orders can't be read.
        ValueError: an exponent is to be tested in two ways.
    """
    config = desired.config
    by_default = () if config.primenet_user else KNOWN_PRIMES
    orders = read_orders(desired.unit.find_file(ORDERS))
    return merge_work(config.worktodo or by_default, orders)
