from __future__ import annotations

from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

import ops
import pytest
from ops import testing

import fannet
from charms.fan.tests.unit.conftest import PRINCIPAL
from charms.fan.tests.unit.fake_host import Host

Run = Callable[..., testing.State]
Context = testing.Context[ops.CharmBase]
EVENTS = ("install", "config_changed", "start", "upgrade_charm", "update_status")
OVERLAY = IPv4Network("250.0.0.0/8")


def make_peer_data(
    host: str, underlay: str = "172.30.0.0/16", overlay: str = "250.0.0.0/8"
) -> Any:
    """What a peer tells."""
    return {"host": host, "underlay": underlay, "overlay": overlay}


PEERS = {
    1: make_peer_data("172.30.0.27"),
    2: make_peer_data("172.30.0.29"),
    3: make_peer_data("172.30.1.30"),
}


@pytest.mark.parametrize("event", EVENTS)
def test_every_event_brings_the_fan_up(host: Host, run: Run, event: str) -> None:
    state = run(event)
    assert host.did == ["up fan-250 250.0.28.0/24", "network fan 250.0.28.0/24"]
    assert state.unit_status == testing.ActiveStatus("fan-250 250.0.28.0/24, no peers yet")


@pytest.mark.parametrize("relation", ["juju-info", "hosts"])
@pytest.mark.parametrize("event", ["relation_created", "relation_joined", "relation_changed"])
def test_every_event_of_a_relation_brings_the_fan_up(
    host: Host, context: Context, relation: str, event: str
) -> None:
    principal = testing.SubordinateRelation("juju-info", remote_app_name="apache2")
    peers = testing.PeerRelation("hosts", peers_data={1: make_peer_data("172.30.0.27")})
    state = testing.State(relations={principal, peers})
    over = principal if relation == "juju-info" else peers
    context.run(getattr(context.on, event)(over), state)
    assert "up fan-250 250.0.28.0/24" in host.did


def test_the_version_of_what_makes_the_fan_is_shown(host: Host, run: Run) -> None:
    assert run().workload_version == f"fannet {fannet.__version__}"


@pytest.mark.parametrize("event", EVENTS)
def test_an_event_with_nothing_to_change_changes_nothing(host: Host, run: Run, event: str) -> None:
    run()
    host.did.clear()
    run(event)
    assert host.did == []


def test_what_is_missing_on_the_machine_is_installed(
    host: Host, run: Run, context: Context
) -> None:
    host.missing = ["nftables"]
    host.installed = False
    run("install")
    assert host.did[:3] == [
        "install nftables",
        "up fan-250 250.0.28.0/24",
        "install docker.io",
    ]
    shown = [status.message for status in context.unit_status_history]
    assert "installing nftables" in shown
    assert "installing docker.io" in shown


def test_sources_of_packages_count_before_anything_is_installed_and_go_with_the_unit(
    host: Host, context: Context
) -> None:
    host.missing = ["nftables"]
    source = "deb http://me:password@mirror.example/debian stable main"
    state = testing.State(config={"install_sources": source}, relations={PRINCIPAL})
    context.run(context.on.install(), state)
    assert host.did[:2] == ["sources http://mirror.example/debian", "install nftables"]
    # The fan's claim, which others of the machine's units read, has nothing of it.
    (claim,) = host.agents.glob("*/fan-claim.json")
    assert "mirror" not in claim.read_text()
    host.did.clear()
    host.missing = []
    context.run(context.on.config_changed(), state)
    assert host.did == []
    context.run(context.on.stop(), state)
    assert host.sources == {}


def test_a_source_that_is_not_understood_blocks_and_the_fan_stays(
    host: Host, context: Context, run: Run
) -> None:
    run()
    state = testing.State(config={"install_sources": "cloud:jammy"}, relations={PRINCIPAL})
    status = context.run(context.on.config_changed(), state).unit_status
    assert status.name == "blocked"
    assert status.message.startswith("option install_sources: 'cloud:jammy' is not a source that")
    assert OVERLAY in host.fans


def test_a_unit_tells_its_peers_what_they_need_to_reach_it(host: Host, run: Run) -> None:
    (relation,) = run().get_relations("hosts")
    told = {k: v for k, v in relation.local_unit_data.items() if "-" not in k}
    assert told == make_peer_data("172.30.0.28")


def test_an_address_of_dockers_bridge_is_nobodys_on_the_underlay(
    host: Host, context: Context
) -> None:
    """Juju 4.0.15 takes docker0's for a machine's address, once Docker is installed."""
    bridge = {"ingress-address": "172.17.0.1", "egress-subnets": "172.17.0.1/32"}
    devices = [testing.BindAddress([testing.Address("172.17.0.1")])]
    state = testing.State(
        relations={
            testing.PeerRelation("hosts", peers_data={1: {**bridge, **PEERS[1]}}),
        },
        networks={testing.Network("hosts", devices, ingress_addresses=["172.17.0.1"])},
    )
    out = context.run(context.on.update_status(), state)
    assert out.unit_status == testing.ActiveStatus("fan-250 250.0.28.0/24, 1 peer verified")
    (told,) = out.get_relations("hosts")
    assert told.local_unit_data["host"] == "172.30.0.28"


