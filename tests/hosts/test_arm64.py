"""What charms promise of arm64, on a machine of any kind.

`./run test -e hosts -- -k arm64`: qemu runs the programs, where they are not this machine's own.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from localmodel.hooktools.registry import list_tools
from tests.hosts.emulation import ARM64, arm64_programs, read_machine
from tests.hosts.stock import FOLDER, StockHost, stock_host
from tests.integration.roots import Release
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
