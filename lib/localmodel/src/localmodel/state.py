"""What a model is: plain data, without behaviour beyond looking things up.

A model is one document. It is small (a few dozen kilobytes), so every change writes it whole, in
one transaction: a reader, or the command that follows a `kill -9`, sees a model as it stood
between two changes and never within one.
"""

from __future__ import annotations

import time
from datetime import datetime, timezone
from typing import Any, Literal

from msgspec import Struct, field

from localmodel import quirks
from localmodel.errors import LocalModelError

Life = Literal["alive", "dying"]

# The endpoint that every application provides without naming it in its metadata.
JUJU_INFO = "juju-info"

# The address of Docker's bridge on every machine.
DOCKER_BRIDGE = "172.17.0.1"

# The Juju version that the model claims to be, which charms and clients compare against.
JUJU_VERSION = "4.0.15"


class Status(Struct):
    """A status with the time since which it stands (seconds since the epoch)."""

    current: str
    message: str = ""
    since: float = field(default_factory=time.time)
    data: dict[str, Any] = {}


class Hook(Struct, frozen=True, omit_defaults=True):
    """One event for one unit: what the dispatch environment is made of.

    Attributes:
        name: as the charm sees it, such as `juju-info-relation-joined`.
        kind: the event without its endpoint, such as `relation-joined`.
        relation: the relation's number, for a relation event.
        remote_unit, remote_app: who it is about; the unit is "" in created, broken, app-changed.
        departing: the unit that leaves, in departed.
        secret, label, revision: the secret it is about, for a secret event.
        context: a token that marks the processes of this run, set when it is dispatched.
    """

    name: str
    kind: str
    relation: int | None = None
    remote_unit: str = ""
    remote_app: str = ""
    departing: str = ""
    secret: str = ""
    label: str = ""
    revision: int = 0
    context: str = ""


class RelationView(Struct):
    """What a unit has been told about a relation so far: bag versions by unit and application."""

    units: dict[str, int] = {}
    apps: dict[str, int] = {}


class Local(Struct):
    """What a unit has been told so far; the resolver compares it with the model.

    Attributes:
        charm: SHA-256 of the charm whose files the unit runs, None before install.
        modified: the application's `modified` when install or upgrade-charm last ran.
        config: digest of the configuration last announced by config-changed.
        echo: whether config-changed comes once more after the next one.
        boot: the machine's boot in which start last ran, None before the first start.
        updated: when update-status last ran, in seconds since the epoch.
        secrets: the newest revision of each tracked secret that secret-changed has announced.
    """

    charm: str | None = None
    modified: int = 0
    config: str | None = None
    echo: bool = False
    boot: str | None = None
    started: bool = False
    stopped: bool = False
    removed: bool = False
    leader: bool = False
    updated: float = 0.0
    relations: dict[int, RelationView] = {}
    secrets: dict[str, int] = {}

    @property
    def installed(self) -> bool:
        return self.charm is not None


class Unit(Struct):
    """A unit; `pending` is the hook that has begun and has not yet succeeded."""

    name: str
    app: str
    machine: str
    principal: str | None = None
    life: Life = "alive"
    local: Local = field(default_factory=Local)
    pending: Hook | None = None
    failures: int = 0
    retry_at: float = 0.0
    workload: Status = field(default_factory=lambda: Status("waiting", "installing agent"))
    agent: Status = field(default_factory=lambda: Status("allocating"))
    ports: list[str] = []
    kept: dict[str, str] = {}
    reboot: bool = False

    @property
    def number(self) -> int:
        return int(self.name.rpartition("/")[2])

    @property
    def tag(self) -> str:
        """The name as Juju writes it in paths: `unit-mprime-0`."""
        return "unit-" + self.name.replace("/", "-")


class Resource(Struct):
    """A file that an operator attached: its digest is its name in the store of resources."""

    name: str
    sha256: str
    filename: str
    revision: int = 0


