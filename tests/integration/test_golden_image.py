"""The image golden-ratio on a machine with an engine: without rights, within a memory limit."""

from __future__ import annotations

import json

import jubilant
import pytest

from tools.image import build_image
from tools.instance import sudo

NO_RIGHTS = "--read-only --network none --cap-drop ALL --security-opt no-new-privileges"
WORK = "/var/tmp/golden"


@pytest.fixture(scope="module")
def image(registry: jubilant.Juju) -> str:
    """The image's name on machine 0."""
    archive = build_image("golden-ratio", "registry/0", registry.cli)
    registry.scp(archive, "registry/0:/tmp/golden.tar")
    sudo(registry, "docker load --quiet --input /tmp/golden.tar", machine=0)
    return "golden-ratio:latest"


def run(
    juju: jubilant.Juju, image: str, words: str = "", *, options: str = "", user: int = 65532
) -> jubilant.Task:
    """Run a container in a work directory of its user."""
    sudo(juju, f"mkdir -p {WORK} && chown -R {user}:{user} {WORK}", machine=0)
    options = f"{NO_RIGHTS} --user {user}:{user} --volume {WORK}:/work {options}"
    return sudo(juju, f"docker run --rm {options} {image} {words}", machine=0)


def test_any_user_computes_digits_without_rights_or_any_other_place_to_write_to(
    registry: jubilant.Juju, image: str
) -> None:
    for user in (65532, 4711):
        said = run(registry, image, options="--env DIGITS=100000", user=user).stdout
        assert "100,000 digits, verified" in said
    state = json.loads(sudo(registry, f"cat {WORK}/state.json", machine=0).stdout)
    assert (state["phase"], state["digits"], state["verified"]) == ("done", 100_000, True)
    assert run(registry, image, "digits 1 10").stdout == "6180339887\n"
    assert run(registry, image, "verify").stdout == "100,000 digits, verified\n"


def test_a_container_is_told_how_many_digits_its_memory_is_enough_for(
    registry: jubilant.Juju, image: str
) -> None:
    with pytest.raises(jubilant.TaskError, match=r"need more than the 104 MB .*; [\d,]+ fit"):
        run(registry, image, options="--memory 100m --env DIGITS=100000000")


def test_a_container_that_is_stopped_ends_at_once_and_goes_on_when_it_is_started(
    registry: jubilant.Juju, image: str
) -> None:
    options = f"{NO_RIGHTS} --volume {WORK}:/work --env DIGITS=100000000"
    script = f"""
        rm -rf {WORK} && mkdir {WORK} && chown 65532:65532 {WORK}
        docker run --detach --name golden {options} {image}
        while ! docker logs golden | grep -q saved; do sleep 0.1; done
        docker stop --time 60 golden
        docker logs golden
        docker inspect --format '{{{{.State.ExitCode}}}}' golden
    """
    said = sudo(registry, script, machine=0).stdout
    assert said.endswith("stopped: the next run goes on where this one was\n143\n")
    script = """
        docker start golden
        while ! docker logs golden | grep -q 'going on'; do sleep 0.1; done
        docker rm --force golden
    """
    sudo(registry, script, machine=0, wait=60)
