"""Every way in which the search's image comes to a machine, and how it goes again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import jubilant
import pytest

from tests.integration.steps import (
    check_active,
    deploy_search,
    inspect_container,
    list_subordinates,
    read_search_status,
    run_hook,
)
from tools.image import build_base, build_image
from tools.instance import Published, sudo

DROP_INS = "/etc/systemd/system/docker.service.d"
# An image that differs in nothing but its id.
VARIANT = """
set -eu
docker load --quiet --input /tmp/image.tar
printf 'FROM mlucas:latest\\nLABEL variant=1\\n' | docker build --quiet --tag variant:1 -
docker save --output /tmp/variant.tar variant:1
docker image rm variant:1 mlucas:latest
chmod 644 /tmp/variant.tar
"""
# On a machine that reaches these it would be mprime.
NO_GIMPS = """
for host in www.mersenne.org download.mersenne.ca; do
    for address in $(getent ahostsv4 "$host" | cut -d ' ' -f 1 | sort -u); do
        iptables --insert FORWARD --destination "$address" --jump REJECT
    done
done
"""
TINYPROXY = """
Port 8888
User tinyproxy
Group tinyproxy
PidFile "/run/tinyproxy/tinyproxy.pid"
Timeout 60
Syslog On
LogLevel Connect
BasicAuth me hush1234
"""


@pytest.fixture(scope="module")
def archive(registry: jubilant.Juju) -> Path:
    """The mlucas image as `docker save` wrote it."""
    return build_image("mlucas", "registry/0", registry.cli)


@pytest.fixture(scope="module")
def variant(
    registry: jubilant.Juju,
    published: Published,
    archive: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Published:
    """Another image in the same registry, under another name."""
    file = tmp_path_factory.mktemp("variant") / "variant.tar"
    registry.scp(archive, "registry/0:/tmp/image.tar")
    registry.exec(VARIANT, unit="registry/0")
    registry.scp("registry/0:/tmp/variant.tar", file)
    registry.cli("attach-resource", "registry", f"image={file}")
    registry.wait(jubilant.all_agents_idle, successes=1)
    results = registry.run("registry/0", "publish", {"name": "variant"}).results
    registry.cli("attach-resource", "registry", f"image={archive}")
    return replace(published, image=results["image"], tag_image=results["tag-image"])


@pytest.fixture
def login(registry: jubilant.Juju, variant: Published) -> Iterator[dict[str, str]]:
    """What the registry asks for in this test."""
    yield dict(registry.run("registry/0", "require-login").results)
    registry.run("registry/0", "allow-anyone")


@pytest.fixture(scope="module")
def search(
    shared_juju: jubilant.Juju, charms: dict[str, Path], published: Published
) -> jubilant.Juju:
    """A model in which the search runs an image that was named by its tag."""
    by_tag = replace(published, image=published.tag_image)
    deploy_search(shared_juju, charms, by_tag, published.authority)
    check_active(shared_juju)
    return shared_juju


def list_images(juju: jubilant.Juju) -> set[str]:
    """Every image that the machine's engine has, by id."""
    listed = sudo(juju, "docker image ls --quiet --no-trunc", machine=0)
    return set(listed.stdout.split())


def wait_for(juju: jubilant.Juju, wanted: str) -> str:
    """Wait until mprime/0 has this status, and return its message."""
    juju.wait(lambda status: read_search_status(status)[0] == wanted, successes=1)
    return read_search_status(juju.status())[1]


def deploy_apache(juju: jubilant.Juju, charms: dict[str, Path]) -> None:
    """Deploy what mprime is attached to."""
    juju.deploy(charms["apache2"])
    juju.wait(jubilant.all_active, successes=1)


def attach_search(juju: jubilant.Juju) -> None:
    """Attach mprime to apache2, and wait until there is nothing left to do."""
    juju.integrate("apache2:juju-info", "mprime:juju-info")
    juju.wait(lambda status: "mprime/0" in list_subordinates(status), successes=1)
    juju.wait(jubilant.all_agents_idle, successes=1)


