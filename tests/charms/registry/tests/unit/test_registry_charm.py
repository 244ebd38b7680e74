from __future__ import annotations

import dataclasses
import subprocess
from pathlib import Path
from typing import Any

import ops
import pytest
from ops import testing

from tests.charms.load import load_charm

charm = load_charm("registry")
DIGEST = "sha256:" + "a" * 64
DEFAULTS = {"name": "mlucas", "tag": "latest"}  # Juju fills these in


@dataclasses.dataclass
class Machine:
    """Stands in for the module `registry`: what the machine holds, and what fails on it."""

    enabled: bool = True
    address: str = ""
    broken: str = ""
    published: str = ""
    password: str = ""

    RegistryError = charm.registry.RegistryError
    PORT = charm.registry.PORT
    USER = charm.registry.USER

    def install(self) -> None:
        if self.broken:
            raise self.RegistryError(self.broken)

    def configure(self, address: str) -> None:
        self.address = address

    def is_running(self) -> bool:
        return self.enabled

    def enable(self) -> None:
        self.enabled = True

    def disable(self) -> None:
        self.enabled = False

    def require_login(self) -> str:
        if self.broken:
            raise self.RegistryError(self.broken)
        self.password = "new"
        return self.password

    def allow_anyone(self) -> None:
        self.password = ""

    def version(self) -> str:
        return "2.8.2"

    def read_authority(self) -> str:
        return "PEM"

    def publish(self, archive: Path, image: str) -> str:
        if not self.enabled:
            raise self.RegistryError("connection refused")
        self.published = f"{archive.read_text()} as {image}"
        return DIGEST


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    fake = Machine()
    monkeypatch.setattr(charm, "registry", fake)
    return fake


@pytest.fixture
def context() -> testing.Context[Any]:
    return testing.Context(charm.RegistryCharm)


def attach(tmp_path: Path, content: str) -> testing.State:
    archive = tmp_path / "image.tar"
    archive.write_text(content)
    return testing.State(resources={testing.Resource(name="image", path=archive)})


@pytest.mark.parametrize(
    "event", ["install", "upgrade_charm", "config_changed", "start", "update_status"]
)
def test_every_hook_ends_with_a_registry_on_the_units_own_address(
    event: str, context: testing.Context[Any], machine: Machine
) -> None:
    out = context.run(getattr(context.on, event)(), testing.State())
    assert machine.address == "192.0.2.0"
    assert out.unit_status == ops.ActiveStatus("serving on 192.0.2.0:5000")
    assert out.opened_ports == {testing.TCPPort(5000)}


def test_a_package_that_cannot_be_installed_blocks_the_unit(
    context: testing.Context[Any], machine: Machine
) -> None:
    machine.broken = "apt-get failed: no network"
    out = context.run(context.on.install(), testing.State())
    assert out.unit_status == ops.BlockedStatus("apt-get failed: no network")


def test_publish_returns_the_image_by_digest_and_by_tag_with_the_authority(
    context: testing.Context[Any], machine: Machine, tmp_path: Path
) -> None:
    params = {"name": "mlucas", "tag": "v1"}
    context.run(context.on.action("publish", params=params), attach(tmp_path, "archive"))
    assert machine.published == "archive as 192.0.2.0:5000/mlucas:v1"
    assert context.action_results == {
        "image": f"192.0.2.0:5000/mlucas@{DIGEST}",
        "tag-image": "192.0.2.0:5000/mlucas:v1",
        "ca": "PEM",
    }


def test_publish_without_an_image_says_how_to_attach_one(
    context: testing.Context[Any], machine: Machine, tmp_path: Path
) -> None:
    state = attach(tmp_path, "")
    with pytest.raises(testing.ActionFailed, match="juju attach-resource registry image=FILE"):
        context.run(context.on.action("publish", params=DEFAULTS), state)


@pytest.mark.parametrize("params", [{"name": "UPPER"}, {"name": "../x"}, {"tag": "a b"}])
def test_publish_refuses_names_that_a_registry_refuses(
    params: dict[str, str], context: testing.Context[Any], machine: Machine, tmp_path: Path
) -> None:
    action = context.on.action("publish", params=DEFAULTS | params)
    with pytest.raises(testing.ActionFailed, match="allowed are"):
        context.run(action, attach(tmp_path, "archive"))
    assert not machine.published


def test_the_actions_stop_and_start_take_the_registry_down_and_up(
    context: testing.Context[Any], machine: Machine
) -> None:
    out = context.run(context.on.action("stop"), testing.State())
    assert out.unit_status == ops.MaintenanceStatus("the registry is stopped")
    out = context.run(context.on.update_status(), out)
    assert not machine.enabled
    out = context.run(context.on.action("start"), out)
    assert isinstance(out.unit_status, ops.ActiveStatus)


def test_a_login_is_required_until_anyone_is_allowed_again(
    context: testing.Context[Any], machine: Machine
) -> None:
    context.run(context.on.action("require-login"), testing.State())
    assert context.action_results == {"username": "tester", "password": "new"}
    assert machine.address == "192.0.2.0"
    context.run(context.on.action("allow-anyone"), testing.State())
    assert not machine.password
    machine.broken = "htpasswd failed: no entropy"
    with pytest.raises(testing.ActionFailed, match="no entropy"):
        context.run(context.on.action("require-login"), testing.State())


@pytest.fixture
def tls(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    places = {
        "TLS": ".",
        "AUTHORITY": "ca/ca.crt",
        "AUTHORITY_KEY": "ca.key",
        "CERTIFICATE": "server.crt",
        "KEY": "server.key",
    }
    for name, place in places.items():
        monkeypatch.setattr(charm.registry, name, tmp_path / place)
    charm.registry._make_authority()
    return tmp_path


def test_a_certificate_is_made_again_only_for_another_address_or_key(tls: Path) -> None:
    made = []
    for address in ("172.30.0.2", "172.30.0.2", "172.30.0.3"):
        charm.registry._make_certificate(address)
        made.append((tls / "server.crt").read_bytes())
    assert made[0] == made[1] != made[2]
    (tls / "server.key").write_bytes((tls / "ca.key").read_bytes())
    charm.registry._make_certificate("172.30.0.3")
    assert (tls / "server.crt").read_bytes() != made[2]


def test_a_certificate_is_for_its_address_alone_and_its_key_is_private(tls: Path) -> None:
    charm.registry._make_certificate("172.30.0.2")
    verify = ["/usr/bin/openssl", "verify", "-x509_strict", "-CAfile", str(tls / "ca" / "ca.crt")]
    for address, code in (("172.30.0.2", 0), ("172.30.0.3", 2)):
        command = [*verify, "-verify_ip", address, str(tls / "server.crt")]
        assert subprocess.run(command, check=False, capture_output=True).returncode == code
    assert (tls / "server.key").stat().st_mode & 0o777 == 0o600
    assert (tls / "ca.key").stat().st_mode & 0o777 == 0o600
