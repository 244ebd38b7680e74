"""The fan charm on real machines, with real engines and containers that talk to each other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import IPv4Interface
from pathlib import Path
from typing import Any

import jubilant
import pytest

from tests.integration.fan_steps import (
    attach_fan,
    build_image,
    list_lost,
    list_units,
    reaches,
    read_address,
    read_network,
    read_status,
    run_inside,
    run_on,
    send,
    start_container,
    wait_for_fans,
    wait_until_reached,
)
from tests.integration.reader import Reader
from tests.integration.steps import (
    needs_our_network,
    reboot_machine,
    reset_options,
    run_hook,
)
from tests.pages import take

# How the fan is deployed, and then what is asked of it.
README = take("charms/fan/README.md", __file__)
# With an option that the engine knows, spelled as no program would.
DAEMON = '{"debug":   true, "bip": "10.99.0.1/24"}'
PEERS = "query?query=fan_peer_up"
# Sends a UDP packet with a source of its own choice, and the start of a VXLAN header in it.
FORGE = """
import socket, struct, sys
source, target, port = sys.argv[1:]
udp = struct.pack(">HHHH", 40000, int(port), 16, 0) + b"\\x08" + bytes(7)
addresses = socket.inet_aton(source) + socket.inet_aton(target)
header = struct.pack(">BBHHHBBH", 0x45, 0, 0, 0, 0, 64, 17, 0) + addresses
raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
raw.sendto(header + udp, (target, 0))
"""
# The same with the source that the kernel gives it.
SEND = """
import socket, sys
try:
    socket.socket(type=socket.SOCK_DGRAM).sendto(bytes(8), (sys.argv[1], 8472))
except PermissionError:
    print("refused")
"""
# Two frames that no fan carries, broadcast by the bridge: of IPv6, and of IPv4.
STRAYS = """
import socket, struct
bridge = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
bridge.bind(("fan-250", 0))
header = struct.pack(">BBHHHBBH", 0x45, 0, 48, 0, 0, 64, 17, 0) + bytes(4) + b"\\xff" * 4
for kind, packet in ((0x86DD, b"\\x60" + bytes(47)), (0x0800, header + bytes(28))):
    bridge.send(b"\\xff" * 6 + b"\\x02" + bytes(5) + struct.pack(">H", kind) + packet)
"""
NOBODY = ("setpriv", "--reuid=65534", "--clear-groups", "python3", "-c", SEND)


@pytest.fixture(scope="module")
def reader(
    shared_juju: jubilant.Juju, charms: dict[str, Path], tmp_path_factory: pytest.TempPathFactory
) -> Reader:
    """Types what the charm's README shows."""
    instead = {f"deploy {name}": f"deploy {charms[name]}" for name in ("apache2", "fan")}

    def send_strays() -> None:
        run_on(shared_juju, 0, "python3", "-c", STRAYS)

    before = {"juju run fan/0 drops": send_strays}
    return Reader(shared_juju, tmp_path_factory.mktemp("reader"), instead, before)


@pytest.fixture(scope="module")
def fan(shared_juju: jubilant.Juju, reader: Reader) -> jubilant.Juju:
    """A model with the fan on two machines, and a container on each: web on 0, db on 1."""
    reader.read(README[:1])
    wait_for_fans(shared_juju, 2)
    for machine, name in enumerate(("web", "db")):
        build_image(shared_juju, machine)
        start_container(shared_juju, machine, name, "--network", "fan", "--restart", "always")
    return shared_juju


@pytest.fixture
def units(fan: jubilant.Juju) -> dict[int, str]:
    return list_units(fan)


@pytest.fixture
def settings(fan: jubilant.Juju) -> Iterator[None]:
    """Puts the options back after a test that changes some."""
    yield
    options = ["docker", "mtu", "overlay", "underlay"]
    reset_options(fan, *list_units(fan).values(), options=options)
    fan.wait(jubilant.all_active, successes=1)


