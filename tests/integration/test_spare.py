"""The spare charm with an image of the tests' own: each option shows in the real container."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jubilant
import pytest

from tests.integration.reader import Reader
from tests.integration.steps import list_subordinates, reset_options, run_hook
from tests.pages import read_files, take
from tools.instance import sudo
from tools.pack import ROOT

UNIT = "spare/0"
WORK = "/var/lib/spare/spare-0"
PASSWORDS = ("correct horse", "battery staple")
# Runs on the machine: makes a base image of busybox, which the counter's image is built on, too.
PREPARE = """
set -eu
apt-get install -q -y --no-install-recommends docker.io busybox-static
mkdir -p /tmp/base/bin /tmp/base/tmp /tmp/base/etc && cp /bin/busybox /tmp/base/bin
for name in sh cat env grep id ls mv sha256sum sleep touch wc; do
    ln -s busybox /tmp/base/bin/$name
done
tar -C /tmp/base -c . | docker import - debian:trixie-slim
docker build --quiet --tag tell:1 /tmp/tell
printf 'FROM tell:1\\nVOLUME /data\\n' | docker build --quiet --tag tell:2 -
rm -r /tmp/base /tmp/tell
"""
LEFT = """
docker ps --all --quiet
find /etc/systemd/system /var/lib/hostkit -name '*spare*'
find /var/lib/spare -name 'spare-0*'
find /sys/fs/cgroup -name 'spare_0*'
docker image ls --quiet 'spare-charm/*/*'
"""


@pytest.fixture(scope="module")
def machine(shared_juju: jubilant.Juju, charms: dict[str, Path]) -> jubilant.Juju:
    """A machine with apache2 and the image, and with the charm attached, which has none yet."""
    juju = shared_juju
    juju.deploy(charms["apache2"])
    juju.wait(jubilant.all_agents_idle, successes=1)
    juju.scp(ROOT / "tests/images/tell", "apache2/0:/tmp/tell", scp_options=["-r"])
    sudo(juju, PREPARE, machine=0, wait=300)
    juju.deploy(charms["spare"])
    juju.integrate("apache2:juju-info", "spare:juju-info")
    juju.wait(lambda status: UNIT in list_subordinates(status), successes=1)
    juju.wait(jubilant.all_agents_idle, successes=1)
    return juju


def read_status(juju: jubilant.Juju, unit: str = UNIT) -> tuple[str, str]:
    found = list_subordinates(juju.status())[unit].workload_status
    return found.current, found.message


def configure(juju: jubilant.Juju, **options: Any) -> tuple[str, str]:
    """Set options, and return the unit's status and message then."""
    juju.config("spare", {name.replace("_", "-"): value for name, value in options.items()})
    juju.wait(jubilant.all_agents_idle, successes=1)
    return read_status(juju)


def read_work(juju: jubilant.Juju, file: str) -> list[str]:
    return sudo(juju, "cat", f"{WORK}/{file}", machine=0).stdout.splitlines()


def inspect(juju: jubilant.Juju) -> dict[str, Any]:
    return json.loads(sudo(juju, "docker", "inspect", "spare-0", machine=0).stdout)[0]


def wait_for(juju: jubilant.Juju, pattern: str, unit: str = UNIT) -> re.Match[str]:
    """Wait until a hook shows a status, and return what of it matched."""
    found: list[re.Match[str]] = []

    def shows(_: jubilant.Status) -> bool:
        run_hook(juju, "update-status", unit)
        if match := re.fullmatch(pattern, " ".join(read_status(juju, unit))):
            found.append(match)
        return bool(found)

    juju.wait(shows, successes=1)
    return found[0]


def count_steps(juju: jubilant.Juju) -> int:
    return int(wait_for(juju, r"active running.*: step (\d+)")[1])


def wait_told(juju: jubilant.Juju) -> list[str]:
    """Wait until a new container's program has told how it is run."""
    count_steps(juju)
    return read_work(juju, "told")


def is_idle(juju: jubilant.Juju, group: str) -> bool:
    """Whether a group of the machine is in the kernel's idle class, or has the least weight."""
    files = rf".*/{group}\(\.slice\)?/cpu\.\(idle\|shares\|weight\)"
    found = sudo(juju, f"find /sys/fs/cgroup -regex '{files}' -exec grep -H . {{}} +", machine=0)
    values = dict(line.rpartition("/")[2].split(":") for line in found.stdout.split())
    if "cpu.idle" in values:
        return values["cpu.idle"] == "1"
    return (values.get("cpu.shares"), values.get("cpu.weight")) in [("2", None), (None, "1")]


def test_without_an_image_it_is_blocked_and_says_what_to_do(machine: jubilant.Juju) -> None:
    assert read_status(machine) == (
        "blocked",
        "there is no image; give one with the option image or the resource spare-image",
    )


def test_the_image_of_the_readme_counts_in_its_work_directory(
    machine: jubilant.Juju, tmp_path: Path
) -> None:
    (tmp_path / "count").mkdir()
    for name, text in read_files("charms/spare/README.md").items():
        (tmp_path / name).write_text(text)
    Reader(machine, tmp_path, {}).read(take("charms/spare/README.md", __file__))
    assert count_steps(machine) > 0
    assert read_work(machine, "n")


