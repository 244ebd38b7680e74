#!/usr/bin/env python3
from __future__ import annotations

import json
from typing import Any

import ops
from cosl import JujuTopology, LZMABase64

import collector


class CollectorCharm(ops.CharmBase):
    """Collects what units beside it tell over cos_agent, and traces from anywhere."""

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        self._problem = ""
        told, traced, trusting = (
            self.on[endpoint] for endpoint in ("cos-agent", "tracing", "send-ca-cert")
        )
        for event in (
            self.on.install,
            self.on.upgrade_charm,
            self.on.config_changed,
            self.on.start,
            self.on.leader_elected,
            told.relation_joined,
            told.relation_changed,
            told.relation_broken,
            traced.relation_created,
            traced.relation_changed,
            trusting.relation_created,
            trusting.relation_changed,
        ):
            framework.observe(event, self._reconcile)
        framework.observe(self.on.stop, self._on_stop)
        framework.observe(self.on.collect_unit_status, self._on_collect_unit_status)

    def _reconcile(self, _: ops.EventBase) -> None:
        jobs: list[dict[str, Any]] = []
        groups: list[dict[str, Any]] = []
        dashboards: list[str] = []
        for relation in self.model.relations["cos-agent"]:
            for unit in relation.units:
                told = json.loads(relation.data[unit].get("config", "{}"))
                jobs += [self._label(job, unit) for job in told.get("metrics_scrape_jobs", [])]
                groups += told.get("metrics_alert_rules", {}).get("groups", [])
                dashboards += map(LZMABase64.decompress, told.get("dashboards", []))
        certificate = ""
        try:
            if self.config["tls"]:
                certificate = collector.ensure_certificate(collector.find_address())
            collector.install(self.charm_dir, tls=bool(certificate))
            collector.configure(jobs, {"groups": groups}, dashboards)
        except collector.CollectorError as error:
            self._problem = str(error)
        if self.unit.is_leader():
            self._offer_receiver("https" if certificate else "http")
            for relation in self.model.relations["send-ca-cert"]:
                relation.data[self.app]["certificates"] = json.dumps([certificate])

    def _label(self, job: dict[str, Any], unit: ops.Unit) -> dict[str, Any]:
        """Return a job whose metrics say where they come from, as the real collectors do."""
        where = JujuTopology(
            model=self.model.name,
            model_uuid=self.model.uuid,
            application=unit.app.name,
            unit=unit.name,
        )
        labels = {f"juju_{key}": value for key, value in where.as_dict().items() if value}
        configs = [{**each, "labels": labels} for each in job["static_configs"]]
        return {**job, "static_configs": configs}

    def _offer_receiver(self, scheme: str) -> None:
        for relation in self.model.relations["tracing"]:
            receiver = {
                "protocol": {"name": "otlp_http", "type": "http"},
                "url": f"{scheme}://{collector.find_address()}:{collector.TRACES_PORT}",
            }
            relation.data[self.app]["receivers"] = json.dumps([receiver])

    def _on_stop(self, _: ops.StopEvent) -> None:
        try:
            collector.remove()
        except collector.CollectorError as error:
            self._problem = str(error)

    def _on_collect_unit_status(self, event: ops.CollectStatusEvent) -> None:
        if self._problem:
            event.add_status(ops.BlockedStatus(self._problem))
        else:
            event.add_status(ops.ActiveStatus())


if __name__ == "__main__":
    ops.main(CollectorCharm)
