"""`fanctl` between real hosts, which are network namespaces, and faults provoked for real."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from lib.fannet.tests.integration.lab import Host, Lab, ping


def fanctl(host: Host, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run the command on a host."""
    command = ["/usr/sbin/ip", "netns", "exec", host.name, sys.executable, "-m", "fannet", *words]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def hosts(lab: Lab) -> tuple[Host, Host]:
    """The two hosts of 2015, with a fan on both."""
    found = lab.host("172.30.0.28/16"), lab.host("172.30.0.27/16")
    for host in found:
        fanctl(host, "up", "250.0.0.0/8", "eth0/16")
    return found


def check(host: Host, *peers: str, code: int = 1) -> dict[str, Any]:
    return json.loads(fanctl(host, "check", *peers, "--format", "json", code=code).stdout)


def explain(host: Host, *peers: str) -> str:
    """All that the check finds wrong, one finding a line; it must find something."""
    [fan] = check(host, *peers)["fans"]
    found = [*fan["findings"], *(f for peer in fan["peers"] for f in peer["findings"])]
    assert all(finding["next"] for finding in found)
    return "\n".join(f"{f['level']}: {f['text']}" for f in found)


def test_containers_ping_each_other_and_show_prints_what_it_did_in_2015(
    lab: Lab, hosts: tuple[Host, Host]
) -> None:
    for host, number in zip(hosts, (28, 27), strict=True):
        assert fanctl(host, "show").stdout == (
            "Bridge           Overlay              Underlay             Flags\n"
            f"fan-250          250.0.0.0/8          172.30.0.{number}/16\n"
        )
    one = lab.container(hosts[0], "250.0.28.3/8")
    other = lab.container(hosts[1], "250.0.27.3/8")
    for here, there in ((one, other), (other, one)):
        told = here.run("ping", "-c", "3", "-i", "0.2", str(there.address.ip))
        assert "3 packets transmitted, 3 received, 0% packet loss" in told