def test_containers_on_two_machines_reach_each_other(fan: jubilant.Juju) -> None:
    web, db = read_address(fan, 0, "web"), read_address(fan, 1, "db")
    assert web.startswith("250.0.")
    assert db.startswith("250.0.")
    assert web.rpartition(".")[0] != db.rpartition(".")[0]
    assert reaches(fan, 0, run_inside("web"), db)
    assert reaches(fan, 1, run_inside("db"), web)
    send(fan, (0, run_inside("web")), (1, run_inside("db")), db)
    send(fan, (1, run_inside("db")), (0, run_inside("web")), web)


def stop_listening(fan: jubilant.Juju, machine: int, unit: str) -> None:
    fan.run(unit, "listen", {"seconds": 1})
    fan.wait(lambda _: "8473" not in run_on(fan, machine, "ss", "-Hltn"), successes=1)


def test_what_the_readme_shows_is_printed(
    fan: jubilant.Juju, reader: Reader, units: dict[int, str]
) -> None:
    reader.read(README[1:])
    # What it has told a unit to do for a minute.
    machines = {unit: machine for machine, unit in units.items()}
    stop_listening(fan, machines["fan/1"], "fan/1")


def test_peers_are_verified_with_their_names_and_round_trips(
    fan: jubilant.Juju, units: dict[int, str]
) -> None:
    run_hook(fan, "update-status", unit=units[0])
    assert read_status(fan, units[0])[1].endswith(", 1 peer verified")
    results = fan.run(units[0], "verify").results
    ((peer,), findings) = json.loads(results["json"]).values()
    assert (peer["unit"], peer["answered"], findings) == (units[1], True, [])
    assert peer["rtt-ms"] > 0
    assert peer["mtu"] == int(fan.run(units[0], "show").results["mtu"])
    assert units[1] in results["peers"]


def test_the_throughput_to_a_peer_is_measured(fan: jubilant.Juju, units: dict[int, str]) -> None:
    peer = {"unit": units[1], "seconds": 1}
    by_ping = fan.run(units[0], "measure", peer).results
    assert by_ping["method"] == "ping"
    assert float(by_ping["mbits-per-second"]) > 0
    fan.run(units[1], "listen")
    over_tcp = fan.run(units[0], "measure", peer).results
    assert over_tcp["method"] == "tcp"
    assert float(over_tcp["mbits-per-second"]) > 0
    # A container gets nothing out of it, and nobody is listened to for longer than was asked.
    refused = run_inside(
        "web", "nc", "-w", "2", fan.run(units[1], "show").results["gateway"], "8473"
    )
    assert not run_on(fan, 0, "sh", "-c", f"echo x | {' '.join(refused)} || true").strip()
    stop_listening(fan, 1, units[1])
    with pytest.raises(jubilant.TaskError, match=f"there are: {units[1]}"):
        fan.run(units[0], "measure", {"unit": "fan/99"})


def test_a_peer_behind_a_firewall_is_named_and_the_reason_explained(
    fan: jubilant.Juju, units: dict[int, str]
) -> None:
    rule = "INPUT -p udp --dport 8472 -j DROP"
    run_on(fan, 1, "sh", "-c", f"iptables -I {rule}")
    try:
        run_hook(fan, "update-status", unit=units[0])
        assert read_status(fan, units[0])[1].endswith(f"no answer from {units[1]}")
        with pytest.raises(jubilant.TaskError) as caught:
            fan.run(units[0], "verify")
        assert "a firewall there or on the way drops it" in caught.value.task.results["findings"]
    finally:
        run_on(fan, 1, "sh", "-c", f"iptables -D {rule}")
    run_hook(fan, "update-status", unit=units[0])
    assert read_status(fan, units[0])[0] == "active"


def count_forged(juju: jubilant.Juju, unit: str) -> dict[str, int]:
    """Return what a unit dropped that went around its programs, by reason."""
    results = juju.run(unit, "drops").results
    names = ("rx-forged", "tx-forged")
    return {name: int(results.get(name, "0").partition(":")[0]) for name in names}


