from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dockerhost import Cgroups, ContainerSpec
from harvest.policy import NotInForceError, Parent, Policy, remove_parent
from lib.harvest.tests.unit import fake_kernel
from lib.harvest.tests.unit.fake_kernel import Kernel

KINDS = [Cgroups(driver, version) for driver in ("cgroupfs", "systemd") for version in (1, 2)]
SPEC = ContainerSpec(name="mprime-0", image="sha256:1", memory=2**28)
Boot = Callable[..., Kernel]


@pytest.fixture
def boot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Boot:
    def boot(kind: Cgroups, *, has_idle: bool = True, obeys: bool = True) -> Kernel:
        monkeypatch.setattr("platform.release", lambda: "6.1.0-13-amd64")
        kernel = Kernel(tmp_path / "kernel", kind, has_idle, obeys)
        return fake_kernel.install(kernel, monkeypatch)

    return boot


@pytest.fixture(params=KINDS, ids=lambda kind: f"{kind.driver}-{kind.version}")
def kind(request: pytest.FixtureRequest) -> Cgroups:
    return request.param


def start(kernel: Kernel, parent: Parent, spec: ContainerSpec = SPEC) -> None:
    kernel.run(7, parent.reference, **kernel.describe_limits(spec))


def weigh(kernel: Kernel) -> tuple[str, str]:
    return kernel.read("cpu.idle"), kernel.read(f"cpu.{weight_of(kernel)}")


def weight_of(kernel: Kernel) -> str:
    return "shares" if kernel.engine.version == 1 else "weight"


@pytest.mark.parametrize("policy", Policy)
def test_a_policy_is_in_force_under_every_driver_and_version(
    boot: Boot, kind: Cgroups, policy: Policy
) -> None:
    kernel, parent = boot(kind), Parent("mprime/0", kind)
    parent.ensure(policy)
    start(kernel, parent)
    parent.verify(policy, 7, SPEC)
    idle, weight = weigh(kernel)
    if policy is Policy.IDLE:
        assert idle == "1" or weight == "2"
    else:
        expected = {
            1: {Policy.SHARE: "1024", Policy.DEDICATED: "10240"},
            2: {Policy.SHARE: "100", Policy.DEDICATED: "1000"},
        }
        assert (idle, weight) == ("0", expected[kind.version][policy])


def test_a_policy_that_is_in_force_is_not_set_again(boot: Boot, kind: Cgroups) -> None:
    kernel, parent = boot(kind), Parent("mprime/0", kind)
    parent.ensure(Policy.IDLE)
    kernel.writes.clear()
    kernel.said.clear()
    parent.ensure(Policy.IDLE)
    assert kernel.writes == []
    assert kernel.said == []


@pytest.mark.parametrize("policy", Policy)
@pytest.mark.parametrize("before", Policy)
def test_a_policy_changes_on_the_group_that_is_there(
    boot: Boot, kind: Cgroups, before: Policy, policy: Policy
) -> None:
    kernel, parent = boot(kind), Parent("mprime/0", kind)
    parent.ensure(before)
    start(kernel, parent)
    parent.ensure(policy)
    parent.verify(policy, 7, SPEC)


def test_after_a_reboot_the_group_that_the_engine_made_again_is_mended(
    boot: Boot, kind: Cgroups
) -> None:
    kernel, parent = boot(kind), Parent("mprime/0", kind)
    parent.ensure(Policy.IDLE)
    kernel.boot()
    if kind.version == 2:  # the engine enables what it needs
        (kernel.root() / "cgroup.subtree_control").write_text("cpu io memory pids\n")
    start(kernel, parent)
    with pytest.raises(NotInForceError, match="cpu-policy idle is not in force"):
        parent.verify(Policy.IDLE, 7, SPEC)
    parent.ensure(Policy.IDLE)
    parent.verify(Policy.IDLE, 7, SPEC)


def test_a_kernel_without_idle_groups_gets_the_lowest_weight(boot: Boot, kind: Cgroups) -> None:
    kernel, parent = boot(kind, has_idle=False), Parent("mprime/0", kind)
    if kind == Cgroups("systemd", 2):
        kernel.systemd = "249.11-0ubuntu3"
    parent.ensure(Policy.IDLE)
    start(kernel, parent)
    parent.verify(Policy.IDLE, 7, SPEC)
    lowest = {1: "2", 2: "1"}[kind.version]
    assert kernel.read(f"cpu.{weight_of(kernel)}") == lowest


@pytest.mark.parametrize(
    ("release", "systemd", "setting"),
    [
        ("6.1.0-13-amd64", "252.39-1~deb12u2", "CPUWeight=idle"),
        ("5.15.0-91-generic", "v255", "CPUWeight=idle"),
        ("5.15.0-91-generic", "249.11-0ubuntu3", "CPUWeight=1"),
        ("5.14.0-9-generic", "252", "CPUWeight=1"),
    ],
)
def test_a_slice_is_idle_only_where_kernel_and_systemd_know_that(
    boot: Boot, monkeypatch: pytest.MonkeyPatch, release: str, systemd: str, setting: str
) -> None:
    kind = Cgroups("systemd", 2)
    kernel = boot(kind)
    kernel.systemd = systemd
    monkeypatch.setattr("platform.release", lambda: release)
    Parent("mprime/0", kind).ensure(Policy.IDLE)
    text = (kernel.slices / "mprime_0.slice").read_text()
    assert f"\n[Slice]\n{setting}\nIOWeight=1\n" in text


