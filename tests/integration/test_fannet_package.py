"""fannet's Debian package, on the releases that users have, and its wheel."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

import fannet
from lib.fannet.tests.integration.lab import Host, Lab, ping
from tests.integration.reader import is_like
from tests.integration.roots import Release, build_minimal_root
from tests.pages import Block, take
from tools import debian, pack

# What the package depends on or recommends, so that apt has nothing to download, and what shows
# manual pages. Ubuntu's own fan is there where it exists.
PACKAGES = ("dnsmasq-base", "iproute2", "iputils-ping", "man-db", "nftables", "python3")
DEBIAN = Release("debian", "bookworm")
UBUNTU = [Release("ubuntu", "jammy"), Release("ubuntu", "noble")]
# What an operator made of the file that ubuntu-fan's postinst writes.
FANFILE = """\
# local          overlay       options
192.168.0.0/16   250.0.0.0/8
172.30.0.0/16    251.0.0.0/8   --enable
"""
# How apt is called where nobody answers it.
APT = "apt-get -q -y --no-install-recommends"
# In mount and process namespaces of its own, which end with the program.
ENTER = """\
set -e
mount --bind "$1" "$1"
cd "$1"
mount -t proc proc proc
mount -t sysfs sysfs sys
mount --rbind /dev dev
exec chroot . /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin LC_ALL=C.UTF-8 \
    DEBIAN_FRONTEND=noninteractive sh -c "$2"
