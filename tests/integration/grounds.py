"""Where the search runs that tests look at: on a model's machine, or in a qemu guest.

The guest has what users have and this host may not: cgroup v2, the engine's systemd driver, the
distribution's own kernel. A model's machines would be far too slow under emulation, so the guest
itself is the machine: the packed charm lies where Juju puts it, and its own `dispatch` runs, with
hook tools that answer from files. So all that the charm does to the machine is real.
"""

from __future__ import annotations

import json
import shlex
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jubilant
import yaml

from localmodel.hooktools import list_tools
from tests.integration.steps import (
    list_subordinates,
    read_search_status,
    reboot_machine,
    reset_options,
    run_hook,
)
from tools.guest import Guest, boot, build_disk
from tools.instance import sudo

# What a charm finds on a machine: an engine, a principal; and what unpacks the charm.
PACKAGES = ("apache2", "apparmor", "docker.io", "python3", "unzip")
CHARM = "/var/lib/juju/agents/unit-mprime-0/charm"
JUJU = "/var/lib/juju/tests"  # hook tools, their answers, what they were told, the image
HOOK_TOOL = f"""\
#!/bin/sh
case ${{0##*/}} in
    config-get) exec cat {JUJU}/config ;;
    is-leader) echo true ;;
    relation-ids) echo '[]' ;;
    resource-get) echo {JUJU}/image.tar ;;
    status-set) printf '%s\\n' "$@" >{JUJU}/status ;;
esac
"""

# An option's value; None stands for its default.
Options = Mapping[str, str | float | None]


class Ground(ABC):
    """A machine with apache2, and the search of mprime/0 beside it."""

    @abstractmethod
    def exec(self, *words: str) -> str:
        """Run a program on the machine as root and return what it printed."""

    @abstractmethod
    def set_options(self, options: Options) -> None:
        """Set options of mprime, and wait until the unit has seen them."""

    @abstractmethod
    def hook(self, name: str) -> None:
        """Run a hook of mprime/0 now."""

    @abstractmethod
    def status(self) -> tuple[str, str]:
        """The status of mprime/0 and its message."""

    @abstractmethod
    def reboot(self) -> None:
        """Reboot the machine, and wait until mprime/0 has started."""

    @abstractmethod
    def remove(self) -> None:
        """Remove mprime/0."""

    def sh(self, script: str) -> str:
        return self.exec("/bin/sh", "-c", script)

    def inspect(self) -> dict[str, Any]:
        """What the machine's engine says of the search's container."""
        return json.loads(self.exec("/usr/bin/docker", "inspect", "mprime-0"))[0]

    def configure(self, options: Options, expected: str = "active") -> str:
        """Set options of mprime, check the status it has then, and return its message."""
        self.set_options(options)
        status, message = self.status()
        assert status == expected, message
        return message


class ModelGround(Ground):
    """Machine 0 of a model in which mprime is attached to apache2."""

    def __init__(self, juju: jubilant.Juju):
        self._juju = juju

    def exec(self, *words: str) -> str:
        return sudo(self._juju, shlex.join(words), machine=0).stdout

    def set_options(self, options: Options) -> None:
        values = {name: value for name, value in options.items() if value is not None}
        others = [name for name in options if name not in values]
        if values:
            self._juju.config("mprime", values, reset=others)
        else:
            reset_options(self._juju, "mprime/0", options=others)
        self._juju.wait(jubilant.all_agents_idle, successes=1)

    def hook(self, name: str) -> None:
        run_hook(self._juju, name)

    def status(self) -> tuple[str, str]:
        return read_search_status(self._juju.status())

    def reboot(self) -> None:
        reboot_machine(self._juju)
        self._juju.wait(jubilant.all_active, successes=1)

    def remove(self) -> None:
        self._juju.remove_relation("apache2", "mprime")
        self._juju.wait(lambda status: not list_subordinates(status), successes=1)


class GuestGround(Ground):
    """A guest with the packed charm and its resource; nothing has run yet."""

    def __init__(self, guest: Guest, charm: Path, image: Path):
        self._guest = guest
        with zipfile.ZipFile(charm) as archive:
            options = yaml.safe_load(archive.read("config.yaml"))["options"]
        self._defaults = {n: o["default"] for n, o in options.items() if "default" in o}
        self._options = dict(self._defaults)
        self.sh(f"mkdir -p {JUJU}/tools {CHARM}")
        guest.copy(charm, f"{JUJU}/mprime.charm")
        guest.copy(image, f"{JUJU}/image.tar")
        self.exec("/usr/bin/unzip", "-q", f"{JUJU}/mprime.charm", "-d", CHARM)
        self._write("hook-tool", HOOK_TOOL)
        links = " ".join(list_tools())
        self.sh(
            f"cd {JUJU}/tools && chmod 755 ../hook-tool && "
            f"for name in {links}; do ln -s ../hook-tool $name; done"
        )

    def exec(self, *words: str) -> str:
        return self._guest.run(*words).stdout

    def set_options(self, options: Options) -> None:
        for name, value in options.items():
            self._options[name] = self._defaults[name] if value is None else value
        self.hook("config-changed")

    def hook(self, name: str) -> None:
        self._write("config", json.dumps(self._options))
        self.exec(
            "/usr/bin/env",
            f"--chdir={CHARM}",
            f"PATH={JUJU}/tools:/usr/sbin:/usr/bin:/sbin:/bin",
            f"CHARM_DIR={CHARM}",
            f"JUJU_CHARM_DIR={CHARM}",
            f"JUJU_DISPATCH_PATH=hooks/{name}",
            f"JUJU_HOOK_NAME={name}",
            "JUJU_MODEL_NAME=guest",
            "JUJU_MODEL_UUID=00000000-0000-4000-8000-000000000000",
            "JUJU_UNIT_NAME=mprime/0",
            "JUJU_VERSION=3.6.1",
            "./dispatch",
        )

    def status(self) -> tuple[str, str]:
        told = self.exec("/bin/cat", f"{JUJU}/status").splitlines()
        status, message = (word for word in told if not word.startswith("--"))
        return status, message

    def reboot(self) -> None:
        self._guest.reboot()
        self.wait_for_services()
        self.hook("start")

    def remove(self) -> None:
        self.hook("stop")

    def wait_for_services(self) -> None:
        self.exec("/usr/bin/systemctl", "is-system-running", "--wait")

    def _write(self, name: str, text: str) -> None:
        self._guest.run("/usr/bin/tee", f"{JUJU}/{name}", stdin=text.encode())


@contextmanager
def guest_ground(charm: Path, image: Path) -> Iterator[Ground]:
    """A guest in which the search runs, for as long as the block runs."""
    # One core, which the search leaves to all else: with more it would take the others, and this
    # host has no way to tell that they are spare.
    with boot(build_disk(PACKAGES), cores=1) as guest:
        # Its engine starts meanwhile.
        ground = GuestGround(guest, charm, image)
        ground.wait_for_services()
        ground.hook("install")
        status, message = ground.status()
        assert status == "active", message
        yield ground