def test_the_same_image_by_tag_and_by_digest_is_no_change(
    search: jubilant.Juju, published: Published
) -> None:
    before = inspect_container(search)
    search.config("mprime", {"image": published.image})
    wait_for(search, "active")
    assert inspect_container(search)["Id"] == before["Id"]
    assert list_images(search) == {before["Image"]}


def test_a_tag_without_a_digest_is_refused_where_one_is_required(
    search: jubilant.Juju, published: Published
) -> None:
    before = inspect_container(search)["Id"]
    search.config("mprime", {"image": published.tag_image, "require-digest": True})
    message = wait_for(search, "blocked")
    assert message.startswith(f"option image: {published.tag_image} ")
    assert message.endswith(f"give {published.image}")
    assert inspect_container(search)["State"]["Running"]
    search.config("mprime", {"image": published.image})
    wait_for(search, "active")
    assert inspect_container(search)["Id"] == before


def test_a_new_image_that_cannot_be_pulled_leaves_the_old_container_running(
    search: jubilant.Juju, published: Published
) -> None:
    before = inspect_container(search)
    search.config("mprime", {"image": published.tag_image + "-2", "require-digest": False})
    # The words of an engine with a store of its own, and of one with containerd's (Docker 29).
    assert re.search(r"-2: (manifest unknown|not found)", wait_for(search, "blocked"))
    after = inspect_container(search)
    assert after["State"]["Running"]
    assert (after["Id"], after["State"]["StartedAt"]) == (
        before["Id"],
        before["State"]["StartedAt"],
    )


def test_a_new_image_replaces_the_container_and_the_old_one_is_removed(
    search: jubilant.Juju, variant: Published
) -> None:
    before = inspect_container(search)
    search.config("mprime", {"image": variant.tag_image})
    wait_for(search, "active")
    after = inspect_container(search)
    assert after["Image"] != before["Image"]
    assert after["State"]["Running"]
    assert list_images(search) == {after["Image"]}


def test_an_image_that_has_a_name_of_others_stays(
    search: jubilant.Juju, published: Published
) -> None:
    old = inspect_container(search)["Image"]
    sudo(search, "docker", "tag", old, "theirs:1", machine=0)
    search.config("mprime", {"image": published.tag_image})
    wait_for(search, "active")
    assert list_images(search) == {old, inspect_container(search)["Image"]}
    names = sudo(search, "docker image ls --format '{{.Repository}}:{{.Tag}}'", machine=0)
    assert {n for n in names.stdout.split() if not n.startswith("mprime-charm/")} == {
        "theirs:1",
        published.tag_image,
    }
    search.remove_relation("apache2", "mprime")
    search.wait(lambda status: not list_subordinates(status), successes=1)
    assert list_images(search) == {old}


def test_an_attached_archive_is_run_where_no_registry_is_in_reach(
    juju: jubilant.Juju,
    charms: dict[str, Path],
    variant: Published,
    archive: Path,
    tmp_path: Path,
) -> None:
    deploy_apache(juju, charms)
    # The archive has a name that somebody uses here already.
    sudo(juju, "tar -c /etc/hostname | docker import - mlucas:latest", machine=0)
    theirs = list_images(juju)
    nowhere = {"image": "registry.invalid:5000/mlucas:1", "registry-ca": variant.authority}
    juju.deploy(charms["mprime"], config=nowhere, resources={"mprime-image": str(archive)})
    attach_search(juju)
    wait_for(juju, "active")
    before = inspect_container(juju)
    run_hook(juju, "update-status")
    assert inspect_container(juju)["Id"] == before["Id"]
    named = sudo(juju, "docker image inspect --format '{{.Id}}' mlucas:latest", machine=0)
    assert {named.stdout.strip()} == theirs
    assert list_images(juju) == theirs | {before["Image"]}

    damaged, empty = tmp_path / "damaged.tar", tmp_path / "empty.tar"
    damaged.write_bytes(archive.read_bytes()[:100_000])
    empty.touch()
    juju.cli("attach-resource", "mprime", f"mprime-image={damaged}")
    message = wait_for(juju, "blocked")
    assert message.startswith("resource mprime-image: ")
    assert "docker save" in message
    assert inspect_container(juju)["State"]["Running"]

    juju.config("mprime", {"image": variant.tag_image})
    juju.cli("attach-resource", "mprime", f"mprime-image={empty}")
    wait_for(juju, "active")
    after = inspect_container(juju)
    assert after["Image"] != before["Image"]
    assert list_images(juju) == theirs | {after["Image"]}


