"""Machines that reboot: asked for from outside, from inside, and by a charm."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

import jubilant
import pytest

from lib.localmodel.tests.integration.probe import (
    as_root,
    command,
    events,
    journal,
    pack,
    start,
    touch,
)
from localmodel.machines.processes import wait_until

# Reboots its machine once, where a test asks for it.
CONFIG_CHANGED = """\
for how in now later unasked deaf; do
    if [ -e $probe/$how ]; then
        rm $probe/$how
        case $how in
            now) juju-reboot --now; sleep 60;;
            later) juju-reboot;;
            unasked) systemctl reboot; sleep 60;;
            deaf) trap '' TERM; systemctl reboot; while :; do sleep 1; done;;
        esac
        state-set $how=committed
    fi
done
"""


@pytest.fixture(scope="module")
def unit(juju: jubilant.Juju, charms: Path) -> str:
    """A principal with a subordinate on machine 0."""
    sub = pack(
        charms,
        "sub",
        subordinate=True,
        requires={"juju-info": {"interface": "juju-info", "scope": "container"}},
    )
    host = pack(
        charms,
        "host",
        {"config-changed": CONFIG_CHANGED},
        config={"number": {"type": "int", "default": 0}},
    )
    juju.deploy(host)
    juju.deploy(sub)
    juju.integrate("host", "sub")
    return "host/0"


NAME_BOOT = "systemctl show --property=UserspaceTimestampMonotonic"


def boot(juju: jubilant.Juju) -> str:
    """Names the machine's present boot."""
    return as_root(juju, 0, NAME_BOOT)


def reboot_from_inside(juju: jubilant.Juju, before: str) -> None:
    """Let the machine reboot itself, and log in all the while until it is up again."""
    ssh = ("juju", "ssh", "-m", str(juju.model), "0")
    # The connection breaks at some point.
    command(*ssh, "sudo systemctl reboot", check=False)

    def is_back() -> bool:
        shown = command(*ssh, f"systemctl is-system-running; {NAME_BOOT}", check=False).stdout
        return shown.startswith("running") and before not in shown

    assert wait_until(is_back, timeout=30)


def check_rebooted(juju: jubilant.Juju, before: str) -> None:
    """It is another boot of the same machine, with a working engine."""
    assert boot(juju) != before
    assert as_root(juju, 0, "cat /root/kept /var/lib/docker/kept") == "a file\nan image\n"
    # overlay2, or overlayfs since Docker 29; not vfs, which copies every layer.
    assert as_root(juju, 0, "docker info --format '{{.Driver}}'").startswith("overlay")
    address = juju.status().machines["0"].dns_name
    assert f" {address}/16 " in as_root(juju, 0, "ip -4 address show dev host0")


@pytest.fixture
def before(juju: jubilant.Juju, unit: str) -> str:
    as_root(juju, 0, "echo a file >/root/kept; echo an image >/var/lib/docker/kept")
    return boot(juju)


def test_a_machine_that_is_rebooted_starts_its_units_once(
    juju: jubilant.Juju, unit: str, before: str
) -> None:
    ran = len(journal(juju))
    command("localmodel", "reboot", "-m", str(juju.model), "0")
    check_rebooted(juju, before)
    runs = journal(juju)[ran:]
    assert events(runs, unit) == ["start"]
    assert events(runs, "sub/0") == ["start"]


def test_a_machine_that_reboots_itself_starts_its_units_once(
    juju: jubilant.Juju, unit: str, before: str
) -> None:
    ran = len(journal(juju))
    reboot_from_inside(juju, before)
    juju.wait(lambda s: jubilant.all_agents_idle(s, "host", "sub"), delay=0.1, successes=1)
    check_rebooted(juju, before)
    runs = journal(juju)[ran:]
    assert events(runs, unit) == ["start"]
    assert events(runs, "sub/0") == ["start"]


# What goes on in them: a shell that waits, sudo with its own child, one that ignores what ends it.
SESSIONS = (
    "sleep infinity",
    "sudo sleep infinity",
    "trap '' TERM HUP; while :; do sleep 0.1; done",
)


def test_sessions_end_as_a_machine_reboots_and_do_not_hold_it_up(
    juju: jubilant.Juju, unit: str, before: str
) -> None:
    ssh = ("juju", "ssh", "-m", str(juju.model), "0")
    with contextlib.ExitStack() as stack:
        logins: list[subprocess.Popen[str]] = []
        for script in SESSIONS:
            logins.append(stack.enter_context(start(*ssh, f"touch /tmp/open-$$; {script}")))
            stack.callback(logins[-1].kill)
        opened = "ls /tmp | grep --count open- || true"
        assert wait_until(lambda: int(as_root(juju, 0, opened)) == len(logins), timeout=30)
        reboot_from_inside(juju, before)
        assert {login.wait(timeout=10) for login in logins} == {255}
    check_rebooted(juju, before)


def test_a_hook_that_asks_for_a_reboot_is_ended_first_and_committed(
    juju: jubilant.Juju, unit: str, before: str
) -> None:
    touch(juju, "later")
    ran = len(journal(juju))
    juju.config("host", {"number": 1})
    check_rebooted(juju, before)
    assert juju.exec("state-get later", unit=unit).stdout == "committed\n"
    runs = journal(juju)[ran:]
    # Told twice of a change that is set, and of a reboot before all else.
    assert events(runs, unit) == ["config-changed", "start", "config-changed"]
    assert events(runs, "sub/0") == ["start"]


@pytest.mark.parametrize("how", ["now", "unasked", "deaf"])
def test_a_hook_that_a_reboot_cuts_short_is_run_again(
    juju: jubilant.Juju, unit: str, before: str, how: str
) -> None:
    touch(juju, how)
    ran = len(journal(juju))
    number = juju.config("host")["number"]
    assert isinstance(number, int)
    juju.config("host", {"number": number + 1})
    check_rebooted(juju, before)
    assert juju.exec(f"state-get {how}", unit=unit).stdout == ""
    runs = [r for r in journal(juju)[ran:] if r.unit == unit]
    assert [(r.name, r.ended) for r in runs] == [
        ("config-changed", False),
        ("config-changed", True),
        ("start", True),
        ("config-changed", True),
    ]
    assert 'hook "config-changed" failed' not in juju.debug_log()
