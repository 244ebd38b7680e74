"""The mprime charm takes what is idle and gives it back at once, by the kernel's own account."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import jubilant
import pytest

from tests.integration.kit import (
    deploy_search,
    inspect_container,
    reboot_machine,
    run_hook,
    search_status,
    subordinates,
)
from tools.instance import Published

# Prints the paths of control groups, of the principal and of the search, and of the search's
# group what counts in it.
LOOK = """
import json, pathlib, subprocess
def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
def group(pid, controller):
    for line in pathlib.Path(f"/proc/{pid}/cgroup").read_text().splitlines():
        number, names, path = line.split(":", 2)
        if controller in names.split(",") or (number, names) == ("0", "") and unified:
            return path
unified = run("docker", "info", "--format", "{{.CgroupVersion}}") == "2"
search = run("docker", "inspect", "--format", "{{.State.Pid}}", "mprime-0")
principal = run("systemctl", "show", "--property=MainPID", "--value", "apache2")
path = group(search, "cpu")
top = path.split("/")[1]
def read(controller, folder, file):
    root = pathlib.Path("/sys/fs/cgroup", "" if unified else controller)
    found = root / folder / file
    return found.read_text().split()[0] if found.exists() else None
own = path.lstrip("/")
names = ("cpu.weight", "cpu.max", "memory.max") if unified else (
    "cpu.shares", "cpu.cfs_quota_us", "memory.limit_in_bytes")
print(json.dumps({
    "principal": group(principal, "cpu"), "search": path, "top": top,
    "idle": read("cpu", top, "cpu.idle"), "weight": read("cpu", top, names[0]),
    "quota": read("cpu", own, names[1]), "memory": read("memory", own, names[2]),
    "cpuset": read("cpuset", own, "cpuset.cpus"),
    "oom": pathlib.Path(f"/proc/{search}/oom_score_adj").read_text().strip(),
}))
"""

# Lets a service beside the principal want a core while the search works there, until the kernel
# ends it for having had 4 s of it, and prints how many the search had meanwhile.
CONTEND = """
import os, pathlib, subprocess
def run(*words):
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()
search = run("docker", "inspect", "--format", "{{.State.Pid}}", "mprime-0")
def used():
    stat = pathlib.Path(f"/proc/{search}/stat").read_text().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
core = max(os.sched_getaffinity(0))
for task in pathlib.Path(f"/proc/{search}/task").iterdir():
    os.sched_setaffinity(int(task.name), {core})
before = used()
ended = subprocess.run(["systemd-run", "--wait", "--collect", "--unit=contender",
    f"--property=CPUAffinity={core}", "--property=LimitCPU=4:5", "--property=RuntimeMaxSec=60",
    "/bin/sh", "-c", "while :; do :; done"], capture_output=True, text=True)
print(used() - before, "XCPU" in ended.stderr)
"""


class Seen(NamedTuple):
    """What the kernel has of the search: see LOOK."""

    principal: str
    search: str
    top: str
    idle: str | None
    weight: str | None
    quota: str
    memory: str
    cpuset: str
    oom: str


def look(juju: jubilant.Juju) -> Seen:
    return Seen(**json.loads(run_python(juju, LOOK)))


def contend(juju: jubilant.Juju) -> float:
    """The principal's part, 0 to 1, of a core that both it and the search want."""
    search, ended = run_python(juju, CONTEND).split()
    assert ended == "True"  # else it had less than 4 s within a minute
    print(f"while the principal had 4 s of the core, the search had {search} s")
    return 4 / (4 + float(search))


def run_python(juju: jubilant.Juju, program: str) -> str:
    return juju.ssh("0", "sudo", "/usr/bin/python3", "-c", f"'{program}'")


def configure(juju: jubilant.Juju, options: dict[str, str | float], expected: str) -> str:
    """Set options, wait until mprime/0 has seen them, and return its status' message."""
    juju.config("mprime", options)
    juju.wait(lambda _: search_status(juju.status())[0] == expected, successes=1)
    juju.wait(jubilant.all_agents_idle, successes=1)
    return search_status(juju.status())[1]


def identify(juju: jubilant.Juju) -> tuple[str, str]:
    """What changes when a container is replaced or restarted."""
    found = inspect_container(juju)
    return found["Id"], found["State"]["StartedAt"]


@pytest.fixture(scope="module")
def search(
    shared_juju: jubilant.Juju, charms: dict[str, Path], published: Published
) -> jubilant.Juju:
    """A model in which the search runs beside apache2."""
    deploy_search(shared_juju, charms, published, published.authority)
    shared_juju.wait(jubilant.all_active, successes=1)
    return shared_juju


def test_the_search_is_held_back_beside_its_principal_not_beneath_the_engines_group(
    search: jubilant.Juju,
) -> None:
    seen = look(search)
    assert seen.top.startswith("mprime_0")
    assert seen.search.startswith(f"/{seen.top}/")
    assert not seen.principal.startswith(f"/{seen.top}")
    assert seen.idle == "1"
    assert seen.memory == str(256 * 1024 * 1024)
    assert seen.oom == "1000"


def test_a_principal_that_wants_the_searchs_core_gets_it(search: jubilant.Juju) -> None:
    assert contend(search) >= 0.9


def test_a_dedicated_machines_search_comes_first_and_needs_no_restart_for_it(
    search: jubilant.Juju,
) -> None:
    before = identify(search)
    configure(search, {"cpu-policy": "dedicated"}, "active")
    assert look(search).idle in ("0", None)
    dedicated = contend(search)
    configure(search, {"cpu-policy": "share"}, "active")
    assert (look(search).idle, look(search).weight) in [("0", "1024"), ("0", "100")]
    share = contend(search)
    configure(search, {"cpu-policy": "idle"}, "active")
    # The program's threads wait for each other at times, so it does not use all that it could.
    assert dedicated < 0.6
    assert share < 0.85
    assert look(search).idle == "1"
    assert contend(search) >= 0.9
    assert identify(search) == before