def test_peers_count_before_they_are_asked(host: Host, run: Run) -> None:
    status = run(peers=PEERS).unit_status
    assert status == testing.ActiveStatus("fan-250 250.0.28.0/24, 3 peers")


def test_peers_that_answer_are_verified(host: Host, run: Run) -> None:
    status = run("update_status", PEERS).unit_status
    assert status == testing.ActiveStatus("fan-250 250.0.28.0/24, 3 peers verified")


def test_a_peer_that_does_not_answer_is_named(host: Host, run: Run) -> None:
    host.silent = {"250.0.29.1"}
    status = run("update_status", PEERS).unit_status
    assert status == testing.ActiveStatus(
        "fan-250 250.0.28.0/24, 2 of 3 peers verified, no answer from fan/2"
    )


def test_a_unit_whose_peers_are_all_silent_waits_for_them(host: Host, run: Run) -> None:
    host.silent = {"250.0.27.1", "250.0.29.1", "250.1.30.1"}
    status = run("update_status", PEERS).unit_status
    assert status == testing.WaitingStatus(
        "fan-250 250.0.28.0/24, 0 of 3 peers verified, no answer from fan/1, fan/2, fan/3"
    )


def test_of_many_peers_some_are_asked_and_the_status_says_so(host: Host, run: Run) -> None:
    many = {number: make_peer_data(f"172.30.2.{number}") for number in range(1, 101)}
    status = run("update_status", many).unit_status
    assert status == testing.ActiveStatus("fan-250 250.0.28.0/24, 16 of 100 peers verified")


