"""What a machine is like inside, and what it leaves of the host: as it was."""

from __future__ import annotations

import os
import re
import socket
import subprocess
from pathlib import Path

import jubilant
import pytest

from lib.localmodel.tests.integration import probe
from lib.localmodel.tests.integration.probe import as_root
from localmodel.machines.processes import find_by_environment, read_command_lines


def output(*argv: str) -> str:
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def host_network() -> dict[str, str]:
    """What of the host's network a container engine tends to change."""
    forward = "/proc/sys/net/ipv4/ip_forward"
    return {
        "routes": output("/usr/sbin/ip", "route", "show", "table", "all"),
        "links": output("/usr/sbin/ip", "-o", "-br", "link"),
        "rules": "\n".join(
            line
            for line in output("/usr/sbin/iptables-save").splitlines()
            if not line.startswith(("#", ":"))
        ),
        "ip_forward": Path(forward).read_text(),
        "resolv.conf": Path("/etc/resolv.conf").read_text(),
    }


@pytest.fixture(scope="module")
def two(juju: jubilant.Juju) -> tuple[str, str]:
    """The addresses of two machines."""
    juju.cli("add-machine", "-n", "2")
    machines = juju.status().machines
    return machines["0"].dns_name, machines["1"].dns_name


def test_a_machine_has_a_systemd_that_has_started_everything(
    juju: jubilant.Juju, two: tuple[str, str]
) -> None:
    assert as_root(juju, 0, "systemctl is-system-running") == "running\n"
    assert as_root(juju, 0, "cat /proc/1/comm") == "systemd\n"
    assert as_root(juju, 0, "systemctl --failed --no-legend") == ""


def test_a_machine_has_a_docker_engine_that_runs_containers(
    juju: jubilant.Juju, two: tuple[str, str]
) -> None:
    # The second where the engine leaves its images to containerd.
    assert as_root(juju, 0, "docker info --format '{{.Driver}}'").strip() in (
        "overlay2",
        "overlayfs",
    )
    # An image without a registry: one program, and what it is linked with.
    files = "/usr/bin/id $(ldd /usr/bin/id | grep -o '/[^ ]*')"
    as_root(juju, 0, f"tar --create --dereference {files} | docker import - own")
    words = as_root(juju, 0, "docker run --rm --memory=64m own /usr/bin/id -u")
    assert words == "0\n"
    assert as_root(juju, 1, "docker images --quiet") == ""


def test_hidden_control_groups_are_named_and_the_machine_boots_once_they_are_back(
    two: tuple[str, str],
) -> None:
    with jubilant.temp_model() as juju:
        # In a mount namespace of its own, where they are hidden as by a careless mount.
        add = f"mount -t tmpfs none /sys/fs/cgroup && juju add-machine --model {juju.model}"
        unshare = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", add]
        hidden = subprocess.run(unshare, capture_output=True, text=True, check=False)
        assert hidden.returncode == 1
        says = r"^ERROR the control groups of /sys/fs/cgroup(/\S+)? are hidden by"
        assert re.search(says, hidden.stderr, re.M)
        assert "Traceback" not in hidden.stderr
        assert juju.status().machines["0"].juju_status.current == "started"


def test_a_command_in_a_machine_may_ask_its_systemd_for_a_scope(
    juju: jubilant.Juju, two: tuple[str, str]
) -> None:
    assert as_root(juju, 0, "systemd-run --quiet --scope echo here") == "here\n"


def test_a_machine_may_set_its_own_network_devices_and_none_of_the_hosts(
    juju: jubilant.Juju, two: tuple[str, str]
) -> None:
    tunable = "/sys/class/net/host0/queues/rx-0/rps_cpus"
    assert as_root(juju, 0, f"echo 1 >{tunable} && cat {tunable}").strip("0\n,") == "1"
    assert "eth0" not in as_root(juju, 0, "ls /sys/devices/virtual/net /sys/class/net").split()
    with pytest.raises(jubilant.CLIError, match="Read-only file system"):
        as_root(juju, 0, "touch /sys/devices/system/cpu/cpu0/online")


def test_a_machine_reaches_the_outside_by_name(juju: jubilant.Juju, two: tuple[str, str]) -> None:
    as_root(juju, 0, "apt-get update -q -o APT::Update::Error-Mode=any")


def test_apt_has_read_its_lists_before_a_machine_installs_anything(
    juju: jubilant.Juju, two: tuple[str, str]
) -> None:
    cache = "stat --format '%i %Y' /var/cache/apt/srcpkgcache.bin"
    before = as_root(juju, 1, cache)
    as_root(juju, 1, "apt-get install --simulate apache2")
    assert as_root(juju, 1, cache) == before


def test_machines_reach_each_other(juju: jubilant.Juju, two: tuple[str, str]) -> None:
    zero, one = two
    assert " 0% packet loss" in as_root(juju, 0, f"ping -c 1 -W 5 {one}")
    assert " 0% packet loss" in as_root(juju, 1, f"ping -c 1 -W 5 {zero}")
    assert as_root(juju, 0, "hostname -I").split()[0] == zero


def test_no_iptables_see_what_machines_send_each_other(
    juju: jubilant.Juju, two: tuple[str, str]
) -> None:
    zero, one = two
    netns = f"/run/netns/{os.environ['LOCALMODEL_NAME']}"
    rule = ["/usr/sbin/iptables", "-w", "-A", "FORWARD", "-s", zero, "-d", one, "-j", "DROP"]
    output("/usr/bin/nsenter", f"--net={netns}", *rule)
    assert " 0% packet loss" in as_root(juju, 0, f"ping -c 1 -W 5 {one}")