def test_a_registry_that_asks_for_a_login_gets_the_secret_and_nobody_else_does(
    juju: jubilant.Juju,
    registry: jubilant.Juju,
    charms: dict[str, Path],
    published: Published,
    variant: Published,
    login: dict[str, str],
    tmp_path: Path,
) -> None:
    deploy_search(juju, charms, published, published.authority)
    status, message = read_search_status(juju.status())
    assert status == "blocked"
    assert message.startswith(f"image {published.image}: ")
    assert "option registry-credentials" in message

    credentials = {key: login[key] for key in ("username", "password")}
    secret = juju.add_secret("login", credentials)
    juju.grant_secret("login", "mprime")
    juju.config("mprime", {"registry-credentials": str(secret)})
    wait_for(juju, "active")

    renewed = dict(registry.run("registry/0", "require-login").results)
    juju.config("mprime", {"image": variant.tag_image})
    assert "check user name and password" in wait_for(juju, "blocked")
    assert inspect_container(juju)["State"]["Running"]
    juju.update_secret("login", credentials | {"password": renewed["password"]})
    wait_for(juju, "active")

    passwords = (login["password"], renewed["password"])
    relations = juju.cli("show-unit", "mprime/0") + juju.cli("show-unit", "apache2/0")
    engine = sudo(juju, "docker inspect $(docker ps -aq) $(docker image ls -q)", machine=0).stdout
    journal = sudo(juju, "journalctl --no-pager --boot", machine=0).stdout
    # By a file: what a command has on its line, sudo keeps in an environment.
    (tmp_path / "passwords").write_text("\n".join(passwords))
    juju.scp(tmp_path / "passwords", "0:/tmp/passwords")
    kept = sudo(
        juju,
        "grep -rlF -f /tmp/passwords /etc /root /var/lib/mprime /var/lib/docker/image "
        "/var/lib/docker/containers /proc/[0-9]*/cmdline /proc/[0-9]*/environ 2>/dev/null || true",
        machine=0,
    ).stdout
    for password in passwords:
        for place in (relations, engine, journal, juju.debug_log(), juju.cli("status")):
            assert password not in place
    assert kept == ""


def test_an_image_out_of_reach_blocks_with_the_reason_and_heals_by_itself(
    juju: jubilant.Juju,
    registry: jubilant.Juju,
    charms: dict[str, Path],
    published: Published,
) -> None:
    registry.run("registry/0", "stop")
    try:
        deploy_search(juju, charms, published, published.authority)
        status, message = read_search_status(juju.status())
        assert status == "blocked"
        assert published.image in message
        assert "connection refused" in message
    finally:
        registry.run("registry/0", "start")
    run_hook(juju, "update-status")
    check_active(juju)
    assert inspect_container(juju)["State"]["Running"]


def test_a_registry_that_is_not_trusted_is_refused_until_its_authority_is_given(
    juju: jubilant.Juju, charms: dict[str, Path], published: Published
) -> None:
    deploy_search(juju, charms, published, "")
    status, message = read_search_status(juju.status())
    assert (status, "x509" in message) == ("blocked", True)
    juju.config("mprime", {"registry-ca": published.authority})
    wait_for(juju, "active")


