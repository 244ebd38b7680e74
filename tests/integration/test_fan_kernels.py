"""The fan's own tests on kernels that people run, each in a qemu guest; see lib/fannet/tests."""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from importlib.metadata import distribution
from importlib.util import cache_from_source
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools.guest import boot, build_disk
from tools.pack import ROOT

PACKAGES = ("iperf3", "iptables", "iputils-ping", "nftables", "procps", "python3")
# All of them Python alone, also what they need.
LIBRARIES = ("pyroute2", "pytest", "pytest-xdist", "scapy")
FOLDER = "lib/fannet/tests/integration"
# By whether the kernel is the newest one for the release, which an emulator runs no sooner: what
# newer kernels may break is tested on both, and each attack on the oldest one.
FILES = {
    True: ("test_datapath.py", "test_forged_packets.py", "test_ipip.py"),
    False: (
        "test_around_the_programs.py",
        "test_datapath.py",
        "test_ethernet_addresses.py",
        "test_forged_packets.py",
        "test_ipip.py",
        "test_iptables_rules.py",
        "test_nested_tunnels.py",
    ),
}
TIMEOUT = 1800.0  # seconds; on two quiet cores all takes a third of that


def find_libraries() -> Iterator[tuple[Path, str]]:
    """Yield the files of the libraries that the tests import, and of what these need.

    Also the byte code that `run` made of them, which takes an emulator a minute to make again.
    """
    todo, done = list(LIBRARIES), set()
    while todo:
        name = todo.pop()
        if name in done:
            continue
        done.add(name)
        found = distribution(name)
        for file in found.files or ():
            if ".." in file.parts:  # commands and manual pages
                continue
            source = Path(str(found.locate_file(file)))
            yield source, str(file)
            if file.suffix == ".py" and (code := Path(cache_from_source(source))).exists():
                yield code, cache_from_source(file)
        needs = map(Requirement, found.requires or ())
        todo += [n.name for n in needs if not n.marker or n.marker.evaluate({"extra": ""})]


def write_archive(path: Path) -> None:
    """Write what a guest needs of this repository, and its libraries, to a tar file."""
    with tarfile.open(path, "w") as archive:
        for file in ("pyproject.toml", "lib/fannet/src/fannet", FOLDER):
            archive.add(ROOT / file, file)
        for file, name in find_libraries():
            archive.add(file, f"site/{name}")


@pytest.mark.parametrize("newest", [False, True], ids=["stock", "newest"])
def test_the_fans_own_tests_pass_on_a_distributions_kernel(newest: bool, tmp_path: Path) -> None:
    write_archive(tmp_path / "tests.tar")
    with boot(build_disk(PACKAGES, newest=newest), cores=2) as guest:
        guest.copy(tmp_path / "tests.tar", "/tmp/tests.tar")
        guest.run("/usr/sbin/modprobe", "br_netfilter")  # as Docker does
        guest.run("/usr/bin/mkdir", "/tests")
        guest.run("/usr/bin/tar", "-xf", "/tmp/tests.tar", "-C", "/tests")
        release = guest.run("/usr/bin/uname", "-r").stdout.strip()
        done = guest.run(
            *("/usr/bin/env", "--chdir=/tests", "PYTHONPATH=site:lib/fannet/src"),
            *("/usr/bin/python3", "-m", "pytest", "-p", "no:cacheprovider", "--tb=short"),
            *("--numprocesses=auto", "--dist=loadfile"),  # a process for each of its cores
            *("-m", "not any_kernel"),
            *(f"{FOLDER}/{name}" for name in FILES[newest]),
            check=False,
            timeout=TIMEOUT,
        )
        print(release, done.stdout, done.stderr, sep="\n")
        # Nothing but that some passed: none failed, and none was skipped.
        last = done.stdout.rstrip().splitlines()[-1]
        passed = re.fullmatch(r"=+ \d+ passed(, \d+ deselected)? in .* =+", last)
        assert passed, f"Linux {release}: {last}"