def test_up_and_down_say_what_they_do_and_leave_nothing(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16")
    # Or its IPv6 address becomes valid at some moment, by which the snapshots would differ.
    host.run("sysctl", "-qw", "net.ipv6.conf.eth0.disable_ipv6=1")
    before = host.snapshot()
    told = fanctl(host, "up", "-u", "172.30.0.0/16", "-o", "250.0.0.0/8", "--mtu=1400").stdout
    assert "give fan-250 the address 250.0.28.1/8" in told.splitlines()
    assert fanctl(host, "up", "250.0.0.0/8", "172.30.0.28/16", "mtu", "1400").stdout == ""
    assert fanctl(host, "show").stdout.splitlines()[1].endswith(" mtu 1400")
    assert "remove bridge fan-250" in fanctl(host, "down", "250.0.0.0/8", "eth0/16").stdout
    assert host.snapshot() == before


def test_a_changed_address_moves_the_slice_and_names_what_to_restart(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16")
    fanctl(host, "up", "250.0.0.0/8", "eth0/16")
    container = lab.container(host, "250.0.28.3/8")
    host.run("ip", "address", "add", "172.30.0.29/16", "dev", "eth0")
    host.run("ip", "address", "del", "172.30.0.28/16", "dev", "eth0")
    host.run("ip", "address", "replace", "172.30.0.29/16", "dev", "eth0")
    told = fanctl(host, "up", "250.0.0.0/8", "eth0/16").stdout.splitlines()[-1]
    assert "moved from 250.0.28.0/24 to 250.0.29.0/24" in told
    assert container.outside in told


def test_up_without_an_address_says_so_in_one_line(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16")
    host.run("ip", "address", "flush", "dev", "eth0")
    told = fanctl(host, "up", "250.0.0.0/8", "eth0/16", code=1).stderr
    assert told.startswith("fanctl: device eth0 is not there, or has no IPv4 address")
    assert told.count("\n") == 1


@pytest.mark.parametrize("underlay", ["eth0/16", "172.30.0.0/16", "172.30.0.28/16"])
def test_floating_addresses_are_passed_over(lab: Lab, underlay: str) -> None:
    host = lab.host("172.30.0.28/16")
    host.configure(
        "link add vip type bridge",
        "link set vip up",
        "address add 172.30.0.7/32 dev vip",
        "address add 172.30.0.8/32 dev eth0",
        "address add 172.30.0.28/32 dev vip",  # the same, as load balancers have it
    )
    fanctl(host, "up", "250.0.0.0/8", underlay)
    (state,) = host.read()
    assert (str(state.fan.host), state.device, state.problems) == ("172.30.0.28", "eth0", ())


def test_what_the_overlay_takes_from_the_host_is_named(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16")
    host.configure(
        "link add other type bridge",
        "link set other up",
        "address add 250.3.0.1/24 dev other",
        "address add 250.4.0.1/32 dev lo",
        "route add unreachable 250.5.0.0/16",
        "route add 248.0.0.0/5 via 172.30.0.1",  # wider than the overlay: in nobody's way
    )
    warned = fanctl(host, "up", "250.0.0.0/8", "eth0/16").stderr
    told = (
        "this machine reaches 250.3.0.0/24 on other, 250.4.0.1/32 on lo, 250.5.0.0/16 on no device"
    )
    assert told in warned
    fan = check(host, code=0)["fans"][0]
    assert [f["text"].split(",")[0] for f in fan["findings"]] == [
        "this machine reaches 250.3.0.0/24 on other",
        "this machine reaches 250.4.0.1/32 on lo",
        "this machine reaches 250.5.0.0/16 on no device",
    ]


def test_dhcp_is_refused_where_no_systemd_runs(lab: Lab) -> None:
    host = lab.host("172.30.0.28/16")
    told = fanctl(host, "up", "250.0.0.0/8", "eth0/16", "dhcp", code=1).stderr
    assert "DHCP needs systemd, which is not running here" in told
    assert host.read() == []


def test_check_is_content_with_two_good_hosts(hosts: tuple[Host, Host]) -> None:
    for here, there in (hosts, hosts[::-1]):
        report = check(here, str(there.address.ip), code=0)
        [peer] = report["fans"][0]["peers"]
        assert report["ok"]
        assert (peer["answered"], peer["mtu"], peer["findings"]) == (True, 1450, [])


FIREWALLS = {
    "there, dropping": (1, "INPUT", "udp", "DROP", "a firewall there or on the way drops it"),
    "there, rejecting": (1, "INPUT", "udp", "REJECT", "172.30.0.27 refuses UDP port 8472"),
    "here, coming": (0, "INPUT", "udp", "DROP", "this machine's firewall drops them"),
    "here, going": (0, "OUTPUT", "udp", "DROP", "own firewall drops UDP port 8472 on the way out"),
    "there, of ping": (1, "INPUT", "icmp", "DROP", "answers ARP through the fan, but not ping"),
}


@pytest.mark.parametrize("where", FIREWALLS)
def test_check_finds_the_firewall(hosts: tuple[Host, Host], where: str) -> None:
    host, chain, protocol, action, told = FIREWALLS[where]
    rule = [chain, "-p", protocol, "-j", action]
    if protocol == "udp":
        rule[3:3] = ["--dport", "8472"]
    else:
        rule[3:3] = ["-d", "250.0.0.0/8"]
    hosts[host].run("iptables", "-I", *rule)
    assert told in explain(hosts[0], "172.30.0.27")
    hosts[host].run("iptables", "-D", *rule)
    assert check(hosts[0], "172.30.0.27", code=0)["ok"]


def test_a_peer_that_sends_by_itself_and_hears_nothing_is_behind_a_firewall(
    hosts: tuple[Host, Host],
) -> None:
    hosts[1].run("iptables", "-I", "INPUT", "-p", "udp", "--dport", "8472", "-j", "DROP")
    with hosts[1].start("ping", "-i", "0.1", "-I", "250.0.27.1", "250.0.28.1") as sender:
        told = explain(hosts[0], "172.30.0.27")
        sender.kill()
    assert "a firewall there or on the way drops it" in told


def test_check_finds_a_way_that_takes_smaller_packets(hosts: tuple[Host, Host]) -> None:
    hosts[1].run("ip", "link", "set", "eth0", "mtu", "1400")
    told = explain(hosts[0], "172.30.0.27")
    assert "answers packets of up to 1350 bytes, and the fan lets 1450 through" in told
    assert "packets of 1450 bytes need 1500 on eth0, which takes 1400" in explain(hosts[1])
    fanctl(hosts[0], "up", "250.0.0.0/8", "eth0/16", "mtu", "1350")
    fanctl(hosts[1], "up", "250.0.0.0/8", "eth0/16")
    assert check(hosts[0], "172.30.0.27", code=0)["fans"][0]["peers"][0]["mtu"] == 1350


def test_check_finds_a_plugged_device_that_loses_large_packets(
    lab: Lab, hosts: tuple[Host, Host]
) -> None:
    container = lab.container(hosts[0], "250.0.28.3/8")
    assert check(hosts[0], code=0)["ok"]
    hosts[0].run("ip", "link", "set", container.outside, "mtu", "1500")
    told = f"{container.outside} in fan-250 sends packets of up to 1500 bytes"
    assert told in explain(hosts[0])


def test_check_reads_no_sys_of_another_network_namespace(hosts: tuple[Host, Host]) -> None:
    """As `nsenter --net` leaves it: what is in /sys then is the namespace's from which it came."""
    hosts[0].run("ip", "link", "set", "eth0", "mtu", "1300")
    command = [
        "/usr/bin/nsenter",
        f"--net=/run/netns/{hosts[0].name}",
        sys.executable,
        "-m",
        "fannet",
    ]
    done = subprocess.run([*command, "check"], check=False, capture_output=True, text=True)
    assert "packets of 1450 bytes need 1500 on eth0, which takes 1300" in done.stdout


def test_check_finds_forwarding_turned_off(hosts: tuple[Host, Host]) -> None:
    hosts[0].run("sysctl", "-qw", "net.ipv4.ip_forward=0")
    assert "net.ipv4.ip_forward is 0" in explain(hosts[0])


def test_check_finds_a_wrong_prefix_on_either_side(hosts: tuple[Host, Host]) -> None:
    right, wrong = hosts
    fanctl(wrong, "down", "-e")
    fanctl(wrong, "up", "250.0.0.0/8", "eth0/20")
    assert "its fan has another overlay, prefix" in explain(right, "172.30.0.27")
    told = explain(wrong, "172.30.0.28")
    assert "eth0 is on a /16, and the underlay 172.30.0.0/20 is only a part of that" in told
    assert "for rx_source" in told
    # By now the other has asked here as well.
    assert "sender computes its slice differently" in explain(right, "172.30.0.27")


def test_check_finds_another_vni(hosts: tuple[Host, Host]) -> None:
    fanctl(hosts[1], "up", "250.0.0.0/8", "eth0/16", "vni", "77")
    explain(hosts[1], "172.30.0.28")
    assert "the sender's VNI differs" in explain(hosts[0], "172.30.0.27")


def test_check_finds_another_host_with_its_address(hosts: tuple[Host, Host]) -> None:
    hosts[1].run("ip", "address", "add", "172.30.0.28/32", "dev", "eth0")
    told = explain(hosts[0])
    assert "another host on eth0 has the address 172.30.0.28 too" in told
    assert hosts[1].mac() in told


def test_check_finds_that_there_is_no_route(hosts: tuple[Host, Host]) -> None:
    hosts[0].run("ip", "route", "add", "unreachable", "172.30.0.27")
    assert "no route to 172.30.0.27" in explain(hosts[0], "172.30.0.27")


def test_check_finds_a_closer_route_to_a_slice(hosts: tuple[Host, Host]) -> None:
    hosts[0].run("ip", "route", "add", "250.0.27.0/24", "via", "172.30.0.27")
    told = explain(hosts[0], "172.30.0.27")
    assert "packets to 250.0.27.1 do not go into the fan" in told
    assert "firewall" not in told


def test_check_finds_a_host_without_a_fan_and_one_that_is_not_there(
    hosts: tuple[Host, Host],
) -> None:
    fanctl(hosts[1], "down", "-e")
    assert "172.30.0.27 refuses UDP port 8472" in explain(hosts[0], "172.30.0.27")
    assert "does not answer on the underlay either" in explain(hosts[0], "172.30.0.99")


def test_check_finds_damage(hosts: tuple[Host, Host]) -> None:
    hosts[0].run("ip", "link", "delete", "fan-fa000000-p")
    assert "not done: make port fan-fa000000-p" in explain(hosts[0])


def test_rules_that_somebody_flushed_are_told_and_put_back(hosts: tuple[Host, Host]) -> None:
    """As a restart of nftables.service does; the fan carries packets meanwhile."""
    host, peer = hosts
    host.run("nft", "flush", "ruleset")
    missing = "not done: apply the packet filter's rules"
    assert missing in explain(host)
    shown = json.loads(fanctl(host, "show", "--format", "json").stdout)
    assert missing in json.dumps(shown)
    ping(host, "250.0.27.1")
    done = fanctl(host, "up", "250.0.0.0/8", "eth0/16")
    assert "apply the packet filter's rules" in done.stdout
    assert "table ip fannet" in host.run("nft", "list", "ruleset")
    assert check(host, str(peer.address.ip), code=0)
    assert fanctl(host, "up", "250.0.0.0/8", "eth0/16").stdout == ""


def test_check_finds_that_the_address_went_away(hosts: tuple[Host, Host]) -> None:
    hosts[0].run("ip", "address", "flush", "dev", "eth0")
    assert "no device of this machine has the address 172.30.0.28 any more" in explain(hosts[0])
