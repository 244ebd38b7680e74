"""The mprime charm beside a real apache2, with a real engine, registry and search."""

from __future__ import annotations

import json
from pathlib import Path

import jubilant
import pytest

from tests.integration.steps import (
    deploy_search,
    inspect_container,
    list_subordinates,
    read_base,
    read_search_status,
    run_hook,
)
from tools.instance import Published, sudo
from tools.pack import ROOT

WORK = "/var/lib/mprime/mprime-0"


def is_running(juju: jubilant.Juju) -> bool:
    return inspect_container(juju)["State"]["Running"]


@pytest.fixture(scope="module")
def search(
    shared_juju: jubilant.Juju, charms: dict[str, Path], published: Published
) -> jubilant.Juju:
    """A model in which the search runs, for the tests that leave it running."""
    deploy_search(shared_juju, charms, published, published.authority)
    shared_juju.wait(lambda status: read_search_status(status)[0] == "active", successes=1)
    return shared_juju


def test_the_bundle_with_its_overlay_deploys_and_the_search_finds_a_prime(
    juju: jubilant.Juju, charms: dict[str, Path], published: Published, tmp_path: Path
) -> None:
    options = tmp_path / "options.yaml"
    (tmp_path / "ca.pem").write_text(published.authority)
    options.write_text(
        f"default-base: {read_base(charms['mprime'])}\n"
        "applications:\n  mprime:\n    options:\n"
        f"      image: {published.tag_image}\n      registry-ca: include-file://ca.pem\n"
    )
    bundle = ROOT / "bundles" / "prime-time.yaml"
    juju.deploy(bundle, overlays=[ROOT / "bundles" / "prime-time-local.yaml", options])
    juju.wait(lambda status: "mprime/0" in list_subordinates(status), successes=1)
    juju.wait(jubilant.all_active, successes=1)
    page = sudo(juju, "curl", "-fsS", "http://localhost/", machine=0).stdout
    assert "searches for primes" in page

    def found_one(_: jubilant.Status) -> bool:
        return bool(json.loads(juju.run("mprime/0", "results").results["json"])["primes"])

    juju.wait(found_one, successes=1)
    results = json.loads(juju.run("mprime/0", "results").results["json"])
    assert results["primes"] == [110503]
    run_hook(juju, "update-status")
    status = juju.status()
    assert read_search_status(status)[1].startswith("M110503 is prime")
    assert status.apps["mprime"].version == "mlucas 20.1.1"


def test_the_container_has_no_rights_beyond_its_work_directory(search: jubilant.Juju) -> None:
    found = inspect_container(search)
    host = found["HostConfig"]
    assert found["Config"]["User"] == "65532:65532"
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["NetworkMode"] == "none"
    assert "no-new-privileges" in " ".join(host["SecurityOpt"])
    assert 0 < host["Memory"] <= 256 * 1024 * 1024
    assert host["PidsLimit"] == 64
    assert host["OomScoreAdj"] == 1000
    assert [(m["Source"], m["Destination"]) for m in found["Mounts"]] == [(WORK, "/work")]
    mode = sudo(search, "stat", "-c", "%a %u", WORK, machine=0).stdout.split()
    assert mode == ["700", "65532"]


def test_hooks_that_have_nothing_to_change_leave_the_container_alone(
    search: jubilant.Juju, charms: dict[str, Path]
) -> None:
    before = inspect_container(search)
    run_hook(search, "update-status")
    search.refresh("mprime", path=charms["mprime"])
    after = inspect_container(search)
    assert (after["Id"], after["State"]["StartedAt"]) == (
        before["Id"],
        before["State"]["StartedAt"],
    )


def test_wrong_options_block_by_name_while_the_search_goes_on(
    search: jubilant.Juju, published: Published
) -> None:
    before = inspect_container(search)["Id"]
    search.config("mprime", {"image": "Not An Image", "registry-ca": "no certificate"})
    search.wait(lambda status: read_search_status(status)[0] == "blocked", successes=1)
    message = read_search_status(search.status())[1]
    assert "option image" in message
    assert "option registry-ca" in message
    assert inspect_container(search)["Id"] == before
    assert is_running(search)
    search.config("mprime", {"image": published.image, "registry-ca": published.authority})
    search.wait(lambda status: read_search_status(status)[0] == "active", successes=1)
    assert inspect_container(search)["Id"] == before


def test_removal_takes_the_container_and_the_trust_away_and_keeps_the_work(
    search: jubilant.Juju,
) -> None:
    search.remove_relation("apache2", "mprime")
    search.wait(lambda status: not list_subordinates(status), successes=1)
    assert not sudo(search, "docker", "ps", "-aq", machine=0).stdout.strip()
    assert "worktodo.ini" in sudo(search, "ls", WORK, machine=0).stdout.split()
    left = sudo(search, "find /etc/docker/certs.d -type f 2>/dev/null || true", machine=0)
    assert not left.stdout.strip()
    assert jubilant.all_active(search.status(), "apache2")


def test_the_engine_is_installed_where_there_is_none(
    juju: jubilant.Juju, charms: dict[str, Path], published: Published
) -> None:
    juju.deploy(charms["apache2"])
    juju.wait(jubilant.all_active, successes=1)
    sudo(juju, "apt-get purge -q -y docker.io containerd runc", machine=0)
    juju.deploy(
        charms["mprime"], config={"image": published.image, "registry-ca": published.authority}
    )
    juju.integrate("apache2", "mprime")
    juju.wait(jubilant.all_active, successes=1)
    assert is_running(juju)
