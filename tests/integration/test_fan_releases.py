"""The fan with libbpf, nft and Python of each release that users have, on this kernel."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from lib.fannet.tests.integration.lab import Lab, ping
from tests.integration.roots import Release, build_root
from tools.pack import ROOT

PACKAGES = ("base-files", "iproute2", "kmod", "libpython3-stdlib", "nftables", "python3-minimal")
RELEASES = {
    Release("debian", "bookworm"): "libbpf.so.1.1",
    Release("ubuntu", "jammy"): "libbpf.so.0.5",
    Release("ubuntu", "noble"): "libbpf.so.1.3",
}
FANNET = ROOT / "lib" / "fannet" / "src" / "fannet"
# In mounts of its own, which end with the program.
ENTER = """\
set -e
mount --bind "{root}" "{root}"
mkdir -p "{root}/proc" "{root}/sys" "{root}/mnt" "{root}/dev" "{root}/run"
mount -t proc proc "{root}/proc"
mount -t sysfs sysfs "{root}/sys"
mount -t tmpfs tmpfs "{root}/mnt"
mount --rbind /dev "{root}/dev"
mount --rbind {run} "{root}/run"
mkdir "{root}/mnt/fannet"
mount --bind "{fannet}" "{root}/mnt/fannet"
export PYTHONPATH=/mnt
exec chroot "{root}" /usr/bin/python3 -m fannet {words}
"""


@pytest.fixture
def lab() -> Iterator[Lab]:
    with ExitStack() as stack:
        yield Lab(stack)


@pytest.mark.parametrize("release", RELEASES, ids=lambda release: release.name)
def test_the_fan_works_with_the_libraries_of_a_release(
    release: Release, lab: Lab, tmp_path: Path
) -> None:
    root = build_root(release, *PACKAGES)
    (library,) = root.glob("usr/lib/*/libbpf.so.*.*.*")
    assert library.name.startswith(RELEASES[release])
    (tmp_path / "lock").mkdir()
    host, other = lab.host("172.30.0.28/16"), lab.host("172.30.0.27/16")

    def fanctl(words: str) -> str:
        script = ENTER.format(root=root, fannet=FANNET, run=tmp_path, words=words)
        return host.run_apart("sh", "-c", script)

    def show() -> list[dict]:
        return json.loads(fanctl("show --format json"))

    other.up()
    before = host.snapshot()
    assert "attach the programs to fan-vx8472" in fanctl("up 250.0.0.0/8 eth0/16")
    assert fanctl("up 250.0.0.0/8 eth0/16") == ""
    ping(host, "250.0.27.1")
    ping(other, "250.0.28.1")
    container = lab.container(host, "250.0.28.5/8")
    assert fanctl("up 250.0.0.0/8 eth0/16") == ""
    ping(container, "250.0.27.1")
    assert "fan_direct" in host.run("tc", "filter", "show", "dev", container.outside, "ingress")
    assert "add the fan to the programs" in fanctl("up 250.0.0.0/8 eth0/16 no-shortcuts")
    assert fanctl("up 99.0.0.0/8 eth0/16 port 4790")
    assert [fan["problems"] for fan in show()] == [[], []]
    assert sum(fan["drops"]["tx_nested"] for fan in show()) == 0
    container.unplug()
    fanctl("down -e")
    assert host.snapshot() == before
