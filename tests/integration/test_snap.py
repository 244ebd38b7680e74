"""The mprime snap on a machine with a real engine, under systemd, with the rights of a snap.

snapd itself is not there, since it takes its base and the engine's snap from the store:
tests/snapd/snapd.py says what stands in for it, and for the confinement.
"""

from __future__ import annotations

import base64
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jubilant
import pytest

from tests.integration.primenet import build_stand_in
from tools import pack
from tools.instance import Published, sudo

IMAGE = "localhost/fake-mprime:1"
NAME = "snap.mprime"
SERVICE = "snap.mprime.mprime.service"
WORK = "/var/snap/mprime/common/snap.mprime"


def sh(juju: jubilant.Juju, script: str) -> str:
    return sudo(juju, script, machine=0).stdout


def snap(juju: jubilant.Juju, *words: str) -> str:
    return sh(juju, f"/usr/bin/snap {shlex.join(words)}")


def inspect(juju: jubilant.Juju) -> dict[str, Any]:
    """What the engine says of the container; nothing while there is none."""
    found = json.loads(sh(juju, f"docker inspect {NAME} 2>/dev/null || true") or "[]")
    return found[0] if found else {}


def wait(juju: jubilant.Juju, condition: Callable[[], object]) -> None:
    juju.wait(lambda _: bool(condition()), successes=1)


def read_status(juju: jubilant.Juju, key: str) -> str:
    """What the daemon has told snapd; empty if nothing yet."""
    return sh(juju, f"/usr/bin/snap get mprime status.{key} 2>/dev/null || true").strip()


def runs(juju: jubilant.Juju) -> bool:
    return bool(inspect(juju).get("State", {}).get("Running"))


@pytest.fixture(scope="module")
def machine(
    shared_juju: jubilant.Juju, charms: dict[str, Path], published: Published
) -> jubilant.Juju:
    """A model whose machine 0 has the snap, which is not connected to the engine."""
    juju = shared_juju
    file = pack.pack(["snaps/mprime"])["snaps/mprime"]
    juju.deploy(charms["apache2"])
    juju.wait(jubilant.all_active, successes=1)
    build_stand_in(juju, published, IMAGE, pack.ROOT / "tests/images/fake-mprime")
    sh(juju, "apt-get install -q -y --no-install-recommends squashfs-tools >&2")
    juju.cli("scp", str(file), "apache2/0:/tmp/mprime.snap")
    stand_in = base64.b64encode((pack.ROOT / "tests/snapd/snapd.py").read_bytes()).decode()
    sh(
        juju,
        f"for name in snap snapctl; do echo {stand_in} | base64 -d >/usr/bin/$name; "
        "chmod 755 /usr/bin/$name; done",
    )
    snap(juju, "install", "/tmp/mprime.snap")
    return juju


def test_without_the_engines_socket_it_says_what_to_connect(machine: jubilant.Juju) -> None:
    wait(machine, lambda: "mprime:docker docker:docker-daemon" in read_status(machine, "message"))
    assert read_status(machine, "state") == "blocked"
    snap(machine, "set", "mprime", f"image={IMAGE}", "worktodo=859433")
    snap(machine, "connect", "mprime:docker", "docker:docker-daemon")
    snap(machine, "set", "mprime", "checkpoint-minutes=0.1")
    wait(machine, lambda: read_status(machine, "state") == "active")
    assert runs(machine)


def test_the_container_is_the_charms_at_the_top_with_the_weight_of_its_policy(
    machine: jubilant.Juju,
) -> None:
    found = inspect(machine)
    host = found["HostConfig"]
    assert found["Config"]["User"] == "0:0"
    assert host["CapDrop"] == ["ALL"]
    assert "no-new-privileges" in " ".join(host["SecurityOpt"])
    assert host["ReadonlyRootfs"]
    assert host["NetworkMode"] == "none"
    assert (host["Memory"], host["PidsLimit"]) == (2**30, 64)
    assert host["OomScoreAdj"] == 1000
    assert [(m["Source"], m["Destination"]) for m in found["Mounts"]] == [(WORK, "/work")]
    assert host["CpuShares"] == 2
    name = rf"\( -name {found['Id']} -o -name docker-{found['Id']}.scope \)"
    groups = sh(
        machine, f"find /sys/fs/cgroup/cpu /sys/fs/cgroup -maxdepth 1 {name} 2>/dev/null || true"
    )
    weights = r"\( -name cpu.shares -o -name cpu.weight \)"
    weight = sh(machine, f"find {groups.split()[0]} {weights} -exec cat {{}} +").strip()
    assert weight == ("2" if "/cpu/" in groups else "1")


