#!/usr/bin/env python3
"""The fan charm: translates Juju's events to `fan.machine`, and what that observed to a status."""

from __future__ import annotations

import logging
import os
import sys
import time
from dataclasses import dataclass

from hostkit import garbage  # before all that loads much

# isort: split
from cosagent import tracing  # before ops

# isort: split
import ops

import fannet
from cosagent.sharing import ENDPOINT, MetricsSharing
from fan import machine, peers, removal, texts, throughput
from fan.claims import write_known_peers
from fan.config import ConfigError, parse_config
from fan.peers import Peer, Verification
from fan.system import System
from hostkit import agents
from hostkit.text import explain

logger = logging.getLogger(__name__)
# Each line costs a process, and what ops says at this level, which hook begins, Juju says itself.
logging.disable(logging.DEBUG)

HOSTS = "hosts"
# What reading a fan takes: netlink and nft, BPF maps and programs, ping and ARP.
_RIGHTS = (
    "CapabilityBoundingSet=CAP_BPF CAP_NET_ADMIN CAP_NET_RAW CAP_PERFMON CAP_SYS_ADMIN",
    "RestrictAddressFamilies=AF_NETLINK AF_PACKET",
    "SystemCallFilter=bpf",
)
_TURN = 300  # seconds: about how often update-status comes


@dataclass(frozen=True)
class MeasureParams:
    """The parameters of the action `measure`."""

    unit: str
    seconds: int = 5


@dataclass(frozen=True)
class ListenParams:
    """The parameters of the action `listen`."""

    seconds: int = 60


