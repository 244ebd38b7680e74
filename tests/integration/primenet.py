"""PrimeNet's stand-in on a machine's own Docker network, and programs' that talk to it."""

from __future__ import annotations

import base64
import io
import shlex
import tarfile
from pathlib import Path
from urllib.parse import parse_qsl

import jubilant

from tests.integration.steps import read_search_status, run_hook
from tools.instance import Published, sudo
from tools.pack import ROOT

NETWORK = "gimps"


def build_stand_in(
    juju: jubilant.Juju, published: Published, tag: str, context: Path, *others: Path
) -> None:
    """Build an image on machine 0, upon the one with Mlucas, for the shell in that.

    Args:
        context: the folder with its Dockerfile.
        others: folders with more files for it; their Dockerfiles are left out.
    """
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for file in context.iterdir():
            tar.add(file, file.name)
        for file in (file for folder in others for file in folder.iterdir()):
            if file.name != "Dockerfile":
                tar.add(file, file.name)
    trust = f"/etc/docker/certs.d/{published.image.split('/')[0]}"
    content = base64.b64encode(archive.getvalue()).decode()
    authority = base64.b64encode(published.authority.encode()).decode()
    sudo(
        juju,
        f"mkdir -p {trust} && echo {authority} | base64 -d > {trust}/ca.crt && "
        f"docker pull --quiet {published.image} && echo {content} | base64 -d | "
        f"DOCKER_BUILDKIT=0 docker build --quiet --build-arg BASE={published.image} "
        f"--tag {tag} - && rm -r {trust}",
        machine=0,
    )


def place_server(juju: jubilant.Juju) -> None:
    """Put what PrimeNet's stand-in needs on machine 0, and make its network."""
    program = (ROOT / "tests/images/fake-primenet/index.cgi").read_bytes()
    sudo(
        juju,
        f"docker network create {NETWORK} && "
        "mkdir -p /www/cgi-bin /www/v5server /primenet && touch /primenet/requests && "
        f"echo {base64.b64encode(program).decode()} | base64 -d >/www/cgi-bin/index.cgi && "
        "chmod +x /www/cgi-bin/index.cgi",
        machine=0,
    )


def start_server(juju: jubilant.Juju, image: str) -> None:
    """Bring PrimeNet into reach; the image is one with busybox."""
    sudo(
        juju,
        f"docker run --detach --name primenet --network {NETWORK} "
        "--network-alias v5.mersenne.org --volume /www:/www --volume /primenet:/primenet "
        f"--user 0 --entrypoint /bin/busybox {image} httpd -f -p 80 -h /www",
        machine=0,
    )


def stop_server(juju: jubilant.Juju) -> None:
    """Take PrimeNet out of reach; what it knows is kept."""
    sudo(juju, "docker rm --force primenet", machine=0)


def offer(juju: jubilant.Juju, *lines: str) -> None:
    """Have PrimeNet hand out this work, and nothing else."""
    sudo(juju, f"printf '%s\\n' {shlex.join(lines)} >/primenet/queue", machine=0)


def read_requests(juju: jubilant.Juju) -> list[dict[str, str]]:
    """Return what PrimeNet was asked, in order."""
    said = sudo(juju, "cat /primenet/requests", machine=0).stdout
    return [dict(parse_qsl(line, keep_blank_values=True)) for line in said.splitlines()]


def wait_for_reports(juju: jubilant.Juju, *results: dict[str, str]) -> None:
    """Wait until PrimeNet has been told these results, with the keys of its assignments."""

    def are_there(_: jubilant.Status) -> bool:
        asked = read_requests(juju)
        keys = {each["k"] for each in asked if each["t"] == "ap"}
        told = [each for each in asked if each["t"] == "ar" and each["k"] in keys]
        return all(any(want.items() <= each.items() for each in told) for want in results)

    juju.wait(are_there, successes=1)


def wait_for_message(juju: jubilant.Juju, *words: str) -> None:
    """Wait until a hook says all these words."""

    def says(_: jubilant.Status) -> bool:
        run_hook(juju, "update-status")
        return all(each in read_search_status(juju.status())[1] for each in words)

    juju.wait(says, successes=1)