def test_an_image_runs_with_the_least_that_it_can(machine: jubilant.Juju) -> None:
    configure(machine, image="tell:1")
    assert wait_told(machine) == [
        "word by",
        "word default",
        f"secret {hashlib.sha256(b'').hexdigest()}  -",
        "user 65532:65532",
        "devices 1",
    ]
    assert is_idle(machine, "spare_0")
    host = inspect(machine)["HostConfig"]
    assert (host["NetworkMode"], host["Memory"]) == ("none", 2**30)
    assert "It works" in machine.run("apache2/0", "page").results["page"]


def test_each_option_shows_in_the_container(machine: jubilant.Juju) -> None:
    before = count_steps(machine)
    configure(
        machine,
        command="--name 'two words' $HOME",
        environment="# said first\nGREETING='good day'\nWORK=/var/lib/job",
        work_path="/var/lib/job",
        user="1000:100",
        network="bridge",
        stop_signal="SIGINT",
        stop_timeout=20,
        cpus=0.5,
        memory_limit="64M",
        cpuset="0",
    )
    told = wait_told(machine)
    assert told[:4] == ["word --name", "word two words", "word $HOME", "GREETING='good day'"]
    assert told[5:] == ["user 1000:100", "devices 2"]
    found = inspect(machine)
    config, host = found["Config"], found["HostConfig"]
    assert (config["StopSignal"], config["StopTimeout"]) == ("SIGINT", 20)
    assert (host["CpuQuota"], host["Memory"], host["CpusetCpus"]) == (50_000, 2**26, "0")
    assert [mount["Destination"] for mount in found["Mounts"]] == ["/var/lib/job"]
    # The image's own signal ended the first one; the new one went on, as another user.
    assert read_work(machine, "signal") == ["USR2"]
    assert count_steps(machine) > before
    owners = sudo(machine, f"find {WORK} -printf '%U:%G\\n' | sort -u", machine=0).stdout
    assert owners.split() == ["1000:100"]


def test_bad_values_are_blocked_by_name_and_the_program_goes_on(machine: jubilant.Juju) -> None:
    container = inspect(machine)["Id"]
    bad = {
        "command": ("say 'hello", "can't be split into words: no closing quotation"),
        "work-path": ("../work", "give an absolute path such as /work"),
        "user": ("root", "'root' is not a user, or is root; give numbers, UID or UID:GID"),
        "stop-timeout": (600, "600 is out of range; give 1 to 60 seconds"),
    }
    good = machine.config("spare")
    repaired: dict[str, Any] = {}
    for name, (value, words) in bad.items():
        status, message = configure(machine, **repaired, **{name: value})
        assert (status, message.startswith(f"option {name}: ")) == ("blocked", True)
        assert words in message
        repaired = {name: good[name]}
    configure(machine, **repaired)
    count_steps(machine)
    assert inspect(machine)["Id"] == container


def test_kills_and_failures_are_told(machine: jubilant.Juju) -> None:
    before = count_steps(machine)
    sudo(machine, f"kill -9 {inspect(machine)['State']['Pid']}", machine=0)
    assert int(wait_for(machine, r"active running, 1 restart: step (\d+)")[1]) > before
    sudo(machine, f"touch {WORK}/fail", machine=0)
    sudo(machine, f"kill -9 {inspect(machine)['State']['Pid']}", machine=0)
    wait_for(machine, r"waiting restarting, code 3, \d+ restarts: error: no luck")
    sudo(machine, f"rm {WORK}/fail", machine=0)
    wait_for(machine, r"active running, \d+ restarts: step \d+")


def test_a_batch_job_that_has_ended_is_done(machine: jubilant.Juju) -> None:
    sudo(machine, f"touch {WORK}/end", machine=0)
    sudo(machine, "docker", "stop", "spare-0", machine=0)
    assert read_work(machine, "signal") == ["INT"]
    configure(machine, restart="on-failure")
    wait_for(machine, "active done: all done")
    sudo(machine, f"rm {WORK}/end", machine=0)
    configure(machine, restart="unless-stopped")
    count_steps(machine)


def test_it_is_paused_and_goes_on_and_shows_its_log(machine: jubilant.Juju) -> None:
    machine.run(UNIT, "pause")
    (held,) = read_work(machine, "steps")
    run_hook(machine, "update-status", UNIT)
    assert read_status(machine) == ("maintenance", "paused; run the action resume to continue")
    assert read_work(machine, "steps") == [held]
    assert machine.run(UNIT, "resume").results["message"].startswith("running")
    assert count_steps(machine) > int(held)
    lines = machine.run(UNIT, "logs", {"lines": 3}).results["logs"].splitlines()
    assert len(lines) == 3
    assert all(line.startswith("step ") for line in lines)