@pytest.mark.parametrize("bridged", ["0", "1"], ids=["bridged past iptables", "br_netfilter"])
def test_nothing_forged_goes_around_the_programs_beside_dockers_tables(
    fan: jubilant.Juju, units: dict[int, str], bridged: str
) -> None:
    here, there = (
        IPv4Interface(fan.run(units[machine], "show").results["underlay"]) for machine in (0, 1)
    )
    another = here.network.broadcast_address - 1
    switch = f"net.bridge.bridge-nf-call-iptables={bridged}"
    run_on(fan, 0, "sysctl", "-q", "-w", switch)
    pid = run_on(fan, 0, "docker", "inspect", "--format", "{{.State.Pid}}", "web").strip()
    in_web = ("nsenter", f"--net=/proc/{pid}/ns/net")
    forge = ("python3", "-c", FORGE)
    before = count_forged(fan, units[0])
    run_on(fan, 0, *in_web, *forge, str(another), str(there.ip), "8472")
    run_on(fan, 0, *in_web, *forge, str(another), str(here.ip), "8472")
    run_on(fan, 0, *in_web, *NOBODY, str(there.ip))
    assert run_on(fan, 0, *NOBODY, str(there.ip)).strip() == "refused"
    # Of its own slice's addresses, its own NAT would make its own.
    run_on(fan, 1, *forge, read_address(fan, 0, "web"), str(here.ip), "9")
    after = count_forged(fan, units[0])
    assert {name: after[name] - before[name] for name in after} == {"rx-forged": 2, "tx-forged": 3}
    run_on(fan, 0, "sysctl", "-q", "-w", "net.bridge.bridge-nf-call-iptables=1")
    assert reaches(fan, 0, run_inside("web"), read_address(fan, 1, "db"))
    assert reaches(fan, 0, run_inside("web"), str(there.ip))


def test_wrong_options_block_by_name_while_containers_go_on(
    fan: jubilant.Juju, units: dict[int, str], settings: None
) -> None:
    fan.config("fan", {"overlay": "250.0.0.1/8", "mtu": 5})
    fan.wait(lambda _: read_status(fan, units[0])[0] == "blocked", successes=1)
    message = read_status(fan, units[0])[1]
    assert "option overlay" in message
    assert "option mtu" in message
    assert reaches(fan, 0, run_inside("web"), read_address(fan, 1, "db"))


def test_containers_come_back_when_docker_is_restarted(fan: jubilant.Juju) -> None:
    run_on(fan, 0, "systemctl", "restart", "docker")
    wait_until_reached(fan, 0, run_inside("web"), read_address(fan, 1, "db"))


def test_a_tunnel_that_is_deleted_under_our_feet_comes_back(
    fan: jubilant.Juju, units: dict[int, str]
) -> None:
    db = read_address(fan, 1, "db")
    run_on(fan, 0, "ip", "link", "delete", "fan-vx8472")
    assert not reaches(fan, 0, run_inside("web"), db)
    run_hook(fan, "update-status", unit=units[0])
    assert reaches(fan, 0, run_inside("web"), db)


def test_a_bridge_that_is_deleted_comes_back_for_containers_that_restart(
    fan: jubilant.Juju, units: dict[int, str]
) -> None:
    run_on(fan, 0, "ip", "link", "delete", "fan-250")
    run_hook(fan, "update-status", unit=units[0])
    run_on(fan, 0, "docker", "restart", "--time", "1", "web")
    wait_until_reached(fan, 0, run_inside("web"), read_address(fan, 1, "db"))


def test_hooks_that_have_nothing_to_change_change_nothing_and_say_little(
    fan: jubilant.Juju, units: dict[int, str]
) -> None:
    run_hook(fan, "update-status", unit=units[0])  # it sees new containers
    before = read_network(fan, 0), run_on(fan, 0, "docker", "network", "inspect", "fan")
    run_hook(fan, "update-status", unit=units[0])
    assert read_network(fan, 0) == before[0]
    assert run_on(fan, 0, "docker", "network", "inspect", "fan") == before[1]
    # Each line in Juju's log costs a process, and netlink's messages are long and many.
    assert "IFLA_" not in fan.debug_log(limit=100)


def test_after_a_reboot_containers_are_on_the_fan_again(fan: jubilant.Juju) -> None:
    reboot_machine(fan)
    wait_until_reached(fan, 0, run_inside("web"), read_address(fan, 1, "db"))
    send(fan, (1, run_inside("db")), (0, run_inside("web")), read_address(fan, 0, "web"))


