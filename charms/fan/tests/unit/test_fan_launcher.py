"""`fanctl` on a machine's PATH: the charm's, for as long as a unit is there, and nobody else's."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from ipaddress import IPv4Network
from pathlib import Path

import ops
import pytest
from ops import testing

from charms.fan.tests.unit.conftest import PRINCIPAL
from charms.fan.tests.unit.fake_host import Host
from fan import launcher, machine, removal

Context = testing.Context[ops.CharmBase]
Run = Callable[..., testing.State]
OVERLAY = IPv4Network("250.0.0.0/8")


def add_program(file: Path, said: str) -> None:
    """Write a program that prints what it is, and its arguments."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f'#!/bin/sh\necho {said} "$@"\n')
    file.chmod(0o755)


def add_python(host: Host, unit: str) -> None:
    """Give a unit's charm a Python that prints its arguments."""
    folder = host.agents / f"unit-{unit.replace('/', '-')}"
    add_program(folder / "charm" / "venv" / "bin" / "python", unit)


def call(*words: str) -> str:
    """Return what `fanctl` says."""
    command = [str(launcher.LAUNCHER), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_fanctl_runs_the_charms_own_with_its_arguments(host: Host, run: Run) -> None:
    run()
    add_python(host, "fan/0")
    assert call("up", "a b") == "fan/0 -I -m fannet up a b"
    assert launcher.LAUNCHER.stat().st_mode & 0o777 == 0o755


def test_fanctl_stays_until_the_last_of_two_units_goes(
    host: Host, run: Run, context: Context, second: Context
) -> None:
    run()
    run(context=second)
    add_python(host, "fan/0")
    add_python(host, "fan/1")
    context.run(context.on.relation_broken(PRINCIPAL), testing.State(relations={PRINCIPAL}))
    assert call("show") == "fan/1 -I -m fannet show"
    second.run(second.on.relation_broken(PRINCIPAL), testing.State(relations={PRINCIPAL}))
    assert not launcher.LAUNCHER.exists()


def test_fanctl_goes_with_a_unit_that_leaves_without_a_hook(host: Host, run: Run) -> None:
    run()
    host.remove_unit("fan/0")
    assert removal.give_back("fan/0", OVERLAY, host.system) == 0
    assert not launcher.LAUNCHER.exists()


def test_fanctl_says_so_where_no_unit_is_left(host: Host, run: Run) -> None:
    run()
    host.remove_unit("fan/0")
    with pytest.raises(subprocess.CalledProcessError) as caught:
        call("show")
    assert caught.value.stderr == (
        f"fanctl: no unit of the fan charm is left on this machine; remove {launcher.LAUNCHER}\n"
    )


def test_a_change_to_our_fanctl_is_undone(host: Host, run: Run) -> None:
    run()
    before = launcher.LAUNCHER.read_text()
    launcher.LAUNCHER.write_text(before + "exit 3\n")
    run()
    assert launcher.LAUNCHER.read_text() == before


def test_a_fanctl_that_was_installed_is_called_at_once_and_ours_goes(host: Host, run: Run) -> None:
    run()
    add_python(host, "fan/0")
    add_program(launcher.PACKAGED, "packaged")
    assert call("show") == "packaged show"
    run()
    assert not launcher.LAUNCHER.exists()
    launcher.PACKAGED.unlink()
    run()
    assert call("show") == "fan/0 -I -m fannet show"


def identify(file: Path) -> tuple[int, ...]:
    """Return what changes when a file is replaced, written or given away, but not when read."""
    there = file.stat()
    return there.st_ino, there.st_size, there.st_mtime_ns, there.st_ctime_ns


@pytest.mark.parametrize("packaged", [False, True])
def test_somebody_elses_fanctl_is_left_alone(host: Host, run: Run, packaged: bool) -> None:
    if packaged:
        add_program(launcher.PACKAGED, "packaged")
    launcher.LAUNCHER.parent.mkdir()
    launcher.LAUNCHER.write_text("#!/bin/sh\n# Made by an operator.\n")
    before = identify(launcher.LAUNCHER)
    run()
    machine.give_back(host.system, "fan/0")
    assert identify(launcher.LAUNCHER) == before


@pytest.mark.parametrize("target", ["folder", "nothing"])
def test_a_link_that_is_called_fanctl_is_left_alone(
    host: Host, run: Run, target: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    launcher.LAUNCHER.parent.mkdir()
    launcher.LAUNCHER.symlink_to(tmp_path / target)
    assert isinstance(run().unit_status, testing.ActiveStatus)
    machine.give_back(host.system, "fan/0")
    assert launcher.LAUNCHER.is_symlink()
