"""The mprime charm takes what is idle and gives it back at once, by the kernel's own account."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import jubilant
import pytest

from tests.integration.grounds import Ground, ModelGround, guest_ground
from tests.integration.steps import deploy_search
from tools.image import build_image

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
unified = pathlib.Path("/sys/fs/cgroup/cgroup.controllers").exists()
search = run("docker", "inspect", "--format", "{{.State.Pid}}", "mprime-0")
principal = run("systemctl", "show", "--property=MainPID", "--value", "apache2")
path = group(search, "cpu")
top = path.split("/")[1]
def read(controller, folder, file):
    root = pathlib.Path("/sys/fs/cgroup", "" if unified else controller)
    found = root / folder / file
    return (found.read_text().split() or [""])[0] if found.exists() else None
own = path.lstrip("/")
names = ("cpu.weight", "cpu.max", "memory.max") if unified else (
    "cpu.shares", "cpu.cfs_quota_us", "memory.limit_in_bytes")
print(json.dumps({
    "principal": group(principal, "cpu"), "search": path, "top": top,
    "idle": read("cpu", top, "cpu.idle"), "weight": read("cpu", top, names[0]),
    "quota": read("cpu", own, names[1]), "memory": read("memory", own, names[2]),
    "cpuset": read("cpuset", own, "cpuset.cpus"),
    "oom": pathlib.Path(f"/proc/{search}/oom_score_adj").read_text().strip(),
    "systemd": int(run("systemctl", "--version").split()[1]),
}))
"""

# Lets a service beside the principal want a core while the search works there, also one that was
# stopped, until it has had so many seconds of it, and prints how many the search had meanwhile.
# Both are read by that service itself, so that its start and end don't count.
CONTEND = """
import os, pathlib, subprocess, sys
search = subprocess.run(["docker", "inspect", "--format", "{{.State.Pid}}", "mprime-0"],
    check=True, capture_output=True, text=True).stdout.strip()
core = max(os.sched_getaffinity(0))
for task in pathlib.Path(f"/proc/{search}/task").iterdir():
    os.sched_setaffinity(int(task.name), {core})
WANT = '''
import os, signal, sys, time
def used():
    with open(f"/proc/{sys.argv[1]}/stat") as file:
        stat = file.read().rpartition(")")[2].split()
    return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK")
os.kill(int(sys.argv[1]), signal.SIGCONT)
before, until = used(), time.process_time() + float(sys.argv[2])
while time.process_time() < until:
    pass
print(used() - before)
'''
subprocess.run(["systemd-run", "--quiet", "--wait", "--pipe", "--collect",
    f"--property=CPUAffinity={core}", "--property=RuntimeMaxSec=120",
    "/usr/bin/python3", "-c", WANT, search, sys.argv[1]], check=True)
"""

both_grounds = pytest.mark.parametrize("search", ["model", "guest"], indirect=True)


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
    systemd: int

    @property
    def is_held_back(self) -> bool:
        """Whether it is in the idle class, or has the lowest weight if systemd knows none."""
        lowest = self.top.endswith(".slice") and self.systemd < 252 and self.weight == "1"
        return self.idle == "1" or lowest


def look(search: Ground) -> Seen:
    return Seen(**json.loads(search.exec("/usr/bin/python3", "-c", LOOK)))


def contend(search: Ground, seconds: int = 4) -> float:
    """The principal's part, 0 to 1, of a core that both it and the search want."""
    had = float(search.exec("/usr/bin/python3", "-c", CONTEND, str(seconds)))
    print(f"while the principal had {seconds} s of the core, the search had {had:g} s")
    return seconds / (seconds + had)


def identify(search: Ground) -> tuple[str, str]:
    """What changes when a container is replaced or restarted."""
    found = search.inspect()
    return found["Id"], found["State"]["StartedAt"]


@pytest.fixture(scope="module", params=["model"])
def search(request: pytest.FixtureRequest, charms: dict[str, Path]) -> Iterator[Ground]:
    """The search beside apache2: on a model's machine, and with `both_grounds` in a guest too."""
    if request.param == "guest":
        registry: jubilant.Juju = request.getfixturevalue("registry")
        image = build_image("mlucas", "registry/0", registry.cli)
        with guest_ground(charms["mprime"], image) as ground:
            yield ground
    else:
        juju, published = map(request.getfixturevalue, ("shared_juju", "published"))
        deploy_search(juju, charms, published, published.authority)
        juju.wait(jubilant.all_active, successes=1)
        yield ModelGround(juju)


@pytest.mark.parametrize("search", ["guest"], indirect=True)
def test_the_guest_has_cgroup_v2_which_its_engine_leaves_to_systemd(search: Ground) -> None:
    form = "{{.CgroupVersion}} {{.CgroupDriver}}"
    assert search.exec("/usr/bin/docker", "info", "--format", form) == "2 systemd\n"


@both_grounds
def test_the_search_is_held_back_beside_its_principal_not_beneath_the_engines_group(
    search: Ground,
) -> None:
    seen = look(search)
    driver = search.exec("/usr/bin/docker", "info", "--format", "{{.CgroupDriver}}").strip()
    assert seen.top == ("mprime_0.slice" if driver == "systemd" else "mprime_0")
    assert seen.search.startswith(f"/{seen.top}/")
    assert not seen.principal.startswith(f"/{seen.top}")
    assert seen.is_held_back
    assert seen.memory == str(256 * 1024 * 1024)
    assert seen.oom == "1000"


