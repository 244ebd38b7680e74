#!/usr/bin/env python3
from __future__ import annotations

import logging

import ops

import apache2

logger = logging.getLogger(__name__)


class Apache2Charm(ops.CharmBase):
    """Serves one page with apache2."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        self._problem = ""
        for event in (
            self.on.install,
            self.on.upgrade_charm,
            self.on.config_changed,
            self.on.start,
            self.on.update_status,
        ):
            framework.observe(event, self._reconcile)
        framework.observe(self.on.stop, self._on_stop)
        framework.observe(self.on.page_action, self._on_page_action)
        framework.observe(self.on.collect_unit_status, self._on_collect_unit_status)

    def _reconcile(self, _: ops.EventBase) -> None:
        try:
            apache2.install()
            apache2.write_page(str(self.config["page"]), self.unit.name)
            apache2.start()
        except apache2.Apache2Error as error:
            self._problem = str(error)
            return
        try:
            self.unit.set_ports(80)
        except ops.ModelError as error:
            # Another unit of the machine has it open; they share the machine's one apache2.
            logger.warning("port 80 stays closed for this unit: %s", error)
        self.unit.set_workload_version(apache2.version())

    def _on_stop(self, _: ops.StopEvent) -> None:
        self.unit.set_ports()
        try:
            apache2.stop()
        except apache2.Apache2Error as error:
            self._problem = str(error)

    def _on_page_action(self, event: ops.ActionEvent) -> None:
        try:
            event.set_results({"page": apache2.fetch_page()})
        except apache2.Apache2Error as error:
            event.fail(str(error))

    def _on_collect_unit_status(self, event: ops.CollectStatusEvent) -> None:
        if self._problem:
            event.add_status(ops.BlockedStatus(self._problem))
        elif apache2.is_running():
            event.add_status(ops.ActiveStatus(f"serving on http://{self._address()}/"))
        else:
            event.add_status(ops.MaintenanceStatus("apache2 is not running"))

    def _address(self) -> str:
        binding = self.model.get_binding("juju-info")
        return str(binding.network.ingress_address) if binding else ""


if __name__ == "__main__":
    ops.main(Apache2Charm)
