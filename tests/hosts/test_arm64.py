"""What charms and images promise of arm64, on a machine of any kind.

`./run test -e hosts -- -k arm64`: qemu runs the programs, where they are not this machine's own.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import jubilant
import pytest
import yaml

from localmodel.hooktools.registry import list_tools
from tests.hosts.emulation import ARM64, arm64_programs, read_machine
from tests.hosts.stock import FOLDER, StockHost, stock_host
from tests.integration.roots import Release
from tools.image import build_image
from tools.instance import own_instance, sudo
from tools.pack import find_charms

# As Juju starts a charm, but for the hook tools, which are not there.
DISPATCH = """
set -eu
mkdir "/srv/$1"
cd "/srv/$1"
/usr/bin/python3 -m zipfile -e "$2" .
export JUJU_CHARM_DIR="$PWD" JUJU_UNIT_NAME="$1/0" JUJU_VERSION=3.6.1
export JUJU_MODEL_NAME=model JUJU_MODEL_UUID=00000000-0000-4000-8000-000000000000
export JUJU_DISPATCH_PATH=hooks/start JUJU_HOOK_NAME=start
! /bin/sh ./dispatch
"""

# As the charms start a container, in a work directory of its own.
OPTIONS = (
    "--platform linux/arm64 --read-only --network none --cap-drop ALL "
    "--security-opt no-new-privileges --volume /srv/work:/work"
)
EXPONENT, ITERATIONS = 110503, 1000
TRANSFORM = "6 msec/iter = 0.12 ROE[avg,max] = [0.25, 0.3125] radices = 6 16 32 0 0 0 0 0 0 0"
# An emulated processor takes half an hour for all of the test, and half a minute for this.
SEARCH = f"""
set -eu
mkdir /srv/work
cd /srv/work
echo 'Test=00000000000000000000000000000000,{EXPONENT},60,1' >worktodo.ini
echo 'CheckInterval = {ITERATIONS}' >mlucas.ini
printf '%s\\n' 20.1.1 '{TRANSFORM}' >mlucas.cfg
chown -R 65532:65532 .
docker run --detach --name search {OPTIONS} mlucas:latest
while ! grep -s 'Iter# = {ITERATIONS} ' p{EXPONENT}.stat; do
    test "$(docker inspect --format '{{{{.State.Running}}}}' search)" = true
    sleep 0.1
done
docker rm --force search
"""
DIGITS = f"""
set -eu
rm -rf /srv/work
install --directory --owner=65532 --group=65532 /srv/work
docker run --rm {OPTIONS} --env DIGITS=100000 golden-ratio:latest
docker run --rm {OPTIONS} golden-ratio:latest digits 1 10
"""


@pytest.fixture(scope="module", autouse=True)
def emulation() -> Iterator[None]:
    with arm64_programs():
        yield


@pytest.fixture
def host(tmp_path: Path) -> Iterator[StockHost]:
    with stock_host(Release("debian", "bookworm"), tmp_path, "arm64") as host:
        yield host


def test_what_is_packed_there_is_for_arm64_and_asks_juju_what_it_is_to_do(host: StockHost) -> None:
    host.run("./run", "pack")
    for name in find_charms():
        packed = f"{FOLDER}/dist/{name}.charm"
        with zipfile.ZipFile(host.root / packed.lstrip("/")) as archive:
            (base,) = yaml.safe_load(archive.read("manifest.yaml"))["bases"]
            libraries = [n for n in archive.namelist() if re.search(r"\.so(\.|$)", n)]
            machines = {read_machine(archive.read(n)) for n in libraries}
        assert (base["architectures"], machines) == (["arm64"], {ARM64}), name
        printed = host.run("/bin/sh", "-c", DISPATCH, "dispatch", name, packed)
        missing = re.fullmatch(
            r"FileNotFoundError: .* No such file or directory: '([a-z-]+)'",
            printed.splitlines()[-1],
        )
        assert missing, printed
        assert missing[1] in list_tools()


@pytest.fixture(scope="module")
def machine() -> Iterator[jubilant.Juju]:
    """A model with a machine in it, of this machine's own architecture."""
    with own_instance("localmodel-arm64"), jubilant.temp_model() as juju:
        juju.wait_timeout = 300
        juju.cli("add-machine")
        juju.wait(lambda status: status.machines["0"].juju_status.current == "started")
        yield juju


def test_the_image_mlucas_is_for_arm64_and_computes_right_there(machine: jubilant.Juju) -> None:
    assert load(machine, "mlucas") == "linux/arm64\n"
    residue = 4  # of the Lucas-Lehmer test
    for _ in range(ITERATIONS):
        residue = (residue * residue - 2) % (2**EXPONENT - 1)
    said = sudo(machine, SEARCH, machine=0).stdout
    assert f"Res64: {residue % 2**64:016X}." in said


def test_the_image_golden_ratio_is_for_arm64_and_its_digits_hold_there(
    machine: jubilant.Juju,
) -> None:
    assert load(machine, "golden-ratio") == "linux/arm64\n"
    said = sudo(machine, DIGITS, machine=0).stdout
    assert "100,000 digits, verified" in said
    assert said.endswith("\n6180339887\n")


def load(machine: jubilant.Juju, name: str) -> str:
    """Build an image for arm64, load it into the machine's engine, and return what it is for."""
    archive = build_image(name, "0", machine.cli, "arm64")
    machine.scp(archive, "0:/tmp/image.tar")
    sudo(machine, "docker load --quiet --input /tmp/image.tar", machine=0)
    form = "{{.Os}}/{{.Architecture}}"
    return sudo(machine, f"docker image inspect --format {form} {name}:latest", machine=0).stdout