def test_machines_that_join_and_leave_cost_two_others_no_packet(
    fan: jubilant.Juju, charms: dict[str, Path]
) -> None:
    ping = f"exec ping -i 0.05 {read_address(fan, 1, 'db')} >/tmp/pings"
    run_on(fan, 0, "docker", "exec", "--detach", "web", "sh", "-c", ping)
    fan.add_unit("apache2")
    wait_for_fans(fan, 3)
    units = list_units(fan)
    run_hook(fan, "update-status", unit=units[2])
    assert read_status(fan, units[2])[1].endswith("2 peers verified")
    fan.remove_unit("apache2/2")
    wait_for_fans(fan, 2)
    run_on(fan, 0, "pkill", "-INT", "-f", "[p]ing -i 0.05")
    fan.wait(
        lambda _: "transmitted" in run_on(fan, 0, *run_inside("web", "cat", "/tmp/pings")),
        successes=1,
    )
    report = run_on(fan, 0, *run_inside("web", "cat", "/tmp/pings"))
    assert list_lost(report) == []
    assert len(report.splitlines()) > 100


def test_every_container_lands_on_the_fan_with_the_default_bridge_and_back(
    fan: jubilant.Juju, units: dict[int, str]
) -> None:
    for machine, name in enumerate(("web", "db")):
        run_on(fan, machine, "docker", "rm", "--force", name)
        run_on(fan, machine, "sh", "-c", f"echo '{DAEMON}' >/etc/docker/daemon.json")
        run_on(fan, machine, "systemctl", "restart", "docker")
    fan.config("fan", {"docker": "default-bridge"})
    fan.wait(jubilant.all_active, successes=1)
    web, db = (start_container(fan, m, name) for m, name in enumerate(("web", "db")))
    assert web.startswith("250.0.")
    assert reaches(fan, 0, run_inside("web"), db)
    send(fan, (0, run_inside("web")), (1, run_inside("db")), db)
    reboot_machine(fan)
    run_on(fan, 0, "docker", "start", "web")
    assert reaches(fan, 0, run_inside("web"), db)

    for machine, name in enumerate(("web", "db")):
        run_on(fan, machine, "docker", "rm", "--force", name)
    reset_options(fan, *list_units(fan).values(), options="docker")
    fan.wait(jubilant.all_active, successes=1)
    assert run_on(fan, 0, "cat", "/etc/docker/daemon.json").strip() == DAEMON
    assert start_container(fan, 0, "web").startswith("10.99.0.")
    run_on(fan, 0, "docker", "rm", "--force", "web")
    web, db = (
        start_container(fan, m, name, "--network", "fan") for m, name in enumerate(("web", "db"))
    )
    assert reaches(fan, 0, run_inside("web"), db)


@needs_our_network
def test_a_machine_outside_of_the_others_underlay_is_told_by_name(
    fan: jubilant.Juju, units: dict[int, str]
) -> None:
    own = run_on(fan, 1, "ip", "-4", "-o", "address", "show", "host0").split()[3]
    way = "ip route replace default via 172.30.0.1 dev host0"
    run_on(fan, 1, "sh", "-c", f"ip address add 10.50.0.3/16 dev host0 && {way} src 10.50.0.3")
    run_on(fan, 1, "docker", "rm", "--force", "db")
    run_hook(fan, "update-status", unit=units[1])
    fan.wait(lambda _: read_status(fan, units[0])[0] == "blocked", successes=1)
    assert f"{units[1]}'s address 10.50.0.3 is outside" in read_status(fan, units[0])[1]
    assert read_status(fan, units[1])[0] == "blocked"
    back = f"{way} src {own.partition('/')[0]} && ip address delete 10.50.0.3/16 dev host0"
    run_on(fan, 1, "sh", "-c", back)
    run_hook(fan, "update-status", unit=units[1])
    fan.wait(jubilant.all_active, successes=1)
    start_container(fan, 1, "db", "--network", "fan")