class Application(Struct):
    """An application: a charm, its settings and its units' numbering.

    `modified` counts changes of its charm or resources, which upgrade-charm announces.
    """

    name: str
    charm: str
    charm_name: str
    revision: int
    sha256: str
    origin: Literal["local", "charmhub"] = "local"
    subordinate: bool = False
    life: Life = "alive"
    options: dict[str, Any] = {}
    trust: bool = False
    modified: int = 0
    next_unit: int = 0
    leader: str | None = None
    version: str = ""
    status: Status | None = None
    resources: dict[str, Resource] = {}
    exposed: bool = False
    base: str = ""

    @property
    def url(self) -> str:
        """The charm with its revision, such as local:mprime-0."""
        return f"{self.charm}-{self.revision}"


class Machine(Struct):
    """A machine.

    Attributes:
        boot: identifies its present boot, None while it is down.
        ready: the boot that was last seen to its end; hooks run in no other.
        base: what its root file system was made from, such as `ubuntu@24.04`.
        mac: its network interface's, known since its first boot.
    """

    number: str
    name: str
    address: str
    life: Life = "alive"
    boot: str | None = None
    ready: str | None = None
    status: Status = field(default_factory=lambda: Status("pending"))
    base: str = ""
    mac: str = ""


class Endpoint(Struct, frozen=True):
    """One side of a relation."""

    app: str
    name: str
    role: Literal["provider", "requirer", "peer"]
    interface: str
    implicit: bool = False

    def __str__(self) -> str:
        return f"{self.app}:{self.name}"


class Bag(Struct):
    """The settings that one unit or application shows to a relation's other side."""

    data: dict[str, str] = {}
    version: int = 0

    def update(self, changes: dict[str, str]) -> None:
        """Take changes in, where "" removes a key; move the version if anything differs."""
        merged = {k: v for k, v in (self.data | changes).items() if v != ""}
        if merged != self.data:
            self.data = merged
            self.version += 1


class Relation(Struct):
    """A relation; `scope` holds the units that take part, `bags` their settings and the apps'."""

    id: int
    endpoints: list[Endpoint]
    container: bool = False
    life: Life = "alive"
    scope: list[str] = []
    bags: dict[str, Bag] = {}

    @property
    def peer(self) -> bool:
        return len(self.endpoints) == 1

    def endpoint_of(self, app: str) -> Endpoint:
        return next(e for e in self.endpoints if e.app == app)

    def other_app(self, app: str) -> str:
        """Return the application on the other side; a peer relation's other side is itself."""
        return next((e.app for e in self.endpoints if e.app != app), app)

    def bag(self, entity: str) -> Bag:
        return self.bags.setdefault(entity, Bag())

    def version(self, entity: str) -> int:
        """Return the version of an entity's bag; 0 if it has written nothing, or is gone."""
        return self.bags[entity].version if entity in self.bags else 0


class Revision(Struct):
    """One revision of a secret's content."""

    content: dict[str, str]
    created: float = field(default_factory=time.time)
    expires: float | None = None


class Grant(Struct, frozen=True):
    """Who may read a secret: an application or a unit, for as long as the relation stands."""

    target: str
    relation: int | None = None


class Consumer(Struct):
    """What a unit knows of a secret: the revision it tracks and the label it gave it."""

    revision: int
    label: str = ""


class Secret(Struct):
    """A secret. The owner is the model (`"model"`), an application or a unit."""

    uri: str
    owner: str
    name: str = ""
    label: str = ""
    description: str = ""
    rotate: str = "never"
    rotates_at: float | None = None
    created: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    latest: int = 0
    revisions: dict[int, Revision] = {}
    grants: list[Grant] = []
    consumers: dict[str, Consumer] = {}

    @property
    def newest(self) -> int:
        """The newest revision that is left, where `latest` counts those removed too."""
        return max(self.revisions)


