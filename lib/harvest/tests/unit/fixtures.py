"""What the tests of harvest and of the charms on it share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol, TypeVar

import ops
import pytest
from ops import testing

from dockerhost import Cgroups
from lib.harvest.tests.unit import fake_kernel
from lib.harvest.tests.unit.fake_host import Host

H = TypeVar("H", bound=Host)
RELATION = testing.SubordinateRelation("juju-info", remote_app_name="apache2")


class MakeHost(Protocol):
    """Puts a machine with a charm's unit in the place of this machine.

    Args:
        kind: what the machine is like.
        charm: the charm's name.
        more: what else `kind` takes.
    """

    def __call__(self, kind: type[H], charm: str, **more: Any) -> H: ...


@pytest.fixture
def owners(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Stands in for giving files away, which only root can."""
    given: list[tuple[int, int]] = []
    now: dict[str, tuple[int, int]] = {}

    def give(path: object, uid: int, gid: int, **_: object) -> None:
        given.append((uid, gid))
        now[str(path)] = uid, gid

    def read(path: Path) -> tuple[int, int]:
        there = path.lstat()
        return now.get(str(path), (there.st_uid, there.st_gid))

    monkeypatch.setattr(os, "chown", give)
    monkeypatch.setattr(os, "fchown", give)
    monkeypatch.setattr("harvest.workdir._read_owner", read)
    return given


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> fake_kernel.Kernel:
    kernel = fake_kernel.Kernel(tmp_path / "kernel", Cgroups("cgroupfs", 1))
    return fake_kernel.install(kernel, monkeypatch)


@pytest.fixture
def make_host(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    owners: list[tuple[int, int]],
    kernel: fake_kernel.Kernel,
) -> MakeHost:
    def make(kind: type[H], charm: str, **more: Any) -> H:
        host = kind(
            charm=charm,
            work=tmp_path / charm,
            certificates=tmp_path / "certs.d",
            agents=tmp_path / "agents",
            kernel=kernel,
            **more,
        )
        return install(host, monkeypatch)

    return make


@pytest.fixture
def context(charm_type: type[ops.CharmBase]) -> testing.Context[ops.CharmBase]:
    return testing.Context(charm_type, unit_id=0, principal_unit="apache2/0")


def install(host: H, monkeypatch: pytest.MonkeyPatch) -> H:
    """Put a machine in the place of this machine."""
    monkeypatch.setattr("hostkit.agents.AGENTS", host.agents)
    monkeypatch.setattr("harvest.unit.ROOT", host.work.parent)
    monkeypatch.setattr("harvest.workdir.WorkDirectory.measure_space", lambda _: host.space)
    for module in ("harvest.reconcile", "harvest.tasks", "harvest.metrics"):
        monkeypatch.setattr(f"{module}.Engine", host.connect)
    monkeypatch.setattr("hostkit.apt.ensure_sources", host.ensure_sources)
    monkeypatch.setattr("hostkit.apt.remove_sources", host.remove_sources)
    monkeypatch.setattr("dockerhost.ensure_engine", host.ensure_engine)
    monkeypatch.setattr("dockerhost.trust.CERTIFICATES", host.certificates)
    monkeypatch.setattr("dockerhost.remove_proxies", lambda: False)
    monkeypatch.setattr("dockerhost.ensure_proxies_private", lambda: False)
    monkeypatch.setattr("harvest.image.ensure_proxies", lambda *_: "")
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("ops.model.Resources.fetch", host.fetch)
    return host
