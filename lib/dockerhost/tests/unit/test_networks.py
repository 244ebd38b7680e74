from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import Any

import docker.errors
import pytest

from dockerhost import Change, EngineUnavailableError, NetworkError, Networks, NetworkSpec

SPEC = NetworkSpec(
    name="fan",
    bridge="fan-250",
    subnet=IPv4Network("250.0.0.0/8"),
    ip_range=IPv4Network("250.0.28.0/24"),
    gateway=IPv4Address("250.0.28.1"),
    mtu=1450,
    reserved=(IPv4Address("250.0.28.0"), IPv4Address("250.0.28.255")),
    masquerade=False,
    labels={"owner": "fan-250"},
)


class Api:
    """Stands in for the docker package's client: an engine's networks in memory."""

    api_version = "1.41"

    def __init__(self) -> None:
        self.here: list[dict[str, Any]] = []
        self.attached: list[str] = []
        self.asked: dict[str, Any] = {}
        self.detached: list[str] = []
        self.fault: Exception | None = None

    def networks(
        self, names: list[str] | None = None, filters: dict[str, str] | None = None
    ) -> list[dict[str, Any]]:
        if self.fault:
            raise self.fault
        if names:
            return [each for each in self.here if names[0] in each["Name"]]
        key, _, value = (filters or {})["label"].partition("=")
        return [each for each in self.here if each["Labels"].get(key) == value]

    def containers(self, *, all: bool, filters: dict[str, str]) -> list[dict[str, Any]]:
        assert all
        return [{"Names": [f"/{name}"]} for name in self.attached if filters["network"] == "1"]

    def create_network(self, **asked: Any) -> None:
        self.asked = asked
        taken = {"Name": asked["name"], "Id": "1", "Labels": asked["labels"]}
        self.here.append({**taken, "Options": asked["options"]})

    def remove_network(self, identifier: str) -> None:
        self.here = [each for each in self.here if each["Id"] != identifier]

    def disconnect_container_from_network(self, container: str, _: str, *, force: bool) -> None:
        assert force
        if container not in self.attached:
            raise docker.errors.NotFound("no such container")
        self.detached.append(container)


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Api:
    api = Api()
    monkeypatch.setattr("dockerhost.connection.Client", lambda **_: api)
    return api


def test_a_network_is_laid_over_a_bridge_and_keeps_to_its_range(api: Api) -> None:
    assert Networks().ensure(SPEC) == Change.CREATED
    (pool,) = api.asked["ipam"]["Config"]
    assert pool == {
        "Subnet": "250.0.0.0/8",
        "IPRange": "250.0.28.0/24",
        "Gateway": "250.0.28.1",
        "AuxiliaryAddresses": {
            "reserved-250.0.28.0": "250.0.28.0",
            "reserved-250.0.28.255": "250.0.28.255",
        },
    }
    assert api.asked["options"] == {
        "com.docker.network.bridge.name": "fan-250",
        "com.docker.network.bridge.enable_ip_masquerade": "false",
        "com.docker.network.driver.mtu": "1450",
    }
    assert api.asked["driver"] == "bridge"


def test_a_network_that_is_as_specified_is_left_alone(api: Api) -> None:
    Networks().ensure(SPEC)
    api.attached = ["web"]
    assert Networks().ensure(SPEC) == Change.UNCHANGED


def test_a_network_that_differs_is_made_anew(api: Api) -> None:
    Networks().ensure(SPEC)
    assert Networks().ensure(replace(SPEC, mtu=1400)) == Change.REPLACED
    assert api.asked["options"]["com.docker.network.driver.mtu"] == "1400"
    assert len(api.here) == 1


def test_a_network_that_differs_is_not_taken_from_its_containers(api: Api) -> None:
    Networks().ensure(SPEC)
    api.attached = ["web", "db"]
    with pytest.raises(NetworkError, match="attached to it: db, web; take each off it"):
        Networks().ensure(replace(SPEC, mtu=1400))
    assert len(api.here) == 1


def test_a_network_of_others_is_neither_changed_nor_removed(api: Api) -> None:
    api.here.append({"Name": "fan", "Id": "1", "Labels": {}, "Options": None})
    for touch in (lambda: Networks().ensure(SPEC), lambda: Networks().remove("fan")):
        with pytest.raises(NetworkError, match="was not made here"):
            touch()
    assert len(api.here) == 1


def test_a_name_that_is_part_of_another_is_not_that_network(api: Api) -> None:
    Networks().ensure(replace(SPEC, name="fan-two"))
    assert Networks().inspect("fan") is None
    assert not Networks().remove("fan")


def test_removal_takes_containers_off_the_network_first_where_that_is_wanted(api: Api) -> None:
    Networks().ensure(SPEC)
    api.attached = ["web"]
    assert Networks().remove("fan", detach=True)
    assert api.detached == ["web"]
    assert api.here == []


def test_networks_are_found_by_their_label(api: Api) -> None:
    Networks().ensure(SPEC)
    Networks().ensure(replace(SPEC, name="other", labels={"owner": "fan-99"}))
    (found,) = Networks().list("owner=fan-250")
    assert (found.name, found.bridge, found.spec_digest) == ("fan", "fan-250", SPEC.digest)


def test_an_engines_reason_is_told_in_one_line(api: Api) -> None:
    api.fault = docker.errors.APIError("Error response from daemon: Pool overlaps\n with other")
    with pytest.raises(NetworkError, match=r"^Pool overlaps with other$"):
        Networks().ensure(SPEC)


def test_an_engine_that_is_not_there_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise docker.errors.DockerException("no such file")

    monkeypatch.setattr("dockerhost.connection.Client", fail)
    with pytest.raises(EngineUnavailableError, match="does not answer"):
        Networks()