class FanCharm(ops.CharmBase):
    """A subordinate that makes its principal's machine part of a fan."""

    system = System()

    def __init__(self, framework: ops.Framework):
        super().__init__(framework)
        self._status: ops.StatusBase | None = None
        self._metrics = MetricsSharing(self, _RIGHTS)
        self._tracing = tracing.trace(self)
        principal, others, collector = (self.on[name] for name in ("juju-info", HOSTS, ENDPOINT))
        framework.observe(self.on.install, self._on_change)
        framework.observe(self.on.config_changed, self._on_change)
        framework.observe(self.on.start, self._on_change)
        framework.observe(self.on.upgrade_charm, self._on_change)
        framework.observe(principal.relation_created, self._on_change)
        framework.observe(principal.relation_joined, self._on_change)
        framework.observe(principal.relation_changed, self._on_change)
        framework.observe(others.relation_created, self._on_change)
        framework.observe(others.relation_joined, self._on_change)
        framework.observe(others.relation_changed, self._on_change)
        framework.observe(others.relation_departed, self._on_change)
        framework.observe(collector.relation_created, self._on_change)
        framework.observe(collector.relation_joined, self._on_change)
        framework.observe(collector.relation_changed, self._on_change)
        framework.observe(self.on.update_status, self._on_update_status)
        framework.observe(principal.relation_broken, self._on_principal_broken)
        framework.observe(self.on.stop, self._on_stop)
        framework.observe(self.on.collect_unit_status, self._on_collect_status)
        framework.observe(self.on["show"].action, self._on_show)
        framework.observe(self.on["verify"].action, self._on_verify)
        framework.observe(self.on["measure"].action, self._on_measure)
        framework.observe(self.on["listen"].action, self._on_listen)
        framework.observe(self.on["drops"].action, self._on_drops)

    def _on_change(self, event: ops.EventBase) -> None:
        # One that goes is still in the relation while its departure is told.
        gone = event.departing_unit if isinstance(event, ops.RelationDepartedEvent) else None
        if gone is None or gone.name != self.unit.name:  # else this unit is on its way out
            # It changes only with the charm, so update-status need not tell it.
            self.unit.set_workload_version(f"fannet {fannet.__version__}")
            self._reconcile(but=gone.name if gone else "")

    def _on_update_status(self, _: ops.UpdateStatusEvent) -> None:
        self._reconcile(verify=True)

    def _reconcile(self, *, verify: bool = False, but: str = "") -> None:
        try:
            config = parse_config(self.config)
        except ConfigError as error:
            # The fan stays as it was last configured.
            self._status = ops.BlockedStatus(str(error))
            return
        observed = machine.reconcile(
            self.system, machine.Desired(self.unit.name, config, self.charm_dir, self._show_step)
        )
        if fan := observed.fan:
            self._publish_fan(fan)
        known = [peer for peer in self._list_peers() if peer.unit != but]
        verification = None
        if verify and fan and not observed.problem:
            turn = int(time.time()) // _TURN
            reachable = self._find_reachable(fan, known)
            verification = peers.verify(self.system, fan, reachable, turn)
        self._status = _choose_status(observed, known, verification)
        self._metrics.share(
            config.metrics_port,
            (self.unit.name, str(config.metrics_port)),
            write_inputs=lambda: write_known_peers(self.unit.name, known),
        )

    def _publish_fan(self, fan: fannet.Fan) -> None:
        if relation := self.model.get_relation(HOSTS):
            relation.data[self.unit].update(peers.make_peer(self.unit.name, fan).databag())

    def _list_peers(self) -> list[Peer]:
        """Return the peers on other machines, in order."""
        relation = self.model.get_relation(HOSTS)
        if relation is None:
            return []
        found = (
            peers.read_peer(unit.name, relation.data[unit])
            for unit in sorted(relation.units, key=lambda unit: agents.order(unit.name))
            if not agents.lives_here(unit.name)
        )
        return [peer for peer in found if peer]

    @staticmethod
    def _find_reachable(fan: fannet.Fan, known: list[Peer]) -> list[Peer]:
        """Return the peers that have a slice of their own in this fan."""
        return [peer for peer in known if not peers.find_conflicts(fan, [peer])]

    def _on_principal_broken(self, event: ops.RelationBrokenEvent) -> None:
        # It may be another application's; and after that of this unit's own no hook may come.
        others = (each.app for each in self.model.relations["juju-info"] if each.active)
        if not agents.has_principal(app.name for app in others if app):
            self._on_stop(event)

    def _on_stop(self, _: ops.EventBase) -> None:
        self._metrics.stop()
        try:
            machine.give_back(self.system, self.unit.name)
        except machine.TROUBLE as error:
            logger.warning("not all of the fan could be removed: %s", explain(error))

    def _on_collect_status(self, event: ops.CollectStatusEvent) -> None:
        # An action reconciles nothing, and leaves the status alone.
        for status in (self._status, self._metrics.status):
            if status:
                event.add_status(status)

    def _on_show(self, event: ops.ActionEvent) -> None:
        if state := self._find_fan(event):
            event.set_results(texts.list_fan(state))

    def _on_verify(self, event: ops.ActionEvent) -> None:
        state = self._find_fan(event)
        if state is None:
            return
        known = self._list_peers()
        conflicts = peers.find_conflicts(state.fan, known)
        try:
            reports = peers.examine(self.system, state, self._find_reachable(state.fan, known))
            findings = self.system.check_host(state)
        except fannet.FannetError as error:
            event.fail(str(error))
            return
        event.set_results(texts.list_reports(reports, findings))
        failure = "; ".join(conflicts) or texts.summarize_failures(reports, findings)
        if failure:
            event.fail(failure)

    def _on_measure(self, event: ops.ActionEvent) -> None:
        state = self._find_fan(event)
        if state is None:
            return
        params = event.load_params(MeasureParams, errors="fail")
        reachable = self._find_reachable(state.fan, self._list_peers())
        peer = next((each for each in reachable if each.unit == params.unit), None)
        if peer is None:
            names = ", ".join(each.unit for each in reachable) or "none"
            event.fail(
                f"parameter unit: {params.unit} is not a unit on another machine of this fan; "
                f"there are: {names}"
            )
            return
        try:
            measured = throughput.measure(state, peer, params.seconds)
        except throughput.MeasureError as error:
            event.fail(str(error))
            return
        event.set_results(texts.list_throughput(measured, peer.unit))

    def _on_listen(self, event: ops.ActionEvent) -> None:
        state = self._find_fan(event)
        if state is None:
            return
        params = event.load_params(ListenParams, errors="fail")
        try:
            throughput.listen(state.fan, self.charm_dir, params.seconds)
        except throughput.MeasureError as error:
            event.fail(str(error))
            return
        where = f"{state.fan.gateway.ip}, port {throughput.PORT}"
        event.set_results({"listens": f"on {where}, for {params.seconds} s"})

    def _on_drops(self, event: ops.ActionEvent) -> None:
        if state := self._find_fan(event):
            event.set_results(texts.list_drops(state))

    def _find_fan(self, event: ops.ActionEvent) -> fannet.FanState | None:
        try:
            state = machine.find_claimed(self.system, self.unit.name)
        except fannet.FannetError as error:
            event.fail(str(error))
            return None
        if state is None:
            event.fail("there is no fan on this machine yet; juju status says why")
        return state

    def _show_step(self, step: str) -> None:
        self.unit.status = ops.MaintenanceStatus(step)


def _choose_status(
    observed: machine.Observed, known: list[Peer], verification: Verification | None
) -> ops.StatusBase:
    if observed.problem:
        return ops.BlockedStatus(observed.problem)
    if observed.fan is None:
        return ops.WaitingStatus("the fan is gone; the next hook makes it again")
    fan = observed.fan
    if conflicts := peers.find_conflicts(fan, known):
        return ops.BlockedStatus("; ".join(conflicts))
    if observed.moved:
        return ops.ActiveStatus(texts.describe_move(*observed.moved, observed.stale))
    text = texts.describe_fan(fan, known, verification)
    if verification and verification.asked and verification.asked == verification.silent:
        return ops.WaitingStatus(text)
    return ops.ActiveStatus(text)


if __name__ == "__main__":  # pragma: nocover
    tracing.load_if_related()
    garbage.collect_from_here()
    try:
        ops.main(FanCharm)
    except ops.ModelError:
        # Juju 4.0.15 may run stop when every hook tool fails already, and ops needs some itself.
        if os.environ.get("JUJU_HOOK_NAME") != "stop":
            raise
        sys.exit(removal.give_back(os.environ["JUJU_UNIT_NAME"]))
