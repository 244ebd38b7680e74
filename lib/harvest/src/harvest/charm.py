"""The charm's side: observes what all such charms observe, and shows it as a status.

A module that starts a charm imports this one before ops: see `cosagent.tracing`.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, Generic

from hostkit import garbage  # before all that loads much

# isort: split
from cosagent import tracing  # before ops

# isort: split
import ops

from cosagent.sharing import ENDPOINT, MetricsSharing
from dockerhost import DockerHostError, Proxies
from harvest import parameters, reconcile, removal, tasks, texts
from harvest.image import name_resource
from harvest.observability import make_dashboard, make_rules
from harvest.options import C, OptionsError, parse_options
from harvest.policy import NotInForceError
from harvest.unit import Unit
from harvest.untrusted import make_message
from harvest.workload import D, Desired, Workload
from hostkit import agents
from hostkit.text import explain

logger = logging.getLogger(__name__)
# Each line costs a process, and what ops says at this level, which hook begins, Juju says itself.
logging.disable(logging.DEBUG)
# What reading a unit takes: the engine's socket is root's, the work directory its container's.
_RIGHTS = ("CapabilityBoundingSet=CAP_DAC_READ_SEARCH",)


class HarvestCharm(ops.CharmBase, Generic[C, D]):
    """A subordinate that runs a container on its principal's machine.

    A charm gives its `workload`, and observes its own actions.
    """

    workload: Workload[C, D]

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        self._status: ops.StatusBase | None = None
        self._metrics = MetricsSharing(
            self,
            _RIGHTS,
            lambda: make_rules(self.workload),
            lambda: make_dashboard(self.workload, self.charm_dir),
        )
        principal, collector = self.on["juju-info"], self.on[ENDPOINT]
        framework.observe(self.on.install, self._on_change)
        framework.observe(self.on.config_changed, self._on_change)
        framework.observe(self.on.start, self._on_change)
        framework.observe(self.on.upgrade_charm, self._on_change)
        framework.observe(self.on.update_status, self._on_change)
        framework.observe(self.on.secret_changed, self._on_change)
        framework.observe(principal.relation_created, self._on_change)
        framework.observe(principal.relation_joined, self._on_change)
        framework.observe(principal.relation_changed, self._on_change)
        framework.observe(collector.relation_created, self._on_change)
        framework.observe(collector.relation_joined, self._on_change)
        framework.observe(collector.relation_changed, self._on_change)
        framework.observe(principal.relation_broken, self._on_principal_broken)
        framework.observe(self.on.stop, self._on_stop)
        framework.observe(self.on.collect_unit_status, self._on_collect_status)
        framework.observe(self.on["pause"].action, self._on_pause)
        framework.observe(self.on["resume"].action, self._on_resume)
        framework.observe(self.on["logs"].action, self._on_logs)
        framework.observe(self.on["adopt-work"].action, self._on_adopt_work)
        self._tracing = tracing.trace(self)

    @property
    def own(self) -> Unit:
        """What the unit calls its own on its machine."""
        return Unit(self.workload.name, self.unit.name)

    def read_desired(self) -> Desired[C]:
        """Return the container that the unit wants.

        Raises:
            OptionsError: options are wrong.
        """
        return Desired(
            self.own,
            self._read_options(),
            self.charm_dir,
            *self._fetch_archive(),
            _read_proxies(),
            self._show_step,
        )

    def reconcile(self, *, resume: bool = False) -> None:
        """Bring about what the unit wants, and tell how that went.

        Args:
            resume: whether to continue a container that an operator has paused.
        """
        try:
            desired = self.read_desired()
        except OptionsError as error:
            # A container that runs goes on as it was last configured.
            self._status = ops.BlockedStatus(str(error))
            return
        observed = reconcile.reconcile(self.workload, desired, resume=resume)
        self._status = ops.StatusBase.from_name(*texts.choose_status(self.workload, observed))
        if seen := observed.seen:
            self.unit.set_workload_version(f"{seen.report.program} {seen.report.version}".strip())
        config = desired.config
        arguments = (self.unit.name, config.cpu_policy.value, str(config.metrics_port))
        self._metrics.share(config.metrics_port, arguments, works=not observed.worker)

    def _on_change(self, _: ops.EventBase) -> None:
        self.reconcile()

    def _read_options(self) -> C:
        options: dict[str, Any] = {**self.config}
        for name, option in self.meta.config.items():
            if option.type == "secret" and name in options:
                options[name] = self._read_secret(name, options[name])
        return parse_options(self.workload.options, options)

    def _read_secret(self, option: str, identifier: str) -> dict[str, str]:
        try:
            return self.model.get_secret(id=identifier).get_content(refresh=True)
        except (ops.SecretNotFoundError, ops.ModelError) as error:
            raise OptionsError(
                f"option {option}: there is no secret {identifier} for this application; give its "
                "identifier, as juju secrets shows it, and grant it: juju grant-secret NAME "
                f"{self.app.name}"
            ) from error

    def _fetch_archive(self) -> tuple[Path | None, str]:
        """Return the attached resource, which may be an empty file, or why there is none."""
        resource = name_resource(self.workload.name)
        if resource not in self.meta.resources:
            return None, ""
        try:
            return self.model.resources.fetch(resource), ""
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
            work = bool(self.config.get("remove-work", False))
            reconcile.remove(self.workload, self.own, work=work)
        except (DockerHostError, OSError) as error:
            logger.warning("the %s could not be removed: %s", self.workload.noun, error)
        self._metrics.stop()

    def _on_collect_status(self, event: ops.CollectStatusEvent) -> None:
        # An action reconciles nothing, and leaves the status alone.
        for status in (self._status, self._metrics.status):
            if status:
                event.add_status(
                    ops.StatusBase.from_name(status.name, make_message(status.message))
                )

    def _on_pause(self, event: ops.ActionEvent) -> None:
        with failing(event):
            tasks.find_seen(self.workload, self.own)
            reconcile.pause(self.own)
            said = texts.describe_pause(tasks.find_seen(self.workload, self.own))
            self._status = ops.MaintenanceStatus(said)
            event.set_results({"message": said})

    def _on_resume(self, event: ops.ActionEvent) -> None:
        with failing(event):
            if not self.own.is_held():
                tasks.find_seen(self.workload, self.own)
            self.reconcile(resume=True)
            seen = tasks.find_seen(self.workload, self.own)
            event.set_results({"message": texts.describe(seen)})

    def _on_logs(self, event: ops.ActionEvent) -> None:
        asked = event.load_params(parameters.Logs, errors="fail")
        with failing(event):
            lines = tasks.read_logs(self.workload, self.own, asked.lines)
            event.set_results(texts.list_logs(lines))

    def _on_adopt_work(self, event: ops.ActionEvent) -> None:
        asked = event.load_params(parameters.AdoptWork, errors="fail")
        with failing(event):
            self.read_desired()
            former = tasks.adopt_work(self.workload, self.own, asked.directory)
            self.reconcile()
            event.set_results(texts.list_adoption(asked.directory, former))

    def _show_step(self, step: str) -> None:
        self.unit.status = ops.MaintenanceStatus(make_message(step))


@contextlib.contextmanager
def failing(event: ops.ActionEvent) -> Generator[None, None, None]:
    """Turn an error into the failure of an action, in one line."""
    try:
        yield
    except (OptionsError, tasks.TaskError) as error:
        event.fail(make_message(str(error)))
    except (DockerHostError, NotInForceError, OSError) as error:
        event.fail(make_message(explain(error)))


def run(charm: type[HarvestCharm[Any, Any]]) -> None:
    """Run a charm's hook or action: what its src/charm.py is for."""
    tracing.load_if_related()
    garbage.collect_from_here()
    try:
        ops.main(charm)
    except ops.ModelError:
        # Juju 4.0.15 may run stop when every hook tool fails already, and ops needs some itself.
        if os.environ.get("JUJU_HOOK_NAME") != "stop":
            raise
        workload = charm.workload  # pyright: ignore[reportGeneralTypeIssues]
        sys.exit(removal.give_back(workload, os.environ["JUJU_UNIT_NAME"]))


def _read_proxies() -> Proxies:
    """Return the model's proxies, as Juju tells them."""
    names = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
    return Proxies(*(os.environ.get(f"JUJU_CHARM_{name}", "") for name in names))