def test_without_any_image_one_is_built_and_mlucas_stands_in_for_mprime(
    juju: jubilant.Juju, charms: dict[str, Path]
) -> None:
    deploy_apache(juju, charms)
    juju.scp(build_base(), "apache2/0:/tmp/base.tar")
    sudo(juju, "docker import /tmp/base.tar debian:trixie-slim", machine=0)
    theirs = list_images(juju)
    sudo(juju, NO_GIMPS, machine=0)
    juju.deploy(charms["mprime"])
    attach_search(juju)
    wait_for(juju, "active")
    before = inspect_container(juju)
    assert before["Config"]["Labels"]["mersenne.engine"] == "mlucas"
    assert "there is no image with mprime: a build step ended with code" in juju.debug_log()
    assert list_images(juju) == theirs | {before["Image"]}

    juju.refresh("mprime", path=charms["mprime"])
    run_hook(juju, "update-status")
    assert inspect_container(juju)["Id"] == before["Id"]

    juju.remove_relation("apache2", "mprime")
    juju.wait(lambda status: not list_subordinates(status), successes=1)
    assert list_images(juju) == theirs


def test_the_models_proxy_is_used_where_its_engine_may_be_restarted(
    juju: jubilant.Juju, charms: dict[str, Path], published: Published, archive: Path
) -> None:
    deploy_apache(juju, charms)
    juju.cli("add-machine")
    sudo(juju, "apt-get install -q -y --no-install-recommends tinyproxy", machine=1)
    sudo(juju, f"cat >/etc/tinyproxy/tinyproxy.conf <<'EOF'{TINYPROXY}EOF", machine=1)
    sudo(juju, "systemctl restart tinyproxy", machine=1)
    address = sudo(juju, "hostname -I", machine=1).stdout.split()[0]
    # A user name may be written like this, and systemd has a meaning of its own for the sign.
    proxy = f"http://%6De:hush1234@{address}:8888"
    juju.model_config({"juju-http-proxy": proxy, "juju-https-proxy": proxy})
    juju.scp(archive, "apache2/0:/tmp/image.tar")
    sudo(
        juju,
        "docker load --quiet --input /tmp/image.tar && "
        "docker run --detach --name theirs --entrypoint /bin/busybox mlucas sleep 3600",
        machine=0,
    )
    started = sudo(juju, "systemctl show --property=ActiveEnterTimestamp docker", machine=0).stdout
    nowhere = {"image": "registry.invalid:5000/mlucas:1", "registry-ca": published.authority}
    juju.deploy(charms["mprime"], config=nowhere)
    attach_search(juju)
    message = wait_for(juju, "blocked")
    assert "the Docker Engine does not use the proxies" in message
    now = sudo(juju, "systemctl show --property=ActiveEnterTimestamp docker", machine=0).stdout
    assert now == started

    sudo(juju, "docker rm --force theirs", machine=0)
    juju.config("mprime", {"image": published.image})
    wait_for(juju, "active")
    host = published.image.partition("/")[0]
    log = sudo(juju, "journalctl --no-pager -t tinyproxy", machine=1).stdout
    assert f"CONNECT {host} " in log
    assert (
        sudo(
            juju, "stat", "-c", "%a", f"{DROP_INS}/dockerhost-proxy.env", machine=0
        ).stdout.strip()
        == "600"
    )
    assert "hush1234" not in juju.debug_log()

    juju.remove_relation("apache2", "mprime")
    juju.wait(lambda status: not list_subordinates(status), successes=1)
    assert sudo(juju, f"ls -d {DROP_INS} || true", machine=0).stdout == ""


def test_a_search_runs_unprivileged_on_an_engine_that_maps_users(
    juju: jubilant.Juju, charms: dict[str, Path], published: Published
) -> None:
    deploy_apache(juju, charms)
    sudo(
        juju,
        "mkdir -p /etc/docker && "
        'echo \'{"userns-remap": "default"}\' >/etc/docker/daemon.json && '
        "systemctl restart docker",
        machine=0,
    )
    options = {"image": published.image, "registry-ca": published.authority}
    juju.deploy(charms["mprime"], config=options)
    attach_search(juju)
    wait_for(juju, "active")
    process = inspect_container(juju)["State"]["Pid"]
    status = sudo(juju, f"cat /proc/{process}/status", machine=0).stdout
    assert "\nUid:\t65532\t65532\t65532\t65532\n" in status
    assert "\nCapBnd:\t0000000000000000\n" in status
    assert "\nNoNewPrivs:\t1\n" in status
