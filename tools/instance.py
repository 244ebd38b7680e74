"""A local model of one's own, for tests and benchmarks: beside any other, and gone in the end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import jubilant
from jubilant import Task

from tools import image, pack


@dataclass(frozen=True)
class Published:
    """An image in a registry: how to pull it, by digest and by tag, and whom to trust."""

    image: str
    tag_image: str
    authority: str


def localmodel(*words: str) -> str:
    """Run the command `localmodel` and return what it said.

    Raises:
        subprocess.CalledProcessError: it failed; its standard error says why.
    """
    command = [sys.executable, "-m", "localmodel", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stderr


def share_templates(home: Path) -> None:
    """Link the root file system of the user's own instance into a new instance."""
    templates = Path("/var/lib/localmodel/templates")
    templates.mkdir(parents=True, exist_ok=True)
    home.mkdir()
    (home / "templates").symlink_to(templates)


@contextmanager
def own_instance(name: str) -> Iterator[None]:
    """Put a fresh local model's `juju` on the PATH; remove the model in the end."""
    before = os.environ.copy()
    with tempfile.TemporaryDirectory() as folder:
        shim = Path(folder) / "juju"
        shim.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m localmodel.juju "$@"\n')
        shim.chmod(0o755)
        os.environ |= {
            "LOCALMODEL_NAME": name,
            "LOCALMODEL_CHARMS": str(pack.DIST),
            "PATH": f"{folder}:{os.environ['PATH']}",
        }
        try:
            # One that was killed may have left its own behind.
            localmodel("down", "--purge")
            share_templates(Path("/var/lib") / name)
            localmodel("up")
            yield
        finally:
            localmodel("down", "--purge")
            os.environ.clear()
            os.environ.update(before)


def sudo(juju: jubilant.Juju, *command: str, machine: int, wait: float | None = None) -> Task:
    """Run a program, or a script where it is one word, on a machine as root.

    Who logs in on a machine is the user ubuntu, on a controller's and on the local model's.

    Raises:
        jubilant.TaskError: it failed.
        TimeoutError: it took longer than `wait` seconds.
    """
    words = command if len(command) > 1 else ("/bin/bash", "-c", *command)
    return juju.exec("sudo", *words, machine=machine, wait=wait)


@contextmanager
def private_registry(charm: Path) -> Iterator[jubilant.Juju]:
    """A model with a registry in it, `registry/0`, for as long as the block runs."""
    with jubilant.temp_model() as juju:
        juju.wait_timeout = 600
        juju.deploy(charm)
        juju.wait(jubilant.all_active, successes=1)
        yield juju


def publish(registry: jubilant.Juju, name: str) -> Published:
    """Build an image of `images/` and push it to a registry."""
    archive = image.build_image(name, "registry/0", registry.cli)
    registry.cli("attach-resource", "registry", f"image={archive}")
    registry.wait(jubilant.all_agents_idle, successes=1)
    results = registry.run("registry/0", "publish", {"name": name}).results
    return Published(results["image"], results["tag-image"], results["ca"])
