"""LXD's API, on a socket that answers as LXD does."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

import pytest
import requests
from ops import testing

import fannet
from charms.fan.tests.unit.fake_host import Host
from fan import lxd
from fan.config import Config, Docker
from fan.plan import Plan, divide
from fan.system import System
from fan.users import lxd as user

WANTED = {"ipv4.address": "250.0.28.1/8", "bridge.mtu": "1450"}


class Api:
    """Stands in for LXD."""

    def __init__(self) -> None:
        config = {"ipv4.address": "10.77.0.1/24", "ipv4.nat": "true"}
        users = ["/1.0/profiles/default", "/1.0/instances/c2", "/1.0/instances/c1?project=x"]
        self.networks: dict[str, dict[str, Any]] = {
            "lxdbr0": {"type": "bridge", "managed": True, "config": config, "used_by": users},
            "eth0": {"type": "physical", "managed": False, "config": {}, "used_by": []},
        }
        self.refusal = ""
        self.gone = False
        self.clustered = False
        self.puts = 0

    def request(self, method: str, url: str, **options: Any) -> requests.Response:
        if self.gone:
            raise requests.ConnectionError("connection refused")
        if url == "http+unix://lxd/1.0":
            server = {"environment": {"server_clustered": self.clustered}}
            return self._answer(200, {"metadata": server})
        name = url.removeprefix("http+unix://lxd/1.0/networks").partition("?")[0].strip("/")
        there = self.networks.get(name)
        if method == "PUT" and there:
            assert options["headers"] == {"If-Match": self._tag(name)}
            if self.refusal:
                return self._answer(400, {"error": self.refusal})
            self.puts += 1
            there["config"] = options["json"]["config"]
            return self._answer(200, {})
        if not name:
            found = [{"name": name, **each} for name, each in self.networks.items()]
            return self._answer(200, {"metadata": found})
        if there is None:
            return self._answer(404, {"error": "Network not found"})
        return self._answer(200, {"metadata": copy.deepcopy(there)}, self._tag(name))

    def _tag(self, name: str) -> str:
        return str(hash(json.dumps(self.networks[name], sort_keys=True)))

    @staticmethod
    def _answer(status: int, body: Any, tag: str = "") -> requests.Response:
        answer = requests.Response()
        answer.status_code = status
        answer._content = json.dumps(body).encode()
        answer.headers["ETag"] = tag
        return answer


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Api:
    api = Api()
    socket = tmp_path / "unix.socket"
    socket.touch()
    monkeypatch.setattr(lxd, "SOCKETS", (socket,))
    monkeypatch.setattr(requests.Session, "request", lambda _, *a, **o: api.request(*a, **o))
    return api


def test_a_network_becomes_the_fan_and_comes_back(api: Api) -> None:
    before = dict(api.networks["lxdbr0"]["config"])
    assert lxd.Lxd().ensure("lxdbr0", "250.0.0.0/8", WANTED)
    config = api.networks["lxdbr0"]["config"]
    assert config.items() >= WANTED.items()
    assert config["ipv4.nat"] == "true"
    assert lxd.Lxd().give_back("lxdbr0")
    assert api.networks["lxdbr0"]["config"] == before
    assert not lxd.Lxd().give_back("lxdbr0")


def test_a_network_that_is_the_fan_already_is_left_alone(api: Api) -> None:
    lxd.Lxd().ensure("lxdbr0", "250.0.0.0/8", WANTED)
    assert not lxd.Lxd().ensure("lxdbr0", "250.0.0.0/8", WANTED)
    assert api.puts == 1


def test_what_was_there_first_is_remembered_through_changes(api: Api) -> None:
    before = dict(api.networks["lxdbr0"]["config"])
    for address in ("250.0.28.1/8", "250.0.40.1/8"):
        lxd.Lxd().ensure("lxdbr0", "250.0.0.0/8", {**WANTED, "ipv4.address": address})
    lxd.Lxd().give_back("lxdbr0")
    assert api.networks["lxdbr0"]["config"] == before


def test_what_others_have_added_stays(api: Api) -> None:
    lxd.Lxd().ensure("lxdbr0", "250.0.0.0/8", WANTED)
    api.networks["lxdbr0"]["config"]["dns.domain"] = "example"
    lxd.Lxd().give_back("lxdbr0")
    assert api.networks["lxdbr0"]["config"]["dns.domain"] == "example"


def test_a_fans_networks_are_found_with_who_is_attached(api: Api) -> None:
    lxd.Lxd().ensure("lxdbr0", "250.0.0.0/8", WANTED)
    (found,) = lxd.Lxd().list_fans("250.0.0.0/8")
    assert (found.name, found.users) == ("lxdbr0", ("c1", "c2"))
    assert lxd.Lxd().list_fans("99.0.0.0/8") == []


@pytest.mark.parametrize(
    ("name", "overlay", "text"),
    [
        ("lxdbr9", "250.0.0.0/8", "LXD has no network lxdbr9; run lxd init --auto"),
        ("eth0", "250.0.0.0/8", "eth0 is not a bridge that LXD manages"),
        ("lxdbr0", "99.0.0.0/8", "lxdbr0 is the fan 250.0.0.0/8 already"),
    ],
)
def test_a_network_that_can_not_be_the_fan_is_refused(
    api: Api, name: str, overlay: str, text: str
) -> None:
    lxd.Lxd().ensure("lxdbr0", "250.0.0.0/8", WANTED)
    with pytest.raises(lxd.LxdError) as caught:
        lxd.Lxd().ensure(name, overlay, WANTED)
    assert text in str(caught.value)


def test_lxds_own_reason_is_told(api: Api) -> None:
    api.refusal = "Device IP address is not within\nthe network"
    with pytest.raises(lxd.LxdError, match=r"^LXD refused: Device IP address is not within the"):
        lxd.Lxd().ensure("lxdbr0", "250.0.0.0/8", WANTED)


def test_an_lxd_that_does_not_answer_is_told_so(api: Api) -> None:
    api.gone = True
    with pytest.raises(lxd.LxdError, match="does not answer on its socket"):
        lxd.Lxd().list_fans("250.0.0.0/8")


def test_a_machine_without_lxd_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lxd, "SOCKETS", ())
    assert not lxd.is_here()
    with pytest.raises(lxd.LxdError, match="LXD is not on this machine; install it"):
        lxd.Lxd()


def test_a_network_of_a_cluster_is_refused_and_keeps_its_address(api: Api) -> None:
    api.clustered = True
    with pytest.raises(lxd.LxdError, match="LXD is in a cluster"):
        lxd.Lxd().ensure("lxdbr0", "250.0.0.0/8", WANTED)
    assert api.puts == 0


def test_a_fan_gives_its_network_back_in_a_cluster_too(api: Api) -> None:
    before = dict(api.networks["lxdbr0"]["config"])
    lxd.Lxd().ensure("lxdbr0", "250.0.0.0/8", WANTED)
    api.clustered = True
    assert lxd.Lxd().give_back("lxdbr0")
    assert api.networks["lxdbr0"]["config"] == before


def test_a_cluster_blocks_before_anything_changes(
    api: Api, host: Host, run: Callable[..., testing.State], monkeypatch: pytest.MonkeyPatch
) -> None:
    run()
    host.did.clear()
    api.clustered = True
    monkeypatch.setattr(host, "has_lxd", lambda: True)
    monkeypatch.setattr(host, "open_lxd", lxd.Lxd)
    assert run(lxd=True).unit_status == testing.BlockedStatus(
        "LXD is in a cluster, where a network has one address for all machines; "
        "give lxd=false and dhcp=true, and attach containers to the fan's own bridge"
    )
    assert (host.did, api.puts) == ([], 0)
    assert run(dhcp=True).unit_status == testing.ActiveStatus(
        "fan-250 250.0.28.0/24, no peers yet"
    )


def test_a_damaged_memory_is_taken_for_none(api: Api) -> None:
    lxd.Lxd().ensure("lxdbr0", "250.0.0.0/8", WANTED)
    api.networks["lxdbr0"]["config"]["user.fan.before"] = "{"
    assert lxd.Lxd().give_back("lxdbr0")
    assert "user.fan.overlay" not in api.networks["lxdbr0"]["config"]


def test_the_keys_make_lxds_bridge_a_fans(api: Api) -> None:
    mapping = fannet.Mapping(IPv4Network("250.0.0.0/8"), IPv4Network("172.30.0.0/16"))
    fan = fannet.Fan(mapping, IPv4Address("172.30.0.28"), bridge="lxdbr0", own_bridge=False)
    config = Config(lxd=True, docker=Docker.NONE)
    wanted = Plan(config, fan, divide(fan, config), 1450)
    user.check(System(), wanted)
    user.ensure(System(), wanted, False, print)
    keys = api.networks["lxdbr0"]["config"]
    assert keys.pop("user.fan.before")
    assert keys == {
        "bridge.mtu": "1450",
        "ipv4.address": "250.0.28.1/8",
        "ipv4.dhcp": "true",
        "ipv4.dhcp.ranges": "250.0.28.2-250.0.28.254",
        "ipv4.nat": "false",
        "user.fan.overlay": "250.0.0.0/8",
    }
    assert user.list_users(System(), wanted) == ("c1", "c2")