@needs_our_network
def test_a_changed_address_moves_the_slice_and_names_who_is_left_behind(
    fan: jubilant.Juju, units: dict[int, str]
) -> None:
    change = (
        "ip address add 172.30.9.9/16 dev host0 && "
        "ip route replace default via 172.30.0.1 dev host0 src 172.30.9.9"
    )
    run_on(fan, 1, "sh", "-c", change)
    run_hook(fan, "update-status", unit=units[1])
    status, message = read_status(fan, units[1])
    assert status == "blocked"
    assert "containers are attached to it: db;" in message
    run_on(fan, 1, "docker", "network", "disconnect", "--force", "fan", "db")
    run_hook(fan, "update-status", unit=units[1])
    run_on(fan, 1, "docker", "network", "connect", "fan", "db")
    db = read_address(fan, 1, "db")
    assert db.startswith("250.9.9.")
    assert reaches(fan, 0, run_inside("web"), db)
    fan.wait(jubilant.all_active, successes=1)


def test_a_collector_gets_metrics_rules_and_traces_until_it_goes(
    fan: jubilant.Juju, charms: dict[str, Path], units: dict[int, str]
) -> None:
    fan.deploy(charms["collector"])
    fan.integrate("apache2:juju-info", "collector:juju-info")
    fan.integrate("fan:cos-agent", "collector:cos-agent")
    fan.wait(jubilant.all_active, successes=1)

    def ask(question: str) -> Any:
        url = f"http://localhost:9090/api/v1/{question}"
        return json.loads(run_on(fan, 0, "curl", "-fsS", url))["data"]

    def is_seen(_: jubilant.Status) -> bool:
        return {(each["metric"]["peer"], each["value"][1]) for each in ask(PEERS)["result"]} == {
            (units[1], "1")
        }

    fan.wait(is_seen, successes=1)
    (group,) = ask("rules")["groups"]
    fan.wait(
        lambda _: {rule["health"] for rule in ask("rules")["groups"][0]["rules"]} == {"ok"},
        successes=1,
    )
    assert {rule["state"] for rule in group["rules"]} == {"inactive"}
    metrics = "curl -fsS http://localhost:9635/metrics >/tmp/metrics && "
    assert not run_on(fan, 0, "sh", "-c", f"{metrics} promtool check metrics </tmp/metrics 2>&1")
    fan.integrate("fan:charm-tracing", "collector:tracing")
    fan.wait(jubilant.all_agents_idle, successes=1)
    run_hook(fan, "update-status", unit=units[0])
    # The collector's leader, which takes them, is on one of the machines.
    show = ("find", "/var/lib/collector/traces", "-type", "f", "-exec", "cat", "{}", "+")
    traces = "".join(run_on(fan, machine, *show) for machine in units)
    assert f'"{units[0]}"' in traces
    fan.remove_application("collector")
    fan.wait(lambda status: not status.get_units("collector"), successes=1)
    assert "9635" not in run_on(fan, 0, "ss", "-Hltn")


def test_two_principals_on_a_machine_share_its_fan(
    fan: jubilant.Juju, charms: dict[str, Path]
) -> None:
    db = read_address(fan, 1, "db")
    fan.deploy(charms["apache2"], "intranet", to="0")
    fan.integrate("intranet:juju-info", "fan:juju-info")
    wait_for_fans(fan, 3)
    fan.remove_application("intranet")
    wait_for_fans(fan, 2)
    assert reaches(fan, 0, run_inside("web"), db)
    assert "fan-250" in run_on(fan, 0, "fanctl", "show")


def test_removal_leaves_a_machine_as_it_was(fan: jubilant.Juju, charms: dict[str, Path]) -> None:
    fan.remove_relation("apache2", "fan")
    fan.wait(lambda status: not status.get_units("fan"), successes=1)
    run_on(fan, 0, "docker", "rm", "--force", "web")
    before = read_network(fan, 0)
    assert "fan" not in before
    attach_fan(fan)
    start_container(fan, 0, "web", "--network", "fan")
    fan.config("fan", {"docker": "none"})
    fan.wait(lambda status: not jubilant.all_active(status), successes=1)
    run_on(fan, 0, "docker", "rm", "--force", "web")
    fan.config("fan", {"docker": "default-bridge"})
    fan.wait(jubilant.all_active, successes=1)
    assert read_network(fan, 0) != before
    fan.remove_relation("apache2", "fan")
    fan.wait(lambda status: not status.get_units("fan"), successes=1)
    assert read_network(fan, 0) == before