@both_grounds
def test_a_principal_that_wants_the_searchs_core_gets_it(search: Ground) -> None:
    assert contend(search) >= 0.95


@both_grounds
def test_a_dedicated_machines_search_comes_first_and_needs_no_restart_for_it(
    search: Ground,
) -> None:
    before = identify(search)
    # It works while it is measured alone: else hooks would take ten times as long on a lone core.
    stop = f"kill -STOP {search.inspect()['State']['Pid']}"
    search.sh(stop)
    search.configure({"cpu-policy": "dedicated"})
    assert look(search).idle in ("0", None)
    dedicated = contend(search, 1)
    search.sh(stop)
    search.configure({"cpu-policy": "share"})
    seen = look(search)
    assert (seen.idle, seen.weight) in [("0", "1024"), ("0", "100")]
    share = contend(search, 2)
    search.sh(stop)
    search.configure({"cpu-policy": "idle"})
    # The program's threads wait for each other at times, so it does not use all that it could.
    assert dedicated < 0.6
    assert share < 0.85
    assert look(search).is_held_back
    assert contend(search) >= 0.95
    assert identify(search) == before


@both_grounds
def test_limits_change_without_a_restart(search: Ground) -> None:
    before = identify(search)
    search.configure({"cpus": 0.5, "memory-limit": "64M"})
    seen = look(search)
    assert (seen.quota, seen.memory) == ("50000", str(64 * 1024 * 1024))
    search.configure({"cpus": None, "memory-limit": None})
    seen = look(search)
    assert (seen.quota, seen.memory) in [
        (unlimited, str(256 * 1024 * 1024)) for unlimited in ("-1", "max")
    ]
    assert identify(search) == before


def test_the_search_works_on_the_cores_that_it_was_given(search: Ground) -> None:
    search.configure({"cpuset": "0"})
    assert look(search).cpuset == "0"
    assert search.inspect()["Args"][-2:] == ["-cpu", "0"]
    assert search.inspect()["State"]["Running"]
    search.configure({"cpuset": None})
    assert search.inspect()["HostConfig"]["CpusetCpus"] == ""


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
    search: Ground, option: str, value: str | float, told: str
) -> None:
    before = identify(search)
    message = search.configure({option: value}, "blocked")
    assert message.startswith(f"option {option}: ")
    assert told in message
    assert identify(search) == before
    assert look(search).is_held_back
    search.configure({option: None})
    assert identify(search) == before


@both_grounds
def test_the_policy_outlives_a_restart_of_the_container(search: Ground) -> None:
    before = identify(search)
    search.exec("/usr/bin/docker", "restart", "-t", "0", "mprime-0")
    assert look(search).is_held_back
    assert identify(search) != before


@both_grounds
def test_a_policy_that_others_undid_is_mended_without_a_restart(search: Ground) -> None:
    before = identify(search)
    top = look(search).top
    # Idle first: an idle group takes no weight. Only cgroup v2 has both files.
    for file, value in (("cpu.idle", 0), ("cpu.weight", 100)):
        found = f"find /sys/fs/cgroup -path '*/{top}/{file}'"
        search.sh(f"{found} -exec sh -c 'echo {value} >{{}}' ';'")
    assert not look(search).is_held_back
    search.hook("update-status")
    assert look(search).is_held_back
    assert identify(search) == before


@both_grounds
def test_a_search_in_another_group_is_told_and_not_called_active(search: Ground) -> None:
    pid = search.inspect()["State"]["Pid"]
    root = search.sh("ls -d /sys/fs/cgroup/cpu 2>/dev/null || echo /sys/fs/cgroup").strip()
    search.sh(f"mkdir {root}/other && echo {pid} >{root}/other/cgroup.procs")
    search.hook("update-status")
    status, message = search.status()
    search.sh(f"/usr/bin/docker restart -t 0 mprime-0 && rmdir {root}/other")
    assert status == "blocked"
    assert message.startswith("cpu-policy idle is not in force: the container runs in /other, not")


@both_grounds
def test_the_policy_is_in_force_again_after_a_reboot(search: Ground) -> None:
    search.reboot()
    assert search.status()[0] == "active"
    assert look(search).is_held_back
    assert contend(search) >= 0.95


def test_an_engine_that_leaves_groups_to_systemd_gets_a_slice(search: Ground) -> None:
    if not look(search).top.endswith(".slice"):
        options = '{"exec-opts": ["native.cgroupdriver=systemd"]}'
        search.sh(f"mkdir -p /etc/docker && echo '{options}' >/etc/docker/daemon.json")
        search.exec("/usr/bin/systemctl", "restart", "docker")
        search.hook("update-status")
    assert search.status()[0] == "active"
    seen = look(search)
    assert seen.top == "mprime_0.slice"
    assert seen.idle == "1" or seen.weight in ("1", "2")
    assert contend(search) >= 0.95
    before = identify(search)
    search.configure({"cpu-policy": "dedicated", "cpus": 0.5})
    seen = look(search)
    assert (seen.idle, seen.weight) in [("0", "10240"), ("0", "1000")]
    assert seen.quota == "50000"
    assert identify(search) == before


@both_grounds
def test_removal_leaves_no_control_group(search: Ground) -> None:
    find = "find /sys/fs/cgroup /etc/systemd/system -name 'mprime*'"
    assert search.sh(find)
    search.remove()
    assert not search.sh(find)
