"""What a running hook may see and change of its model.

Most changes are buffered and made only when the hook has ended well, so that a hook which fails
or is killed leaves no trace and can simply run again (Juju's documentation, "Hook command").
Status, version and log are the exceptions: they are meant to be seen while it runs.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Protocol

import msgspec

from localmodel.charms import Meta
from localmodel.resolver import merge_config
from localmodel.state import (
    Application,
    Hook,
    Machine,
    Model,
    Relation,
    Secret,
    Status,
    Unit,
)
from localmodel.store import Store
from localmodel.tasks import Task


class ToolError(Exception):
    """A hook tool's refusal: its text goes to the charm's standard error after `ERROR`."""

    code = 1


class UsageError(ToolError):
    """A call of a hook tool with wrong arguments."""

    code = 2


# Where a machine tells the MAC address of its device on the underlay.
HARDWARE_ADDRESS = "/sys/class/net/host0/address"


class Files(Protocol):
    """The files of the machine that a charm runs on."""

    def read(self, path: str) -> bytes:
        """Return a file's content. Raises: OSError."""
        ...

    def place(self, path: str, source: Path) -> None:
        """Put a copy of a file of the host there."""
        ...


def do_ports_overlap(one: str, other: str) -> bool:
    """Return whether two of `80/tcp`, `80-90/udp` and `icmp` have something in common."""
    (low, high, protocol), (other_low, other_high, other_protocol) = map(_read_port, (one, other))
    return protocol == other_protocol and low <= other_high and other_low <= high


def _read_port(port: str) -> tuple[int, int, str]:
    span, _, protocol = port.rpartition("/")
    low, _, high = span.partition("-")
    return (int(low), int(high or low), protocol) if span else (0, 0, protocol)


def _order_port(port: str) -> tuple[str, int, int]:
    low, high, protocol = _read_port(port)
    return protocol, low, high


