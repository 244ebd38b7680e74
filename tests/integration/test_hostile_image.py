"""A hostile image on a real machine: its container does what it can to its unit, and fails.

The image is given as an archive that would take over the names of other images. Its program fills
its log and its work directory with what a careless reader chokes on, and labels of the unit are on
containers of others.
"""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import jubilant
import pytest

from tests.integration.steps import (
    inspect_container,
    list_subordinates,
    read_search_status,
    run_hook,
)
from tools.image import build_image
from tools.instance import sudo

WORK = "/var/lib/mprime/mprime-0"
PROGRAM = r"""#!/bin/busybox sh
b=/bin/busybox
cd /work
# Primes, more than a status can name, with what no argument can hold and no terminal should see.
$b seq 3 20003 | $b sed 's/.*/{"exponent":&,"status":"P","worktype":"LL"}/' >results.txt
printf '%s\n' '{"exponent":110527,"status":"C","worktype":"LL","res64":"\u0000\ud800\u001b[2J"}' \
    >>results.txt
# 16 MiB of lines that are none.
$b yes x | $b head -c 16777216 >results.old
$b cat results.old results.txt >results.new && $b mv results.new results.txt
# Thousands of names of one file.
$b seq 1 20000 | $b sed 's/.*/M& is a known MERSENNE PRIME./' >p3.stat
$b seq 5 4004 | while read p; do $b ln p3.stat p$p.stat; done
# Folders, deeper than a program can call itself.
i=0; while [ $i -lt 1200 ]; do $b mkdir d && cd d || exit 1; i=$((i+1)); done; cd /work
$b mkfifo mlucas.ini.pipe p7.pipe
$b ln -s /etc/shadow p11.stat.link
$b touch "$(printf 'name\033[2J\377')" done
printf 'error \033[2J\033]0;title\007\000\377\n'
line=test; i=0; while [ $i -lt 12 ]; do line="$line $line"; i=$((i+1)); done
i=0; while [ $i -lt 50 ]; do echo "$line"; i=$((i+1)); done
exec $b sleep 100000
"""
DOCKERFILE = r"""
FROM mlucas:latest
LABEL mersenne.engine.version="20{ugly}"
COPY program /program
ENTRYPOINT ["/bin/busybox", "sh", "/program"]
"""
# On the machine: the image, one with a volume, and containers of others with labels of units.
PREPARE = """
set -eu
docker load --quiet --input /tmp/image.tar
tar -c /etc/hostname | docker import - debian:trixie-slim
cd /tmp/hostile
docker build --quiet --tag hostile:1 .
printf 'FROM hostile:1\\nVOLUME /data\\n' | docker build --quiet --tag hostile:2 -
docker save --output /tmp/hostile.tar hostile:1
docker save --output /tmp/volume.tar hostile:2
docker image rm hostile:1 hostile:2
chmod 644 /tmp/*.tar
for unit in 0 9; do
    docker run --detach --name decoy-$unit --label mprime.unit=mprime/$unit \
        --label dockerhost.spec=copied --entrypoint /bin/busybox mlucas:latest sleep 100000
done
"""


def check(text: str, most: int = 500) -> None:
    """Check that a text is short, and that a terminal shows it and does nothing else."""
    assert all(line.isprintable() for line in text.split("\n")), ascii(text[:200])
    assert len(text) <= most


def forge(archive: Path) -> None:
    """Add to an archive what some engines take for the names of its image."""
    with tarfile.open(archive) as tar:
        content: Any = tar.extractfile("manifest.json")
        (manifest,) = json.load(content)
    forged = {
        "./manifest.json": [{**manifest, "RepoTags": ["debian:trixie-slim"]}],
        "repositories": {"debian": {"trixie-slim": "0" * 64}},
    }
    with tarfile.open(archive, "a") as tar:
        for name, value in forged.items():
            data = json.dumps(value).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))


def list_names(juju: jubilant.Juju) -> dict[str, str]:
    """The images' names that the charm did not give, and their ids."""
    shown = "docker image ls --no-trunc --format '{{.Repository}}:{{.Tag}} {{.ID}}'"
    listed = [line.split() for line in sudo(juju, shown, machine=0).stdout.splitlines()]
    return {name: image for name, image in listed if not name.startswith(("mprime-charm", "<"))}


