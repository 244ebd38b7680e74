"""The charm's side: serves a unit's metrics while there is a collector, and tells it where."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

import ops

from cosagent import service
from cosagent.service import Service
from hostkit.text import explain

ENDPOINT = "cos-agent"
logger = logging.getLogger(__name__)


class MetricsSharing(ops.Object):
    """Shares a unit's metrics over the endpoint `cos-agent`.

    The charm calls `share` in each hook, and so observes the endpoint itself.

    Args:
        charm: whose src/exporter.py serves them.
        rights: what that needs; see `Service`.
        write_rules: returns alert rules, as Prometheus has them in a file, that the charm has
            beside those in its own folder. May raise OSError.
        write_dashboard: returns one, as Grafana has it in a file, that the charm has beside those
            in its own folder. May raise OSError.

    Attributes:
        status: why the metrics are not served; None if they are, or are not to be.
    """

    def __init__(
        self,
        charm: ops.CharmBase,
        rights: Sequence[str],
        write_rules: Callable[[], str] = lambda: "",
        write_dashboard: Callable[[], str] = lambda: "",
    ):
        super().__init__(charm, "metrics-sharing")
        self.status: ops.StatusBase | None = None
        self._charm = charm
        self._rights = rights
        self._write_rules = write_rules
        self._write_dashboard = write_dashboard
        self.framework.observe(charm.on[ENDPOINT].relation_broken, self._on_broken)

    def share(
        self,
        port: int,
        arguments: Sequence[str],
        *,
        works: bool = True,
        write_inputs: Callable[[], None] = lambda: None,
    ) -> None:
        """Serve the metrics while there is a collector, and tell it where.

        Args:
            port: on the loopback address.
            arguments: those of src/exporter.py.
            works: whether there is anything to measure; otherwise the collector is told of alerts
                and dashboards alone.
            write_inputs: called before they are served, to write what the exporter reads.
        """
        charm, unit = self._charm, self._charm.unit
        relation = self.model.get_relation(ENDPOINT)
        if relation and works:
            try:
                write_inputs()
                Service(unit.name, charm.charm_dir, arguments, self._rights).ensure()
            except OSError as error:
                self.status = ops.BlockedStatus(
                    f"option metrics-port: nothing serves metrics on {port}: {explain(error)}"
                )
        else:
            self.stop()
        if relation:
            from cosagent import databag  # here, as it takes a while, and few hooks need it

            topology = databag.JujuTopology.from_charm(charm)
            told = relation.data[unit]
            written = self._write_rules(), self._write_dashboard()
            shared = databag.make_databag(
                topology, port if works else None, charm.charm_dir, *written
            )
            for key, value in shared.items():
                if told.get(key) != value:
                    told[key] = value

    def stop(self) -> None:
        """Stop serving the metrics."""
        try:
            service.remove(self._charm.unit.name)
        except OSError as error:
            logger.warning("the metrics' service could not be removed: %s", error)

    def _on_broken(self, _: ops.RelationBrokenEvent) -> None:
        self.stop()