class Model(Struct):
    """A model whole."""

    uuid: str
    name: str
    created: float = field(default_factory=time.time)
    config: dict[str, Any] = {}
    constraints: dict[str, Any] = {}
    life: Life = "alive"
    machines: dict[str, Machine] = {}
    apps: dict[str, Application] = {}
    units: dict[str, Unit] = {}
    relations: dict[int, Relation] = {}
    secrets: dict[str, Secret] = {}
    next_machine: int = 0
    next_relation: int = 0
    next_task: int = 1
    next_revision: dict[str, int] = {}

    def is_set(self, key: str) -> bool:
        """Return whether a boolean of the model's configuration is true, as each is by default."""
        return str(self.config.get(key, True)).lower() == "true"

    def addresses_of(self, machine: str) -> list[str]:
        """Return what Juju gives as the addresses of a machine; the first is that of its units."""
        address = self.machines[machine].address
        return [DOCKER_BRIDGE, address] if quirks.publishes_docker_bridge(self) else [address]

    def app(self, name: str) -> Application:
        """Raises: LocalModelError, as Juju says it, if there is none."""
        if name not in self.apps:
            raise LocalModelError(f'application "{name}" not found')
        return self.apps[name]

    def unit(self, name: str) -> Unit:
        """Return the unit, or for `app/leader` the leader. Raises: LocalModelError."""
        app, _, number = name.partition("/")
        if number == "leader":
            leader = self.app(app).leader
            if leader is None:
                raise LocalModelError(f'could not determine leader for "{app}"')
            name = leader
        if name not in self.units:
            raise LocalModelError(f'unit "{name}" not found')
        return self.units[name]

    def machine(self, number: str) -> Machine:
        """Raises: LocalModelError."""
        if number not in self.machines:
            raise LocalModelError(f"machine {number} not found")
        return self.machines[number]

    def units_of(self, app: str) -> list[Unit]:
        return sorted((u for u in self.units.values() if u.app == app), key=lambda u: u.number)

    def subordinates_of(self, unit: str) -> list[Unit]:
        return sorted(
            (u for u in self.units.values() if u.principal == unit), key=lambda u: u.name
        )

    def relations_of(self, app: str) -> list[Relation]:
        return [r for r in self.relations.values() if any(e.app == app for e in r.endpoints)]

    def relations_seen_by(self, unit: Unit) -> list[Relation]:
        """Return the relations that a unit takes part in.

        A subordinate's unit sees, of the container-scoped ones, only that to its own principal
        and those to other subordinates, but for a quirk.
        """
        if unit.principal is None:
            return self.relations_of(unit.app)
        beside = {app.name for app in self.apps.values() if app.subordinate}
        if unit.principal in self.units:
            beside.add(self.units[unit.principal].app)
        return [
            r
            for r in self.relations_of(unit.app)
            if not r.container or r.other_app(unit.app) in beside or self._sees_all(unit, r)
        ]

    def _sees_all(self, unit: Unit, relation: Relation) -> bool:
        other = self.apps.get(relation.other_app(unit.app))
        return other is not None and quirks.sees_beyond_its_container(unit, other)

    def remote_units(self, relation: Relation, unit: Unit) -> list[str]:
        """Return the units in a relation's scope that `unit` sees, itself never.

        In a container-scoped relation, only those on its own principal, but for a quirk.
        """
        other = relation.other_app(unit.app)
        seen = [
            self.units[n]
            for n in relation.scope
            if n != unit.name and n in self.units and self.units[n].app == other
        ]
        if relation.container and not self._sees_all(unit, relation):
            principal = unit.principal or unit.name
            seen = [u for u in seen if (u.principal or u.name) == principal]
        return [u.name for u in sorted(seen, key=lambda u: u.number)]


def format_iso(moment: float) -> str:
    """Return a moment (seconds since the epoch) as Juju writes it in JSON."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