def test_what_listens_on_the_hosts_loopback_is_out_of_reach(
    juju: jubilant.Juju, two: tuple[str, str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        # The way out's own address for its host, slirp4netns(1).
        found = as_root(juju, 0, f"nc -z -w 2 10.0.2.2 {port} && echo open || echo out of reach")
    assert found == "out of reach\n"


# Makes folders in folders below $1, to a depth and a length of paths that no call takes whole.
DEEP = """perl -e 'chdir shift or die; for (1..1100) { mkdir "d" x 99; chdir "d" x 99 or die }'"""


def test_a_machine_goes_however_deep_its_folders_are(charms: Path) -> None:
    with jubilant.temp_model() as juju:
        juju.deploy(probe.pack(charms, "resident"))
        name = juju.status().machines["0"].hostname
        as_root(juju, 0, f"setpriv --reuid 65534 --clear-groups {DEEP} /var/tmp")
        as_root(juju, 0, f"{DEEP} /var/lib/juju/agents/unit-resident-0/charm")
        groups = as_root(juju, 0, "awk '/^cgroup/ { print $2 }' /proc/mounts").split()
        as_root(juju, 0, f"{DEEP} {groups[-1]}")
        juju.remove_application("resident")
        assert juju.status().machines == {}
        assert not (probe.home() / "machines" / name).exists()
        assert list(Path("/sys/fs/cgroup").glob(f"*/{probe.home().name}/{name}")) == []


def test_what_is_mounted_in_a_machines_folder_is_kept_and_told(
    cleared: jubilant.Juju,
) -> None:
    cleared.cli("add-machine")
    name = cleared.status().machines["0"].hostname
    probe.command("localmodel", "down")
    within = probe.home() / "machines" / name / "upper" / "mnt"
    within.mkdir(exist_ok=True)
    output("/usr/bin/mount", "-t", "tmpfs", "none", str(within))
    try:
        (within / "precious").touch()
        refusal = probe.command("localmodel", "down", "--purge", check=False)
        assert refusal.returncode == 1
        assert str(within) in refusal.stderr
        assert "different device" in refusal.stderr
        assert (within / "precious").exists()
    finally:
        output("/usr/bin/umount", str(within))


@pytest.fixture
def cleared(other_instance: None) -> jubilant.Juju:
    """A model with one machine and a unit on an instance that the test takes down."""
    probe.command("juju", "add-model", "short-lived")
    return jubilant.Juju(model="short-lived")


def test_down_and_up_bring_machines_back_and_start_their_units(
    cleared: jubilant.Juju, charms: Path
) -> None:
    cleared.deploy(probe.pack(charms, "resident"))
    ran = len(probe.journal(cleared))
    address = cleared.status().machines["0"].dns_name
    probe.command("localmodel", "down")
    status = cleared.status()
    assert status.machines["0"].juju_status.current == "down"
    refusal = probe.command("juju", "add-machine", check=False)
    assert (refusal.returncode, "localmodel up" in refusal.stderr) == (1, True)
    probe.command("localmodel", "up")
    assert cleared.status().machines["0"].dns_name == address
    assert probe.events(probe.journal(cleared)[ran:], "resident/0") == ["start"]


def test_tick_fires_update_status_once(cleared: jubilant.Juju, charms: Path) -> None:
    cleared.deploy(probe.pack(charms, "resident"))
    ran = len(probe.journal(cleared))
    probe.command("localmodel", "tick")
    cleared.status()
    assert probe.events(probe.journal(cleared)[ran:], "resident/0") == ["update-status"]


def test_purge_leaves_nothing_and_the_host_as_it_was(other_instance: None, charms: Path) -> None:
    before = host_network()
    probe.command("juju", "add-model", "gone")
    juju = jubilant.Juju(model="gone")
    juju.deploy(probe.pack(charms, "resident"), num_units=2)
    during = host_network()
    machines = [m.hostname for m in juju.status().machines.values()]
    name = probe.home().name
    assert traces(name, machines) != []
    as_root(juju, 0, "docker network create extra")

    told = probe.command("localmodel", "down", "--purge")

    assert traces(name, machines) == []
    assert during == before
    assert host_network() == before
    assert all(f"removed machine {m}" in told.stderr for m in machines)


def traces(name: str, machines: list[str]) -> list[str]:
    """Whatever an instance has on this host: mounts, namespaces, processes, groups, files."""
    found = [f"mount {line}" for line in Path("/proc/mounts").read_text().splitlines()]
    found = [line for line in found if f"/{name}/" in line or f"netns/{name} " in line]
    found += [f"namespace {p}" for p in Path("/run/netns").glob(name)]
    found += [f"process {' '.join(argv)}" for _, argv in read_command_lines() if name in str(argv)]
    found += [f"hook of {pid}" for pid in find_by_environment("JUJU_MODEL_NAME=gone")]
    folders = [Path("/var/lib") / name, Path("/run") / name]
    folders += Path("/sys/fs/cgroup").glob(f"*/{name}")
    folders += Path("/sys/fs/cgroup").glob(f"**/{name}-*.service")
    for machine in machines:
        folders += Path("/run/systemd/nspawn").glob(f"*/{machine}")
        found += [f"process {argv}" for _, argv in read_command_lines() if machine in str(argv)]
    return found + [f"folder {f}" for f in folders if f.exists()]