class HookContext:
    """One run of a charm, and its view of the model.

    Args:
        guard: serialises access to the model among machines that run hooks side by side.
        files: the files of the machine that the charm runs on.
        task: the action that runs, if it is one.
    """

    def __init__(
        self,
        store: Store,
        model: Model,
        unit: Unit,
        meta: Meta,
        hook: Hook,
        guard: threading.RLock,
        files: Files,
        task: Task | None = None,
    ) -> None:
        self.store = store
        self.model = model
        self.unit = unit
        self.meta = meta
        self.hook = hook
        self.guard = guard
        self.files = files
        self.task = task
        self.wants_reboot = ""
        self._bags: dict[tuple[int, str], dict[str, str]] = {}
        self._ports: dict[str, bool] = {}
        self._kept: dict[str, str | None] = {}
        self.secrets: dict[str, Secret] = {}
        self.removed_secrets: set[str] = set()

    @property
    def app(self) -> Application:
        return self.model.apps[self.unit.app]

    @property
    def machine(self) -> Machine:
        return self.model.machines[self.unit.machine]

    @property
    def is_leader(self) -> bool:
        return self.app.leader == self.unit.name

    @property
    def config(self) -> dict[str, object]:
        return merge_config(self.model, self.unit, self.meta)

    def commit(self) -> None:
        """Make the buffered changes; the caller holds the guard and saves the model."""
        for (number, entity), changes in self._bags.items():
            relation = self.model.relations.get(number)
            if relation is None:
                continue
            relation.bag(entity).update(changes)
            view = self.unit.local.relations.get(number)
            if entity == self.unit.app and view is not None and relation.peer:
                # A leader is not told of what it wrote itself.
                view.apps[entity] = relation.bag(entity).version
        self.unit.ports = self.ports
        for key, value in self._kept.items():
            if value is None:
                self.unit.kept.pop(key, None)
            else:
                self.unit.kept[key] = value
        for uri, secret in self.secrets.items():
            if uri in self.model.secrets:
                # Other units may have read it meanwhile; only what this unit knows is ours.
                mine = secret.consumers.get(self.unit.name)
                secret.consumers = self.model.secrets[uri].consumers
                if mine:
                    secret.consumers[self.unit.name] = mine
            self.model.secrets[uri] = secret
        for uri in self.removed_secrets:
            self.model.secrets.pop(uri, None)

    def relation(self, number: int, given: str = "") -> Relation:
        """Return a relation of this unit.

        Args:
            given: how the charm named it.
        Raises: ToolError in the words that ops looks for.
        """
        relation = self.model.relations.get(number)
        seen = self.model.relations_seen_by(self.unit)
        if relation is None or relation not in seen:
            raise UsageError(
                f'invalid value "{given or number}" for option -r: relation not found'
            )
        return relation

    def members(self, relation: Relation) -> list[str]:
        """Return the remote units that were announced to this unit, as relation-list gives them.

        A joining unit is one already in its own relation-joined, a departing one no longer.
        """
        view = self.unit.local.relations.get(relation.id)
        names = set(view.units if view else ())
        if self.hook.relation == relation.id and self.hook.remote_unit:
            if self.hook.kind == "relation-departed":
                names.discard(self.hook.remote_unit)
            else:
                names.add(self.hook.remote_unit)
        return sorted(names, key=lambda n: int(n.rpartition("/")[2]))

    def read_bag(self, relation: Relation, entity: str) -> dict[str, str]:
        """Return a unit's or an application's settings, with this hook's own changes.

        Raises: ToolError for a stranger's.
        """
        allowed = {self.unit.name, self.unit.app, relation.other_app(self.unit.app)}
        allowed |= set(self.model.remote_units(relation, self.unit)) | set(self.members(relation))
        if entity not in allowed:
            raise ToolError("relation unit not found")
        merged = relation.bag(entity).data | self._bags.get((relation.id, entity), {})
        return {k: v for k, v in merged.items() if v != ""}

    def write_bag(self, relation: Relation, entity: str, changes: dict[str, str]) -> None:
        """Buffer settings. Raises: ToolError if this unit may not write for its application."""
        if entity == self.unit.app and not self.is_leader:
            raise ToolError("permission denied: cannot write application settings: not the leader")
        self._bags.setdefault((relation.id, entity), {}).update(changes)

    @property
    def ports(self) -> list[str]:
        """The ports that the unit has open, with this hook's own changes."""
        closed = {port for port, is_open in self._ports.items() if not is_open}
        opened = {port for port, is_open in self._ports.items() if is_open}
        return sorted((set(self.unit.ports) - closed) | opened, key=_order_port)

    def open_port(self, port: str) -> None:
        """Raises: ToolError if another unit of the machine has it open."""
        for unit in self.model.units.values():
            if unit is self.unit or unit.machine != self.unit.machine:
                continue
            for other in unit.ports:
                if do_ports_overlap(port, other):
                    raise ToolError(
                        f'cannot open {port} (unit "{self.unit.name}"): port range conflicts with'
                        f' {other} (unit "{unit.name}")'
                    )
        self._ports[port] = True

    def close_port(self, port: str) -> None:
        self._ports[port] = False

    def kept(self) -> dict[str, str]:
        """Return what the charm has kept by state-set, with this hook's own changes."""
        merged = {**self.unit.kept, **self._kept}
        return {k: v for k, v in merged.items() if v is not None}

    def keep(self, values: dict[str, str | None]) -> None:
        self._kept.update(values)

    def set_status(self, status: Status, *, of_app: bool) -> None:
        """Set a status at once. Raises: ToolError for the application's if not the leader."""
        if of_app:
            if not self.is_leader:
                raise ToolError("this unit is not the leader")
            self.app.status = status
        else:
            if (self.unit.workload.current, self.unit.workload.message) == (
                status.current,
                status.message,
            ):
                return
            self.unit.workload = status
        self.store.save(self.model)

    def set_version(self, version: str) -> None:
        if self.app.version != version:
            self.app.version = version
            self.store.save(self.model)

    def require_leader(self, what: str) -> None:
        if not self.is_leader:
            raise ToolError(f"{what}: not the leader")

    def log(self, level: str, message: str, module: str | None = None) -> None:
        source = module or f"unit.{self.unit.name}.juju-log"
        self.store.log(self.model, self.unit.tag, level, message, source)

    def resource(self, name: str) -> str:
        """Put a resource's file on the machine and say where. Raises: ToolError without one."""
        if name not in self.meta.resources:
            raise ToolError(f"could not download resource: {name}: resource not found")
        attached = self.app.resources.get(name)
        if attached is None:
            raise ToolError(f'could not download resource: resource "{name}" not found')
        filename = self.meta.resources[name].filename or attached.filename
        place = f"/var/lib/juju/agents/{self.unit.tag}/resources/{filename}"
        self.files.place(place, self.store.paths.resources / attached.sha256)
        return place

    def secret(self, uri: str) -> Secret:
        """Return a secret to read or change: a copy of this hook's own until it is committed.

        Raises: ToolError if there is none.
        """
        if uri not in self.secrets:
            if uri not in self.model.secrets:
                raise ToolError(f'secret "{uri}" not found')
            kept = msgspec.json.encode(self.model.secrets[uri])
            self.secrets[uri] = msgspec.json.decode(kept, type=Secret)
        return self.secrets[uri]

    def network(self, binding: str) -> dict[str, Any]:
        """Return the one network that there is, as network-get gives it. Raises: ToolError."""
        known = {e.name for e in self.meta.endpoints(self.unit.app)} | set(self.meta.bindings)
        if binding not in known:
            raise ToolError(f'no network config found for binding "{binding}"')
        address = self.machine.address
        published = self.model.addresses_of(self.machine.number)
        underlay = self.store.setting("underlay")
        return {
            "bind-addresses": [
                {
                    "mac-address": self.files.read(HARDWARE_ADDRESS).decode().strip(),
                    "interface-name": "host0",
                    "addresses": [{"hostname": address, "value": address, "cidr": underlay}],
                }
            ],
            "egress-subnets": [f"{published[0]}/32"],
            "ingress-addresses": published,
        }