"""
# What ifupdown tells the scripts in /etc/network/if-up.d, see interfaces(5).
IFUP = "IFACE=eth0 ADDRFAM=inet METHOD=static MODE=start PHASE=post-up"


@dataclass
class System:
    """A release's root file system, on a host of the lab."""

    root: Path
    host: Host

    def run(self, script: str) -> str:
        """Run a shell script as root, and return what it prints; a failure fails the test."""
        namespaces = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
        enter = ("sh", "-c", f"exec 2>&1; {ENTER}", "enter", str(self.root), f"set -e; {script}")
        done = subprocess.run(
            ["/usr/sbin/ip", "netns", "exec", self.host.name, *namespaces, *enter],
            check=False,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, f"{script}: {done.stdout}{done.stderr}"
        return done.stdout

    def install(self, deb: Path) -> str:
        self.copy(deb)
        return self.run(f"{APT} install /tmp/{deb.name}")

    def copy(self, deb: Path) -> None:
        (self.root / "tmp" / deb.name).write_bytes(deb.read_bytes())

    def read(self, block: Block) -> None:
        """Type what a page shows, with the package in /tmp, and compare what it prints."""
        for command, shown in block.commands:
            typed = re.sub("^apt ", f"{APT} ", command).replace("./dist/", "/tmp/")
            printed = self.run(typed)
            assert is_like(printed, shown), f"{block}: {command}\n{printed}"


@pytest.fixture(scope="module")
def built() -> list[Path]:
    """The Debian package and the wheel."""
    return debian.build()


@pytest.fixture
def lab() -> Iterator[Lab]:
    with ExitStack() as stack:
        yield Lab(stack)


@pytest.fixture
def system(request: pytest.FixtureRequest, lab: Lab, tmp_path: Path) -> System:
    """A system of its own for a test, of the release that the test names."""
    release: Release = request.param
    more = ("ubuntu-fan",) if release.distribution == "ubuntu" else ()
    root = tmp_path / release.name
    base = build_minimal_root(release, *PACKAGES, *more)
    subprocess.run(["/usr/bin/cp", "--archive", base, root], check=True)
    return System(root, lab.host("172.30.0.28/16"))


def make_newer(deb: Path, folder: Path) -> Path:
    """Return the same package with a higher version."""
    tree, newer = folder / "tree", folder / "newer.deb"
    subprocess.run(["/usr/bin/dpkg-deb", "--raw-extract", deb, tree], check=True)
    control = tree / "DEBIAN" / "control"
    now = f"Version: {fannet.__version__}\n"
    assert now in control.read_text()
    control.write_text(control.read_text().replace(now, f"Version: {fannet.__version__}+1\n"))
    build = ["/usr/bin/dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, newer]
    subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
    return newer


@pytest.mark.parametrize("system", [DEBIAN, *UBUNTU], ids=lambda r: r.name, indirect=True)
def test_a_fan_outlives_the_packages_upgrade_and_removal(
    system: System, lab: Lab, built: list[Path], tmp_path: Path
) -> None:
    other = lab.host("172.30.0.27/16")
    other.up()
    install, remove = take("docs/reference/fanctl.md", __file__, "Install it")
    system.copy(built[0])
    system.read(install)
    system.run("fanctl down -e")
    assert system.run("fanctl --version") == f"fanctl {fannet.__version__}\n"
    assert system.run("command -v fanctl") == "/usr/sbin/fanctl\n"
    assert system.run("fanctl boot status") == "enabled\n"
    assert "complete -F" in system.run(
        "bash -c 'source /usr/share/bash-completion/completions/fanctl; complete -p fanctl'"
    )
    for page in ("8 fanctl", "5 fan"):
        assert "SEE ALSO" in system.run(f"man --warnings {page} 2>&1 | tee /tmp/page")
        assert "warning" not in (system.root / "tmp" / "page").read_text()

    system.run("mkdir -p /etc/network; echo 250.0.0.0/8 eth0/16 >/etc/network/fan")
    assert "attach the programs to fan-vx8472" in system.run("fanctl up -a")
    assert "fan-250          250.0.0.0/8          172.30.0.28/16" in system.run("fanctl show")
    container = lab.container(system.host, "250.0.28.5/8")
    assert system.run("fanctl up -a") == ""
    ping(container, "250.0.27.1")
    assert "answers from 250.0.27.1" in system.run("fanctl check 172.30.0.27")

    system.run("fanctl boot disable")
    running = system.host.snapshot()
    system.install(make_newer(built[0], tmp_path))
    assert f"{fannet.__version__}+1" in system.run("dpkg-query --show fannet")
    assert system.run("fanctl boot status") == "disabled\n"
    assert "250.0.0.0/8" in (system.root / "etc/network/fan").read_text()
    assert system.host.snapshot() == running

    system.read(remove)
    system.run(f"{APT} purge fannet")
    assert system.host.snapshot() == running
    ping(container, "250.0.27.1")
    left = system.run(
        "find / -xdev -path /run -prune -o -path /tmp -prune"
        " -o -path /var/cache -prune -o -path /var/log -prune"
        " -o -name '*fannet*' -print -o -name '*fanctl*' -print -o -path /etc/network/fan -print"
    )
    assert not left, left


@pytest.mark.parametrize(
    ("system", "page", "section"),
    [
        (UBUNTU[0], "docs/reference/fanctl.md", "In place of ubuntu-fan"),
        (UBUNTU[1], "docs/how-to/move-from-ubuntu-fan.md", ""),
    ],
    ids=[release.name for release in UBUNTU],
    indirect=["system"],
)
def test_the_package_takes_over_from_ubuntus_with_the_operators_file(
    system: System, page: str, section: str, lab: Lab, built: list[Path]
) -> None:
    other = lab.host("172.30.0.27/16")
    other.up(other.fan("251.0.0.0/8"))
    assert "ubuntu-fan" in system.run("dpkg --search /usr/sbin/fanctl")
    assert FANFILE in (pack.ROOT / page).read_text()
    file = system.root / "etc/network/fan"
    file.write_text(FANFILE)
    system.copy(built[0])
    for block in take(page, __file__, section):
        system.read(block)
    assert system.run("dpkg --search /usr/sbin/fanctl") == "fannet: /usr/sbin/fanctl\n"
    state = system.run("dpkg-query --show -f '${db:Status-Status}' ubuntu-fan")
    assert state == "config-files"
    assert file.read_text() == FANFILE
    assert system.run("fanctl show").count("\n") == 2
    ping(system.host, "251.0.27.1")
    # What stays of ubuntu-fan until it is purged calls fanctl whenever a device comes up.
    assert system.run(f"{IFUP} /etc/network/if-up.d/ubuntu-fan") == ""
    system.run("fanctl down -a")


def test_the_package_is_without_faults_for_lintian(built: list[Path]) -> None:
    command = ["/usr/bin/lintian", "--allow-root", "--fail-on", "error,warning", built[0]]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    # Ubuntu 22.04's tells, in a note, what is overridden.
    assert not [line for line in done.stdout.splitlines() if not line.startswith("N: ")]


def test_the_same_sources_make_the_same_bytes_in_any_folder(
    built: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pack, "DIST", tmp_path / "dist")
    monkeypatch.setattr(pack, "WORK", tmp_path / "work")
    again = debian.build()
    assert [file.name for file in again] == [file.name for file in built]
    assert [file.read_bytes() for file in again] == [file.read_bytes() for file in built]


def test_the_wheel_has_the_program_and_what_the_kernel_loads(
    built: list[Path], tmp_path: Path
) -> None:
    with zipfile.ZipFile(built[1]) as archive:
        archive.extractall(tmp_path)
    assert (tmp_path / "fannet" / "bpf" / "fan.bpf.o").read_bytes().startswith(b"\x7fELF")
    done = subprocess.run(
        [sys.executable, "-m", "fannet", "--version"],
        check=True,
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.stdout == f"fanctl {fannet.__version__}\n"
