"""A container that a snap keeps: on a machine in memory, with a snapctl that is a real program."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dockerhost import Cgroups, Container, Image
from harvest.options import Options, OptionsError
from harvest.policy import LEFT_OUT, Policy, Top
from harvest.reconcile import reconcile
from harvest.snap import Snap, configure, show
from harvest.unit import Unit
from harvest.workdir import WorkDirectory
from harvest.workload import Desired, Job, Report, Share, Workload
from lib.harvest.tests.unit.fake_host import SMALL, Host

IMAGE = "r.example/digits:1"
# Answers from a file of options, and notes what else it was told.
SNAPCTL = """#!{python}
import json, pathlib, sys
folder, (verb, *rest) = pathlib.Path({folder!r}), sys.argv[1:]
if verb == "get":
    options = json.loads((folder / "options").read_text())
    print(json.dumps({{key: options[key] for key in rest[1:] if key in options}}))
elif verb == "is-connected":
    sys.exit(not (folder / "connected").exists())
else:
    with (folder / "told").open("a") as told:
        print(verb, *rest, file=told)
"""


class Config(Options):
    metrics_port: int = 9650
    digits: int | None = None


class Digits(Workload[Config, int]):
    name = "digits"
    options = Config

    def make_job(self, desired: Desired[Config], image: Image, share: Share) -> Job:
        return Job("digits", memory=64 * 2**20, restart="unless-stopped")

    def read(self, container: Container, work: WorkDirectory, log: Sequence[str]) -> Report[int]:
        return Report("digits", "at work", 7)


class Edge:
    """snapd as the snap sees it: its options, whether its plug is connected, what it told."""

    def __init__(self, folder: Path):
        self._folder = folder
        self.set()
        (folder / "connected").touch()

    def set(self, **options: Any) -> None:
        named = {name.replace("_", "-"): value for name, value in options.items()}
        (self._folder / "options").write_text(json.dumps(named))

    def disconnect(self) -> None:
        (self._folder / "connected").unlink()

    @property
    def told(self) -> list[str]:
        file = self._folder / "told"
        return file.read_text().splitlines() if file.exists() else []


@pytest.fixture
def snapd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Edge:
    folder = tmp_path / "snapd"
    folder.mkdir()
    program = folder / "snapctl"
    program.write_text(SNAPCTL.format(python=sys.executable, folder=str(folder)))
    program.chmod(0o755)
    monkeypatch.setattr("harvest.snap.SNAPCTL", str(program))
    monkeypatch.setattr("harvest.snap.Engine", lambda: None)
    for name in ("SNAP", "SNAP_COMMON"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    monkeypatch.setenv("SNAP_NAME", "digits")
    return Edge(folder)


@pytest.fixture
def snap(snapd: Edge, host: Host, monkeypatch: pytest.MonkeyPatch) -> Snap[Config, int]:
    monkeypatch.setattr("harvest.snap.Engine", host.connect)
    host.registry[IMAGE] = SMALL
    return Snap(Digits())


def test_the_container_has_the_weight_of_its_policy_and_nothing_else_is_touched(
    snap: Snap[Config, int], snapd: Edge, host: Host, tmp_path: Path
) -> None:
    snapd.set(image=IMAGE)
    _, observed = snap.reconcile()
    assert observed.problem == ""
    spec = host.specs["snap.digits"]
    assert (spec.cgroup_parent, spec.cpu_shares, spec.user) == ("/", 2, "0:0")
    assert [mount.source for mount in spec.mounts] == [str(tmp_path / "snap_common/snap.digits")]
    assert host.did == [f"pull {IMAGE}", "created"]
    assert not host.certificates.exists()
    assert not host.kernel.slices.exists() or not [*host.kernel.slices.iterdir()]
    assert host.kernel.writes == []


def test_a_policy_changes_while_the_container_runs(
    snap: Snap[Config, int], snapd: Edge, host: Host
) -> None:
    snapd.set(image=IMAGE)
    snap.reconcile()
    snapd.set(image=IMAGE, cpu_policy="dedicated")
    snap.reconcile()
    assert host.did[-1] == "updated"
    assert host.specs["snap.digits"].cpu_shares == 10240
    snap.reconcile()
    assert host.did[-1] == "updated"
    assert host.did.count("updated") == 1


@pytest.mark.parametrize(("driver", "parent"), [("cgroupfs", "/"), ("systemd", "-.slice")])
def test_the_top_of_the_groups_is_called_as_the_engines_driver_calls_it(
    driver: str, parent: str
) -> None:
    assert Top(Cgroups(driver, 2)).reference == parent


def test_each_policy_says_what_confinement_leaves_out() -> None:
    assert LEFT_OUT.keys() == set(Policy)


def test_a_plug_that_is_not_connected_is_named_with_the_command(
    snap: Snap[Config, int], snapd: Edge, host: Host
) -> None:
    snapd.disconnect()
    _, observed = snap.reconcile()
    assert observed.problem.endswith("sudo snap connect digits:docker docker:docker-daemon")
    assert host.did == []


def test_options_that_look_like_json_are_what_was_written(snapd: Edge) -> None:
    snapd.set(cpuset=1, cpus=0.5, require_digest=True, digits="12", memory_limit="64M", image=None)
    config = Snap(Digits()).read_options()
    assert (config.cpuset, config.cpus, config.require_digest) == (frozenset({1}), 0.5, True)
    assert (config.digits, config.memory_limit, config.image) == (12, 64 * 2**20, "")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"cpus": "many"}, "option cpus: 'many' is not a number"),
        ({"digits": 1.5}, "option digits: '1.5' is not a whole number"),
        ({"require_digest": "maybe"}, "option require-digest: 'maybe' is not true or false"),
        ({"image": {"name": "a"}}, 'option image: {"name": "a"} is not one value'),
        ({"cpu_policy": "fast"}, "option cpu-policy: 'fast' is not one of: idle"),
    ],
)
def test_a_wrong_option_is_refused_with_what_was_given(
    options: dict[str, Any], said: str, snapd: Edge, capsys: pytest.CaptureFixture[str]
) -> None:
    snapd.set(**options)
    snap = Snap(Digits())
    with pytest.raises(OptionsError):
        snap.read_options()
    assert configure(snap) == 1
    printed = capsys.readouterr().err
    assert said in printed
    assert printed.endswith("; nothing was changed\n")
    assert snapd.told == []


def test_options_that_are_right_make_the_daemon_look_after_snapd_has_kept_them(
    snapd: Edge,
) -> None:
    snapd.set(cpus=1)
    assert configure(Snap(Digits())) == 0
    assert snapd.told == ["restart --reload digits"]


def test_options_that_a_snap_cant_follow_are_not_read(snapd: Edge) -> None:
    snapd.set(metrics_port=1, registry_ca="x", registry_credentials="y", remove_work=True)
    config = Snap(Digits()).read_options()
    assert (config.metrics_port, config.registry_ca, config.remove_work) == (9650, "", False)


def test_a_removal_takes_the_container_and_its_image_and_keeps_the_work(
    snap: Snap[Config, int], snapd: Edge, host: Host
) -> None:
    snapd.set(image=IMAGE)
    snap.reconcile()
    assert snap.remove(images=False)
    assert (host.containers, snap.unit.work.path.is_dir()) == ({}, True)
    assert host.images
    assert snap.remove(images=True)
    assert host.images == {}


def test_a_removal_without_an_engine_says_what_was_left(
    snap: Snap[Config, int], host: Host, caplog: pytest.LogCaptureFixture
) -> None:
    host.broken = "the engine is away"
    assert not snap.remove(images=True)
    assert caplog.messages == ["snap.digits may have been left: the engine is away"]


def test_a_charm_on_the_same_machine_leaves_the_snaps_container_alone(
    snap: Snap[Config, int], snapd: Edge, host: Host, tmp_path: Path
) -> None:
    snapd.set(image=IMAGE)
    snap.reconcile()
    config = Config(image=IMAGE)
    observed = reconcile(Digits(), Desired(Unit("digits", "digits/0"), config, tmp_path))
    assert (observed.problem, observed.worker) == ("", "")
    assert set(host.containers) == {"snap.digits", "digits-0"}


def test_a_command_shows_what_the_program_told(
    snap: Snap[Config, int], snapd: Edge, capsys: pytest.CaptureFixture[str]
) -> None:
    assert show(snap, lambda found: {"found": found}) == 1
    assert "snap get digits status says why" in capsys.readouterr().err
    snapd.set(image=IMAGE)
    snap.reconcile()
    assert show(snap, lambda found: {"found": found}) == 0
    assert capsys.readouterr().out == "found: 7\n"