def test_a_secret_reaches_the_program_alone_also_when_it_is_rotated(
    machine: jubilant.Juju, tmp_path: Path
) -> None:
    secret = machine.add_secret("job", {"account-key": PASSWORDS[0]})
    machine.grant_secret("job", "spare")
    configure(machine, environment_secret=str(secret))

    def has(password: str) -> Callable[[jubilant.Status], bool]:
        told = f"secret {hashlib.sha256(password.encode()).hexdigest()}  -"
        return lambda _: told in wait_told(machine)

    machine.wait(has(PASSWORDS[0]), successes=1)
    machine.update_secret("job", {"account-key": PASSWORDS[1]})
    machine.wait(jubilant.all_agents_idle, successes=1)
    machine.wait(has(PASSWORDS[1]), successes=1)

    labels = json.dumps(inspect(machine)["Config"]["Labels"])
    # Other users' environments don't show with ps, and root's own tools have none of it.
    shown = sudo(machine, "ps -eo user,args; journalctl --no-pager --boot", machine=0).stdout
    told = machine.cli("show-unit", UNIT) + machine.debug_log() + machine.cli("status")
    # By a file: what a command has on its line, sudo keeps in an environment.
    (tmp_path / "passwords").write_text("\n".join(PASSWORDS))
    machine.scp(tmp_path / "passwords", "0:/tmp/passwords")
    look = (
        "grep -rlF -f /tmp/passwords /etc /root /var/lib/spare /var/lib/juju "
        "/proc/[0-9]*/cmdline 2>/dev/null; "
        "find /var/lib/docker/containers -perm /077 -type f -exec grep -lF -f /tmp/passwords "
        "{} +; rm /tmp/passwords"
    )
    assert sudo(machine, look, machine=0).stdout == ""
    for password in PASSWORDS:
        for place in (labels, shown, told):
            assert password not in place


def test_an_image_with_a_volume_elsewhere_is_refused(machine: jubilant.Juju) -> None:
    assert configure(machine, image="tell:2") == (
        "blocked",
        "option work-path: /var/lib/job is not the image's VOLUME; give /data",
    )
    configure(machine, image="tell:1")
    count_steps(machine)


def test_two_charms_of_this_kind_live_beside_each_other(
    machine: jubilant.Juju, charms: dict[str, Path]
) -> None:
    machine.deploy(charms["counter"])
    machine.integrate("apache2:juju-info", "counter:juju-info")
    machine.wait(lambda status: "counter/0" in list_subordinates(status), successes=1)
    machine.wait(jubilant.all_agents_idle, successes=1)
    counted = int(wait_for(machine, r"active at (\d+)", "counter/0")[1])
    steps = count_steps(machine)
    assert is_idle(machine, "counter_0")
    assert is_idle(machine, "spare_0")
    machine.wait(lambda _: count_steps(machine) > steps, successes=1)
    machine.wait(
        lambda _: int(wait_for(machine, r"active at (\d+)", "counter/0")[1]) > counted, successes=1
    )
    names = sudo(machine, "docker ps --format '{{.Names}}'", machine=0).stdout.split()
    assert sorted(names) == ["counter-0", "spare-0"]
    machine.cli("remove-relation", "apache2:juju-info", "counter:juju-info")
    machine.wait(lambda status: "counter/0" not in list_subordinates(status), successes=1)
    assert count_steps(machine) > steps


def test_another_application_of_the_charm_works_beside_it(
    machine: jubilant.Juju, charms: dict[str, Path]
) -> None:
    options = {"image": "tell:1", "command": "another", "metrics-port": 9638}
    machine.deploy(charms["spare"], "other", config=options)
    machine.integrate("apache2:juju-info", "other:juju-info")
    machine.wait(lambda status: "other/0" in list_subordinates(status), successes=1)
    machine.wait(jubilant.all_agents_idle, successes=1)
    wait_for(machine, r"active running: step \d+", "other/0")
    count_steps(machine)
    told = sudo(machine, "cat", "/var/lib/spare/other-0/told", machine=0).stdout
    assert told.startswith("word another\n")
    machine.cli("remove-relation", "apache2:juju-info", "other:juju-info")
    machine.wait(lambda status: "other/0" not in list_subordinates(status), successes=1)
    count_steps(machine)


def test_options_that_are_reset_are_the_defaults_again(machine: jubilant.Juju) -> None:
    reset_options(
        machine, UNIT, options=["command", "user", "network", "work-path", "environment"]
    )
    told = wait_told(machine)
    assert told[:2] == ["word by", "word default"]
    assert told[-2:] == ["user 65532:65532", "devices 1"]


def test_its_removal_leaves_nothing(machine: jubilant.Juju) -> None:
    assert sudo(machine, LEFT, machine=0).stdout.strip()
    configure(machine, remove_work=True)
    machine.cli("remove-relation", "apache2:juju-info", "spare:juju-info")
    machine.wait(lambda status: not list_subordinates(status), successes=1)
    assert not sudo(machine, LEFT, machine=0).stdout.strip()
    names = sudo(machine, "docker image ls --format '{{.Repository}}:{{.Tag}}'", machine=0).stdout
    assert "tell:1" in names