@pytest.mark.parametrize("version", [1, 2])
def test_a_systemd_that_leaves_a_slice_as_it_was_is_helped(boot: Boot, version: int) -> None:
    kind = Cgroups("systemd", version)
    kernel, parent = boot(kind, obeys=False), Parent("mprime/0", kind)
    parent.ensure(Policy.IDLE)
    start(kernel, parent)
    parent.verify(Policy.IDLE, 7, SPEC)
    assert kernel.read("cpu.idle") == "1"


def test_a_slice_written_by_a_hook_that_was_killed_is_loaded_by_the_next(
    boot: Boot, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = Cgroups("systemd", 2)
    kernel, parent = boot(kind), Parent("mprime/0", kind)
    parent.ensure(Policy.IDLE)
    with monkeypatch.context() as patch:
        patch.setattr("hostkit.systemd.call", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            parent.ensure(Policy.DEDICATED)
    kernel.said.clear()
    parent.ensure(Policy.DEDICATED)
    assert kernel.said == ["daemon-reload"]
    assert kernel.read("cpu.weight") == "1000"


def test_no_dash_makes_a_level_of_a_slices_name() -> None:
    kind = Cgroups("systemd", 2)
    assert Parent("my-mprime/12", kind).reference == "my_mprime_12.slice"
    assert Parent("my-mprime/12", replace(kind, driver="cgroupfs")).reference == "/my_mprime_12"


def test_reads_and_writes_wait_for_others(boot: Boot, kind: Cgroups) -> None:
    kernel, parent = boot(kind), Parent("mprime/0", kind)
    parent.ensure(Policy.DEDICATED)
    file = "blkio.bfq.weight" if kind.version == 1 else "io.weight"
    assert kernel.read(file) == "1"


def test_a_container_elsewhere_is_told_with_its_place(boot: Boot, kind: Cgroups) -> None:
    kernel, parent = boot(kind), Parent("mprime/0", kind)
    parent.ensure(Policy.IDLE)
    kernel.run(7, "/docker")
    with pytest.raises(NotInForceError, match=r"the container runs in /docker/1, not under /mpr"):
        parent.verify(Policy.IDLE, 7, SPEC)


def test_a_container_that_has_just_ended_is_not_checked(boot: Boot, kind: Cgroups) -> None:
    boot(kind)
    Parent("mprime/0", kind).verify(Policy.IDLE, 7, SPEC)


def test_a_group_that_cannot_be_written_to_is_named(boot: Boot, kind: Cgroups) -> None:
    kernel = boot(kind, obeys=False)
    kernel.refuses = "cpu.idle"
    with pytest.raises(NotInForceError, match=r"cpu-policy idle .*/cpu.idle: Read-only file sys"):
        Parent("mprime/0", kind).ensure(Policy.IDLE)


def test_a_machine_without_a_cpu_controller_is_told(boot: Boot) -> None:
    kernel = boot(Cgroups("cgroupfs", 2))
    (kernel.root() / "cgroup.controllers").write_text("memory pids\n")
    with pytest.raises(NotInForceError, match="there is no cpu controller of version 2"):
        Parent("mprime/0", kernel.engine).ensure(Policy.IDLE)


LIMITED = replace(SPEC, cpus=0.5, cpuset="0-1")


@pytest.mark.parametrize(
    ("actual", "told"),
    [
        ({"cpus": 0}, "cpus is not in force: it should be 0.5"),
        ({"cpus": 0.7}, "cpus is not in force: it should be 0.5, the kernel has 70000"),
        ({"memory": 2**29}, "memory-limit is not in force: it should be 268435456, the kernel ha"),
        ({"cpuset": "0-3"}, "cpuset is not in force: it should be 0-1, the kernel has 0-3"),
    ],
)
def test_a_limit_that_the_kernel_does_not_have_is_told(
    boot: Boot, kind: Cgroups, actual: dict[str, float | str], told: str
) -> None:
    kernel, parent = boot(kind), Parent("mprime/0", kind)
    parent.ensure(Policy.IDLE)
    start(kernel, parent, LIMITED)
    parent.verify(Policy.IDLE, 7, LIMITED)
    start(kernel, parent, replace(LIMITED, **actual))  # pyright: ignore[reportArgumentType]
    with pytest.raises(NotInForceError, match=told):
        parent.verify(Policy.IDLE, 7, LIMITED)


def test_removal_leaves_no_group_and_no_slice(boot: Boot, kind: Cgroups) -> None:
    kernel, parent = boot(kind), Parent("mprime/0", kind)
    other = Parent("mprime/1", kind)
    parent.ensure(Policy.IDLE)
    other.ensure(Policy.IDLE)
    start(kernel, parent)
    remove_parent("mprime/0")
    remove_parent("mprime/0")
    assert not list(kernel.folder.rglob("mprime_0*"))
    assert not (kernel.slices / "mprime_0.slice").exists()
    assert list(kernel.folder.rglob("mprime_1*"))
    assert (kernel.slices / "mprime_1.slice").exists() == (kind.driver == "systemd")
