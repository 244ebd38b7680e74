#!/usr/bin/env python3
"""The mprime charm: translates Juju's events to `mprime`, and what that observed to a status."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tracing  # before ops: it keeps from it what only a traced unit needs

# isort: split
import ops

import mprime
import parameters
import removal
import tasks
import texts
from config import Config, ConfigError, parse_config
from cosagent import service
from cosagent.service import Service
from cpu import NotInForceError
from dockerhost import Proxies
from hostkit import agents
from image import RESOURCE
from untrusted import tell

logger = logging.getLogger(__name__)
# Each line that reaches Juju's log costs a process, and the Engine API client's say nothing new.
for client in ("docker", "urllib3"):
    logging.getLogger(client).setLevel(logging.WARNING)
_COLLECTOR = "cos-agent"
# What reading a search takes: the engine's socket is root's, the work directory its container's.
_RIGHTS = ("CapabilityBoundingSet=CAP_DAC_READ_SEARCH",)


class MprimeCharm(ops.CharmBase):
    """A subordinate that searches for Mersenne primes on its principal's machine."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        self._status: ops.StatusBase | None = None
        self._metrics_status: ops.StatusBase | None = None
        principal, collector = self.on["juju-info"], self.on[_COLLECTOR]
        for event in (
            self.on.install,
            self.on.config_changed,
            self.on.start,
            self.on.upgrade_charm,
            self.on.update_status,
            self.on.secret_changed,
            principal.relation_created,
            principal.relation_joined,
            principal.relation_changed,
            collector.relation_created,
            collector.relation_joined,
            collector.relation_changed,
        ):
            framework.observe(event, self._on_change)
        framework.observe(collector.relation_broken, self._on_collector_broken)
        framework.observe(principal.relation_broken, self._on_principal_broken)
        framework.observe(self.on.stop, self._on_stop)
        framework.observe(self.on.collect_unit_status, self._on_collect_status)
        for action, handler in (
            ("progress", self._on_progress),
            ("results", self._on_results),
            ("add-work", self._on_add_work),
            ("pause", self._on_pause),
            ("resume", self._on_resume),
            ("benchmark", self._on_benchmark),
            ("stress-test", self._on_stress_test),
            ("logs", self._on_logs),
            ("adopt-work", self._on_adopt_work),
        ):
            framework.observe(self.on[action].action, handler)
        if ops.tracing:
            self.tracing = ops.tracing.Tracing(
                self, tracing.ENDPOINT, ca_relation_name=tracing.AUTHORITY
            )

    def _on_change(self, _: ops.EventBase) -> None:
        self._reconcile()

    def _reconcile(self, *, resume: bool = False) -> None:
        try:
            desired = self._read_desired()
        except ConfigError as error:
            # A search that runs goes on as it was last configured.
            self._status = ops.BlockedStatus(str(error))
            return
        observed = mprime.reconcile(desired, resume=resume)
        self._status = _choose_status(observed)
        if search := observed.search:
            self.unit.set_workload_version(f"{search.engine} {search.version}".strip())
        self._share_metrics(desired.config, works=not observed.worker)

    def _read_desired(self) -> mprime.Desired:
        return mprime.Desired(
            self.unit.name,
            self._read_config(),
            self.charm_dir,
            *self._fetch_archive(),
            _read_proxies(),
            self._show_step,
        )

    def _share_metrics(self, config: Config, *, works: bool) -> None:
        """Serve the search's metrics while there is a collector, and tell it where."""
        relation = self.model.get_relation(_COLLECTOR)
        try:
            if relation and works:
                arguments = (self.unit.name, config.cpu_policy.value, str(config.metrics_port))
                Service(self.unit.name, self.charm_dir, arguments, _RIGHTS).settle()
            else:
                service.remove(self.unit.name)
        except OSError as error:
            self._metrics_status = ops.BlockedStatus(
                f"option metrics-port: nothing serves metrics on {config.metrics_port}: {error}"
            )
        if relation:
            from cosagent import databag  # here, as it takes a while, and few hooks need it

            topology = databag.JujuTopology.from_charm(self)
            port = config.metrics_port if works else None
            told = relation.data[self.unit]
            for key, value in databag.build(topology, port, self.charm_dir).items():
                if told.get(key) != value:
                    told[key] = value

    def _on_collector_broken(self, _: ops.RelationBrokenEvent) -> None:
        self._stop_serving()

    def _stop_serving(self) -> None:
        try:
            service.remove(self.unit.name)
        except OSError as error:
            logger.warning("the metrics' service could not be removed: %s", error)

    def _read_config(self) -> Config:
        options: dict[str, Any] = {**self.config}
        for name, option in self.meta.config.items():
            if option.type == "secret" and name in options:
                options[name] = self._read_secret(name, options[name])
        return parse_config(options)

    def _read_secret(self, option: str, identifier: str) -> dict[str, str]:
        try:
            return self.model.get_secret(id=identifier).get_content(refresh=True)
        except (ops.SecretNotFoundError, ops.ModelError) as error:
            raise ConfigError(
                f"option {option}: there is no secret {identifier} for this application; "
                f"name one and grant it: juju grant-secret NAME {self.app.name}"
            ) from error

    def _fetch_archive(self) -> tuple[Path | None, str]:
        """Return the attached resource, which may be an empty file, or why there is none."""
        try:
            return self.model.resources.fetch(RESOURCE), ""
        except ops.ModelError as error:
            # Juju says this of one that was never attached, too.
            return None, " ".join(str(error).split())

    def _on_principal_broken(self, event: ops.RelationBrokenEvent) -> None:
        # It may be another application's; and after that of this unit's own no hook may come.
        others = (each.app for each in self.model.relations["juju-info"] if each.active)
        if not agents.has_principal(app.name for app in others if app):
            self._on_stop(event)

    def _on_stop(self, _: ops.EventBase) -> None:
        try:
            mprime.remove(self.unit.name, work=bool(self.config["remove-work"]))
        except (mprime.DockerHostError, OSError) as error:
            logger.warning("the search could not be removed: %s", error)
        self._stop_serving()

    def _on_collect_status(self, event: ops.CollectStatusEvent) -> None:
        # An action reconciles nothing, and leaves the status alone.
        for status in (self._status, self._metrics_status):
            if status:
                event.add_status(ops.StatusBase.from_name(status.name, tell(status.message)))

    def _on_progress(self, event: ops.ActionEvent) -> None:
        with _failing(event):
            event.set_results(texts.list_progress(self._find_search().progress))

    def _on_results(self, event: ops.ActionEvent) -> None:
        with _failing(event):
            event.set_results(texts.list_results(self._find_search().results))

    def _on_add_work(self, event: ops.ActionEvent) -> None:
        asked = event.load_params(parameters.AddWork, errors="fail")
        with _failing(event):
            ordered = tasks.add_work(self._read_desired(), asked.work)
            self._reconcile()
            event.set_results(texts.list_ordered(ordered))

    def _on_pause(self, event: ops.ActionEvent) -> None:
        with _failing(event):
            self._find_search()
            mprime.pause(self.unit.name)
            said = texts.describe_pause(self._find_search())
            self._status = ops.MaintenanceStatus(said)
            event.set_results({"message": said})

    def _on_resume(self, event: ops.ActionEvent) -> None:
        with _failing(event):
            if not mprime.is_held(self.unit.name):
                self._find_search()
            self._reconcile(resume=True)
            event.set_results({"message": texts.describe_search(self._find_search())})

    def _on_benchmark(self, event: ops.ActionEvent) -> None:
        asked = event.load_params(parameters.Benchmark, errors="fail")
        with _failing(event):
            measured = tasks.run_benchmark(self._read_desired(), asked.seconds, event.log)
            event.set_results(texts.list_benchmark(measured))

    def _on_stress_test(self, event: ops.ActionEvent) -> None:
        asked = event.load_params(parameters.StressTest, errors="fail")
        with _failing(event):
            tested = tasks.run_stress_test(self._read_desired(), asked.minutes, event.log)
            event.set_results(texts.list_stress_test(tested))
            if tested.errors:
                event.fail(texts.describe_errors(tested))

    def _on_logs(self, event: ops.ActionEvent) -> None:
        asked = event.load_params(parameters.Logs, errors="fail")
        with _failing(event):
            event.set_results(texts.list_logs(tasks.read_logs(self.unit.name, asked.lines)))

    def _on_adopt_work(self, event: ops.ActionEvent) -> None:
        asked = event.load_params(parameters.AdoptWork, errors="fail")
        with _failing(event):
            former = tasks.adopt_work(self._read_desired(), asked.directory)
            self._reconcile()
            event.set_results(texts.list_adoption(asked.directory, former))

    def _find_search(self) -> mprime.Search:
        search = mprime.observe(self.unit.name)
        if search is None:
            raise tasks.TaskError("there is no search on this machine yet; juju status says why")
        return search

    def _show_step(self, step: str) -> None:
        self.unit.status = ops.MaintenanceStatus(tell(step))