def test_the_status_and_the_log_say_what_of_the_policy_is_out_of_reach(
    machine: jubilant.Juju,
) -> None:
    told = read_status(machine, "cpu-policy")
    assert told.startswith("idle; not in force under confinement: the kernel's idle class")
    assert told in sh(machine, f"journalctl --unit {SERVICE}")


def test_a_policy_is_followed_without_a_restart(machine: jubilant.Juju) -> None:
    before = inspect(machine)
    snap(machine, "set", "mprime", "cpu-policy=share")
    wait(machine, lambda: inspect(machine)["HostConfig"]["CpuShares"] == 1024)
    after = inspect(machine)
    assert (after["Id"], after["State"]["StartedAt"]) == (
        before["Id"],
        before["State"]["StartedAt"],
    )
    wait(machine, lambda: read_status(machine, "cpu-policy").startswith("share"))


def test_a_command_of_its_own_replaces_the_container(machine: jubilant.Juju) -> None:
    before = inspect(machine)
    snap(machine, "set", "mprime", "command=--loud 'two words'")
    wait(machine, lambda: runs(machine) and inspect(machine)["Id"] != before["Id"])
    assert inspect(machine)["Args"][1:] == ["--loud", "two words"]
    snap(machine, "set", "mprime", "command=")
    wait(machine, lambda: runs(machine) and inspect(machine)["Args"] == before["Args"])


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("cpu-policy=fast", "option cpu-policy: 'fast' is not one of: idle, share, dedicated"),
        ("cpus=many", "option cpus: 'many' is not a number"),
        ("worktodo=10", "option worktodo: 10 is 2 * 5, so 2^10 - 1 is not prime"),
    ],
)
def test_wrong_options_are_refused_and_change_nothing(
    machine: jubilant.Juju, wrong: str, said: str
) -> None:
    before = inspect(machine)["Id"]
    options = sh(machine, "cat /var/lib/snapd-stand-in/options")
    answer = sh(machine, f"/usr/bin/snap set mprime {wrong} 2>&1 && exit 1 || true")
    assert said in answer
    assert "nothing was changed" in answer
    assert json.loads(options).keys() >= {"image", "worktodo"}
    now = json.loads(sh(machine, "cat /var/lib/snapd-stand-in/options"))
    assert {k: v for k, v in now.items() if k != "status"} == {
        k: v for k, v in json.loads(options).items() if k != "status"
    }
    assert inspect(machine)["Id"] == before


def test_the_commands_show_the_search(machine: jubilant.Juju) -> None:
    wait(machine, lambda: "exponent: 859433" in sh(machine, "snap run progress"))
    assert "primes: none yet" in sh(machine, "snap run results")


def test_a_daemon_and_a_program_that_are_killed_come_back(machine: jubilant.Juju) -> None:
    before = inspect(machine)
    pid = sh(machine, f"systemctl show --value --property=MainPID {SERVICE}").strip()
    sh(machine, f"kill -9 {pid}")
    wait(
        machine,
        lambda: (
            sh(machine, f"systemctl show --value --property=MainPID {SERVICE}").strip()
            not in (pid, "0")
        ),
    )
    assert inspect(machine)["State"]["StartedAt"] == before["State"]["StartedAt"]
    sh(machine, f"kill -9 {before['State']['Pid']}")
    wait(
        machine,
        lambda: runs(machine) and inspect(machine)["State"]["Pid"] != before["State"]["Pid"],
    )
    sh(machine, f"docker rm -f {NAME}")
    wait(machine, lambda: runs(machine))
    assert inspect(machine)["Id"] != before["Id"]


def test_an_engine_that_is_restarted_is_found_again(machine: jubilant.Juju) -> None:
    sh(machine, "systemctl stop docker.socket docker.service")
    snap(machine, "set", "mprime", "cpus=0.25")
    wait(machine, lambda: "does not answer" in read_status(machine, "message"))
    sh(machine, "systemctl start docker.socket docker.service")
    wait(machine, lambda: runs(machine) and inspect(machine)["HostConfig"]["CpuQuota"] == 25_000)
    wait(machine, lambda: read_status(machine, "state") == "active")


def test_a_stop_removes_the_container_and_keeps_the_work(machine: jubilant.Juju) -> None:
    snap(machine, "stop", "mprime")
    assert not inspect(machine)
    assert "worktodo.txt" in sh(machine, f"ls {WORK}")
    snap(machine, "set", "mprime", "cpus=0")
    assert sh(machine, f"systemctl is-active {SERVICE} || true").strip() == "inactive"
    snap(machine, "start", "mprime")
    wait(machine, lambda: runs(machine))


def test_a_removal_leaves_nothing_behind(machine: jubilant.Juju) -> None:
    snap(machine, "remove", "mprime")
    assert not sh(machine, "docker ps -aq").strip()
    assert "mprime-charm" not in sh(machine, "docker images")
    assert sh(machine, "ls -A /var/snap").strip() == ""