def test_limits_change_without_a_restart(search: jubilant.Juju) -> None:
    before = identify(search)
    configure(search, {"cpus": 0.5, "memory-limit": "64M"}, "active")
    seen = look(search)
    assert (seen.quota, seen.memory) == ("50000", str(64 * 1024 * 1024))
    search.config("mprime", reset=["cpus", "memory-limit"])
    search.wait(jubilant.all_agents_idle, successes=1)
    seen = look(search)
    assert (seen.quota, seen.memory) in [
        (unlimited, str(256 * 1024 * 1024)) for unlimited in ("-1", "max")
    ]
    assert identify(search) == before


def test_the_search_works_on_the_cores_that_it_was_given(search: jubilant.Juju) -> None:
    configure(search, {"cpuset": "0"}, "active")
    assert look(search).cpuset == "0"
    assert inspect_container(search)["Args"][-2:] == ["-cpu", "0"]
    assert inspect_container(search)["State"]["Running"]
    search.config("mprime", reset=["cpuset"])
    search.wait(jubilant.all_active, successes=1)
    assert inspect_container(search)["HostConfig"]["CpusetCpus"] == ""


@pytest.mark.parametrize(
    ("option", "value", "told"),
    [
        ("cpu-policy", "lazy", "one of: idle, share, dedicated"),
        ("cpus", -2, "0.01 or more"),
        ("cpus", 1000, "more than this machine has"),
        ("memory-limit", "lots", "256M"),
        ("memory-limit", "9999999G", "more than this machine has"),
        ("cpuset", "one", "0-1,3"),
        ("cpuset", "9999", "no core 9999"),
    ],
)
def test_a_wrong_option_blocks_by_name_while_the_search_goes_on(
    search: jubilant.Juju, option: str, value: str | float, told: str
) -> None:
    before = identify(search)
    message = configure(search, {option: value}, "blocked")
    assert message.startswith(f"option {option}: ")
    assert told in message
    assert identify(search) == before
    assert look(search).idle == "1"
    search.config("mprime", reset=[option])
    search.wait(jubilant.all_active, successes=1)
    assert identify(search) == before


def test_the_policy_outlives_a_restart_of_the_container(search: jubilant.Juju) -> None:
    before = identify(search)
    search.exec("docker", "restart", "mprime-0", machine=0)
    assert look(search).idle == "1"
    assert identify(search) != before


def test_a_policy_that_others_undid_is_mended_without_a_restart(search: jubilant.Juju) -> None:
    before = identify(search)
    undo = (
        f"find /sys/fs/cgroup -path '*/{look(search).top}/cpu.idle' -exec sh -c 'echo 0 >{{}}' ';'"
    )
    search.exec(undo, machine=0)
    assert look(search).idle == "0"
    run_hook(search, "update-status")
    assert look(search).idle == "1"
    assert identify(search) == before


def test_a_search_in_another_group_is_told_and_not_called_active(search: jubilant.Juju) -> None:
    seen, pid = look(search), inspect_container(search)["State"]["Pid"]
    root = search.exec("ls -d /sys/fs/cgroup/cpu || echo /sys/fs/cgroup", machine=0).stdout.strip()
    search.exec(f"mkdir {root}/other && echo {pid} >{root}/other/cgroup.procs", machine=0)
    run_hook(search, "update-status")
    status, message = search_status(search.status())
    search.exec(f"echo {pid} >{root}{seen.search}/cgroup.procs && rmdir {root}/other", machine=0)
    run_hook(search, "update-status")
    assert status == "blocked"
    assert message.startswith("cpu-policy idle is not in force: the container runs in /other, not")
    assert search_status(search.status())[0] == "active"


def test_the_policy_is_in_force_again_after_a_reboot(search: jubilant.Juju) -> None:
    reboot_machine(search)
    search.wait(jubilant.all_active, successes=1)
    assert look(search).idle == "1"
    assert contend(search) >= 0.9


def test_an_engine_that_leaves_groups_to_systemd_gets_a_slice(search: jubilant.Juju) -> None:
    if not look(search).top.endswith(".slice"):
        options = '{"exec-opts": ["native.cgroupdriver=systemd"]}'
        search.exec(
            f"mkdir -p /etc/docker && echo '{options}' >/etc/docker/daemon.json", machine=0
        )
        search.exec("systemctl restart docker", machine=0)
        run_hook(search, "update-status")
    assert search_status(search.status())[0] == "active"
    seen = look(search)
    assert seen.top == "mprime_0.slice"
    assert seen.idle == "1" or seen.weight in ("1", "2")
    assert contend(search) >= 0.9
    before = identify(search)
    configure(search, {"cpu-policy": "dedicated", "cpus": 0.5}, "active")
    seen = look(search)
    assert (seen.idle, seen.weight) in [("0", "10240"), ("0", "1000")]
    assert seen.quota == "50000"
    assert identify(search) == before


def test_removal_leaves_no_control_group(search: jubilant.Juju) -> None:
    find = "find /sys/fs/cgroup /etc/systemd/system -name 'mprime*'"
    assert search.exec(find, machine=0).stdout.strip()
    search.remove_relation("apache2", "mprime")
    search.wait(lambda status: not subordinates(status), successes=1)
    assert not search.exec(find, machine=0).stdout.strip()
