"""What this host runs out of, and boots that hang: told by name, and nothing waits for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import jubilant
import pytest

from lib.localmodel.tests.integration import probe
from lib.localmodel.tests.integration.probe import as_root
from localmodel.machines.inotify import PER_MACHINE


def patched(change: str, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run `localmodel` with something of it changed, such as how long it waits."""
    program = f"import sys\n{change}\nfrom localmodel.__main__ import main\nsys.exit(main())"
    return subprocess.run(
        [sys.executable, "-c", program, *argv],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def machine(other_instance: None) -> jubilant.Juju:
    """A model with one machine on an instance that the test takes down."""
    probe.command("juju", "add-model", "limits")
    juju = jubilant.Juju(model="limits")
    juju.cli("add-machine")
    return juju


# In a user namespace, which has a limit of its own: takes $2 instances, asks for $1 machines.
ASK = """
import ctypes, sys
from localmodel.errors import LocalModelError
from localmodel.machines.inotify import require_instances
taken = [ctypes.CDLL(None).inotify_init1(0) for _ in range(int(sys.argv[2]))]
assert min(taken, default=0) >= 0
try:
    require_instances(int(sys.argv[1]))
except LocalModelError as e:
    print(e)
"""


def ask(limit: int, machines: int, used: int) -> str:
    """What is said of so many machines' boot with so many of the instances in use."""
    prepare = f'echo {limit} >/proc/sys/user/max_inotify_instances; exec "$@"'
    unshare = ["/usr/bin/unshare", "--user", "--map-root-user", "/bin/sh", "-c", prepare, "sh"]
    python = [sys.executable, "-c", ASK, str(machines), str(used)]
    return subprocess.run([*unshare, *python], check=True, capture_output=True, text=True).stdout


def test_too_few_inotify_instances_are_counted_and_the_setting_is_told() -> None:
    assert ask(limit=PER_MACHINE + 5, machines=1, used=5) == ""
    assert ask(limit=PER_MACHINE + 5, machines=1, used=6) == (
        f"6 of {PER_MACHINE + 5} inotify instances are in use, and a machine needs"
        f" {PER_MACHINE} to boot: run 'sysctl -w user.max_inotify_instances=1024', and put"
        " 'user.max_inotify_instances = 1024' into a file in /etc/sysctl.d to keep it\n"
    )
    # Machines that boot at the same time have not taken theirs yet.
    assert ask(limit=2 * PER_MACHINE, machines=2, used=0) == ""
    assert ask(limit=2 * PER_MACHINE - 1, machines=2, used=0).startswith("0 of ")


def test_a_machine_for_which_there_are_too_few_is_not_booted(machine: jubilant.Juju) -> None:
    probe.command("localmodel", "down")
    few = "from localmodel.machines import inotify\ninotify.count_free = lambda most: 3"
    refusal = patched(few, "up")
    assert refusal.returncode == 1
    (line,) = refusal.stderr.splitlines()
    assert line.startswith("ERROR ")
    assert "sysctl -w fs.inotify.max_user_instances=" in line
    assert machine.status().machines["0"].juju_status.current == "started"


def test_a_machine_takes_no_more_inotify_instances_than_are_reckoned(
    machine: jubilant.Juju,
) -> None:
    as_root(machine, 0, "systemctl start docker.service")
    found = as_root(machine, 0, "find /proc/[0-9]*/fd -lname anon_inode:inotify | wc -l")
    assert 0 < int(found) <= PER_MACHINE


# Keeps a machine's first three boots from coming to an end.
HANG = """\
[Unit]
DefaultDependencies=no
Before=sysinit.target
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'echo >>/var/boots; [ "$(wc -l </var/boots)" -gt 3 ] || sleep infinity'
[Install]
WantedBy=sysinit.target
"""


def test_a_boot_that_hangs_is_begun_once_more_and_then_told_with_its_console(
    machine: jubilant.Juju, tmp_path: Path
) -> None:
    unit = tmp_path / "hang.service"
    unit.write_text(HANG)
    machine.scp(unit, "0:/tmp/hang.service")
    as_root(machine, 0, "mv /tmp/hang.service /etc/systemd/system; systemctl enable hang.service")
    name = machine.status().machines["0"].hostname
    probe.command("localmodel", "down")

    # Long enough for a boot on a busy host, and it passes three times.
    soon = "from localmodel.machines import instance\ninstance.BOOT_TIMEOUT = 12"
    refusal = patched(soon, "up")
    console = probe.home() / "machines" / name / "console.log"
    assert refusal.stderr == (
        f"ERROR machine {name} did not boot, tried 2 times; its console is in {console}, and the"
        " next command tries again\n"
    )
    assert "the boot waits for: " in console.read_text()
    assert "hang.service" in console.read_text()
    assert patched(soon, "up").returncode == 0
    assert as_root(machine, 0, "wc -l </var/boots") == "4\n"
    assert as_root(machine, 0, "systemctl is-system-running") == "running\n"


def test_a_machine_that_ends_while_it_boots_is_not_waited_for(
    machine: jubilant.Juju,
) -> None:
    as_root(
        machine,
        0,
        "ln -sf /bin/false /etc/systemd/system/early && ln -sfn /nonexistent /sbin/init",
    )
    as_root(machine, 0, "rm -f /lib/systemd/systemd")
    probe.command("localmodel", "down")
    never = "from localmodel.machines import instance\ninstance.BOOT_TIMEOUT = 1e9"
    refusal = patched(never, "up")
    assert refusal.returncode == 1
    assert "did not boot, tried 2 times; its console is in" in refusal.stderr


def full(size: str, *words: str) -> str:
    """What `juju` says where the local model's disk has so little room."""
    mount = f"mount -t tmpfs -o size={size} none {probe.home()} && juju add-model full && "
    unshare = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", f'{mount}exec juju "$@"', "sh"]
    done = subprocess.run([*unshare, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    return done.stderr.splitlines()[-1]


def test_a_full_disk_is_told_with_the_file_that_did_not_fit(
    other_instance: None, charms: Path
) -> None:
    large = probe.pack(charms, "large", files={"data": "x" * 2_000_000})
    says = full("1m", "deploy", str(large))
    assert says.startswith(f"ERROR {probe.home()}/charms/")
    assert says.endswith(".charm: No space left on device: fix that, and run the command again")