@contextlib.contextmanager
def _failing(event: ops.ActionEvent) -> Iterator[None]:
    """Let what goes wrong fail an action, in one line."""
    try:
        yield
    except (ConfigError, tasks.TaskError, mprime.DockerHostError, NotInForceError) as error:
        event.fail(tell(str(error)))
    except OSError as error:
        event.fail(tell(f"{error.filename}: {error.strerror}" if error.filename else str(error)))


def _read_proxies() -> Proxies:
    """Return the model's proxies, as Juju tells them."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return Proxies(*(os.environ.get(f"JUJU_CHARM_{name}", "") for name in names))


def _choose_status(observed: mprime.Observed) -> ops.StatusBase:
    search = observed.search
    if observed.problem:
        return ops.BlockedStatus(observed.problem)
    if observed.worker:
        return ops.ActiveStatus(f"standby: {observed.worker} works on this machine")
    if search is None and observed.held:
        return ops.MaintenanceStatus("paused; the action resume goes on with a new container")
    if search is None:
        return ops.WaitingStatus("the search's container is gone; the next hook makes a new one")
    if search.paused:
        return ops.MaintenanceStatus(texts.describe_pause(search))
    if search.unsaved:
        return ops.BlockedStatus(f"{search.engine} can't save its work: {search.unsaved}")
    if (search.progress or search.asks) and search.state != "running":
        return ops.WaitingStatus(f"{search.engine} is {search.state}: {search.last_words}")
    return ops.ActiveStatus(texts.describe_search(search))


if __name__ == "__main__":  # pragma: nocover
    tracing.load_if_related()
    try:
        ops.main(MprimeCharm)
    except ops.ModelError:
        # Juju 4.0.15 may run stop when every hook tool fails already, and ops needs some itself.
        if os.environ.get("JUJU_HOOK_NAME") != "stop":
            raise
        sys.exit(removal.release(os.environ["JUJU_UNIT_NAME"]))