def test_in_time_every_one_of_many_peers_is_asked(
    host: Host, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = {number: make_peer_data(f"172.30.2.{number}") for number in range(1, 41)}
    asked: set[str] = set()

    answer = host.ping

    def ping(target: Any, *arguments: Any, **options: Any) -> Any:
        asked.add(str(target))
        return answer(target, *arguments, **options)

    monkeypatch.setattr(host, "ping", ping)
    for turn in range(5):
        monkeypatch.setattr("time.time", lambda turn=turn: turn * 300.0)
        run("update_status", many)
    assert len(asked) == len(many)


@pytest.mark.parametrize(
    "told", [{}, {"host": "x"}, make_peer_data("172.30.0.27", "x"), make_peer_data("::1")]
)
def test_a_peer_that_has_told_nothing_yet_does_not_count(
    host: Host, run: Run, told: dict[str, str]
) -> None:
    status = run("update_status", {1: told}).unit_status
    assert status == testing.ActiveStatus("fan-250 250.0.28.0/24, no peers yet")


def test_a_peer_on_the_same_machine_is_no_other_machine(host: Host, run: Run) -> None:
    host.add_unit("fan/1")
    status = run("update_status", {1: make_peer_data("172.30.0.28")}).unit_status
    assert status == testing.ActiveStatus("fan-250 250.0.28.0/24, no peers yet")


def test_a_peer_that_departs_no_longer_counts(host: Host, context: Context) -> None:
    peers = testing.PeerRelation("hosts", peers_data={1: PEERS[1], 2: PEERS[2]})
    state = testing.State(relations={peers})
    departed = context.on.relation_departed(peers, remote_unit=1, departing_unit=1)
    status = context.run(departed, state).unit_status
    assert status == testing.ActiveStatus("fan-250 250.0.28.0/24, 1 peer")


@pytest.mark.parametrize(
    ("told", "text"),
    [
        (
            make_peer_data("172.30.0.27", overlay="99.0.0.0/8"),
            "fan/1 has the overlay 99.0.0.0/8, not 250.0.0.0/8",
        ),
        (
            make_peer_data("172.31.0.27", "172.31.0.0/16"),
            "fan/1's address 172.31.0.27 is outside of the underlay 172.30.0.0/16; "
            "set the option underlay to a network that holds all",
        ),
        (
            make_peer_data("172.30.0.28"),
            "fan/1 has the address 172.30.0.28 too, and so the slice 250.0.28.0/24; "
            "give each machine an address of its own",
        ),
        (
            make_peer_data("172.30.0.27", "172.30.0.0/20"),
            "fan/1 has the underlay 172.30.0.0/20, not 172.30.0.0/16; "
            "set the option underlay to a network that holds all",
        ),
    ],
)
def test_peers_that_do_not_go_together_block_by_name_while_the_fan_goes_on(
    host: Host, run: Run, told: dict[str, str], text: str
) -> None:
    state = run("update_status", {1: told, 2: PEERS[2]})
    assert state.unit_status == testing.BlockedStatus(text)
    assert OVERLAY in host.fans


def test_wrong_options_block_by_name_while_the_fan_goes_on(host: Host, run: Run) -> None:
    run()
    fan = host.fans[OVERLAY]
    status = run(overlay="250.0.0.1/8", docker="yes", mtu=5).unit_status
    assert isinstance(status, testing.BlockedStatus)
    for name in ("option overlay: ", "option docker: 'yes' is not one of", "option mtu: 5 is"):
        assert name in status.message
    assert host.fans[OVERLAY] is fan


def test_options_that_make_no_fan_with_this_address_block(host: Host, run: Run) -> None:
    run()
    status = run(overlay="172.0.0.0/8").unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert "overlap; give an overlay that is used for nothing else" in status.message
    assert OVERLAY in host.fans


def test_a_machine_without_an_address_blocks_and_heals_by_itself(host: Host, run: Run) -> None:
    host.address = None
    status = run("install").unit_status
    assert isinstance(status, testing.BlockedStatus)
    assert "no default route" in status.message
    host.address = "172.30.0.28"
    assert isinstance(run().unit_status, testing.ActiveStatus)


def test_what_the_kernel_refuses_blocks_with_its_reason(host: Host, run: Run) -> None:
    host.refusal = "UDP port 8472 is in use"
    assert run().unit_status == testing.BlockedStatus("UDP port 8472 is in use")


def test_a_fan_that_goes_right_after_is_waited_for(
    host: Host, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "list_fans", list)
    assert isinstance(run().unit_status, testing.WaitingStatus)


def test_another_overlay_takes_the_place_of_the_former(host: Host, run: Run) -> None:
    run()
    host.did.clear()
    status = run(overlay="99.0.0.0/8").unit_status
    assert status == testing.ActiveStatus("fan-99 99.0.28.0/24, no peers yet")
    assert host.did == [
        "remove network fan",
        "down 250.0.0.0/8",
        "up fan-99 99.0.28.0/24",
        "network fan 99.0.28.0/24",
    ]


def test_a_changed_address_moves_the_slice_and_says_who_must_restart(host: Host, run: Run) -> None:
    host.lxd_networks = {"lxdbr0": {"ipv4.address": "10.77.0.1/24"}}
    host.instances = ("c1",)
    run(lxd=True)
    host.address = "172.30.0.40"
    assert run(lxd=True).unit_status == testing.ActiveStatus(
        "the slice moved from 250.0.28.0/24 to 250.0.40.0/24; "
        "restart what has addresses of the old one: c1"
    )
    assert run(lxd=True).unit_status == testing.ActiveStatus("lxdbr0 250.0.40.0/24, no peers yet")


def test_a_changed_address_blocks_until_docker_s_containers_are_off_the_old_network(
    host: Host, run: Run
) -> None:
    run()
    host.address, host.attached = "172.30.0.40", {"fan": ("db", "web")}
    for _ in range(2):
        status = run().unit_status
        assert status == testing.BlockedStatus("containers are attached to it: db, web")
    assert host.fans[OVERLAY].slice == IPv4Network("250.0.40.0/24")
    host.attached.clear()
    assert isinstance(run().unit_status, testing.ActiveStatus)
    assert host.specs["fan"].ip_range == IPv4Network("250.0.40.0/24")


def test_peers_are_told_of_a_new_address_even_where_docker_is_in_the_way(
    host: Host, run: Run
) -> None:
    run()
    host.address, host.attached = "172.30.0.40", {"fan": ("web",)}
    state = run()
    assert isinstance(state.unit_status, testing.BlockedStatus)
    (relation,) = state.get_relations("hosts")
    assert relation.local_unit_data["host"] == "172.30.0.40"


def test_the_departure_of_this_unit_itself_changes_nothing(
    host: Host, charm_type: type[ops.CharmBase]
) -> None:
    host.add_unit("fan/5")
    context = testing.Context(charm_type, unit_id=5)
    principal = testing.SubordinateRelation("juju-info", remote_app_name="apache2")
    peers = testing.PeerRelation("hosts", peers_data={1: PEERS[1]})
    state = testing.State(relations={principal, peers})
    context.run(context.on.relation_departed(peers, remote_unit=1, departing_unit=5), state)
    assert host.did == []


def test_stop_gives_the_machine_back_what_it_had(host: Host, run: Run) -> None:
    run(docker="network")
    host.attached = {"fan": ("web",)}
    host.did.clear()
    run("stop")
    assert host.did == ["remove network fan", "down 250.0.0.0/8"]
    assert not list(host.units.rglob("*.service"))
    assert not list((host.agents / "unit-fan-0").iterdir())


def test_one_thing_that_can_not_be_given_back_does_not_keep_the_rest(
    host: Host, run: Run, monkeypatch: pytest.MonkeyPatch, context: Context
) -> None:
    run()

    def fail(**_: Any) -> None:
        raise OSError(5, "Input/output error", "/etc/docker/daemon.json")

    monkeypatch.setattr(host, "give_back_daemon_settings", fail)
    run("stop")
    assert host.fans == {}
    assert any("daemon.json: Input/output error" in log.message for log in context.juju_log)


def test_stop_without_a_fan_does_nothing(host: Host, run: Run) -> None:
    run("stop")
    assert host.did == []


def test_the_fan_comes_up_at_boot_before_docker(host: Host, run: Run) -> None:
    run()
    text = (host.units / "fan-0-boot.service").read_text()
    assert "Before=docker.service" in text
    assert "/src/boot.py fan/0" in text
    assert (host.units / "multi-user.target.wants" / "fan-0-boot.service").exists()