def list_containers(juju: jubilant.Juju) -> set[str]:
    return set(sudo(juju, "docker ps --format '{{.Names}}'", machine=0).stdout.split())


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory, machine: jubilant.Juju) -> list[Path]:
    """Archives of the hostile image, and of one that has a volume; the machine is prepared."""
    folder = tmp_path_factory.mktemp("hostile")
    sudo(machine, "mkdir -m 777 /tmp/hostile", machine=0)
    for name, text in (
        ("program", PROGRAM),
        ("Dockerfile", DOCKERFILE.replace("{ugly}", "\x1b[2J\u202e")),
    ):
        (folder / name).write_text(text)
        machine.scp(folder / name, f"apache2/0:/tmp/hostile/{name}")
    machine.scp(build_image("mlucas", "apache2/0", machine.cli), "apache2/0:/tmp/image.tar")
    sudo(machine, PREPARE, machine=0)
    archives = [folder / "hostile.tar", folder / "volume.tar"]
    for archive in archives:
        machine.scp(f"apache2/0:/tmp/{archive.name}", archive)
    forge(archives[0])
    return archives


@pytest.fixture(scope="module")
def machine(shared_juju: jubilant.Juju, charms: dict[str, Path]) -> jubilant.Juju:
    """A model with a principal on a machine with an engine."""
    shared_juju.deploy(charms["apache2"])
    shared_juju.wait(jubilant.all_active, successes=1)
    return shared_juju


def test_a_hostile_image_harms_neither_its_unit_nor_what_is_beside_it(
    machine: jubilant.Juju, charms: dict[str, Path], hostile: list[Path]
) -> None:
    archive, with_volume = hostile
    names, decoys = list_names(machine), {"decoy-0", "decoy-9"}
    machine.deploy(charms["mprime"], resources={"mprime-image": str(archive)})
    machine.integrate("apache2", "mprime")
    machine.wait(lambda status: "mprime/0" in list_subordinates(status), successes=1)
    machine.wait(jubilant.all_agents_idle, successes=1)

    def has_done_its_worst(_: jubilant.Status) -> bool:
        return "done" in sudo(machine, "ls", "-b", WORK, machine=0).stdout.split()

    machine.wait(has_done_its_worst, successes=1)
    run_hook(machine, "update-status")
    status, message = read_search_status(machine.status())
    assert status == "active", message
    assert "and 19994 more are prime" in message
    check(message)
    check(machine.status().apps["mprime"].version)
    for words in ("status", "show-unit mprime/0"):
        assert "\x1b" not in machine.cli(*words.split())
    assert list_names(machine) == names
    assert list_containers(machine) == decoys | {"mprime-0"}

    for action, params in (("progress", {}), ("results", {}), ("logs", {"lines": 1000})):
        for value in machine.run("mprime/0", action, params).results.values():
            check(str(value), most=100_000)
    assert machine.run("mprime/0", "results").results["not-listed"] == "18999"

    # A copy of the search's container, with all its labels.
    sudo(
        machine,
        "docker commit mprime-0 copy:1 && "
        "docker run --detach --name copy --entrypoint /bin/busybox copy:1 sleep 100000",
        machine=0,
    )
    before = inspect_container(machine)["Id"]
    machine.cli("attach-resource", "mprime", f"mprime-image={with_volume}")
    machine.wait(jubilant.all_agents_idle, successes=1)
    status, message = read_search_status(machine.status())
    assert (status, "VOLUME /data" in message) == ("blocked", True)
    assert inspect_container(machine)["Id"] == before
    assert list_containers(machine) == decoys | {"mprime-0", "copy"}

    machine.config("mprime", {"remove-work": True})
    machine.remove_relation("apache2", "mprime")
    machine.wait(lambda status: not list_subordinates(status), successes=1)
    assert list_containers(machine) == decoys | {"copy"}
    assert sudo(machine, f"ls -d {WORK} 2>/dev/null || true", machine=0).stdout == ""
    assert jubilant.all_active(machine.status(), "apache2")
