"""A machine for charms' tests: its engine in memory, its work directory real."""

from __future__ import annotations

import fnmatch
import json
import posixpath
import tarfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import BinaryIO, cast

import ops

import dockerhost
from dockerhost import Cgroups, Change, Container, ContainerSpec, Credentials, Engine, Image, Mount
from dockerhost.containers import SPEC_LABEL
from hostkit.sources import PackageSource
from lib.harvest.tests.unit.fake_kernel import Kernel

SMALL = Image("sha256:1", {"kind": "small"})
LARGE = Image("sha256:2", {"kind": "large"})
BASE = Image("sha256:3", {})
NAME = "io.containerd.image.name"


def _spell(name: str) -> str:
    return dockerhost.parse_reference(name).listed


def _shorten(name: str) -> str:
    """Return a name as the engine shows it: without its own registry."""
    return name.removeprefix("docker.io/").removeprefix("library/")


def read_names(archive: BinaryIO) -> set[str]:
    """Return every name that an engine, of whatever version, would take from an archive."""
    names: set[str] = set()
    with tarfile.open(fileobj=archive) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if content is None or not member.name.endswith(("json", "repositories")):
                continue
            said = json.load(content)
            if posixpath.normpath(member.name) == "manifest.json":
                names.update(name for image in said for name in image["RepoTags"] or ())
            elif posixpath.normpath(member.name) == "index.json":
                names.update(each["annotations"][NAME] for each in said["manifests"])
            elif posixpath.normpath(member.name) == "repositories":
                names.update(f"{name}:{tag}" for name, tags in said.items() for tag in tags)
    return names


@dataclass
class Host:
    """Stands in for a machine's Docker Engine; the work directory is a real one.

    Attributes:
        charm: the charm's name; its unit here is the charm's first.
        recipes: the images that can be built, by the folder of their Dockerfile.
        registry: the images that can be pulled, by reference.
        archive: the image that an archive holds; None if the file is damaged.
        resource: the file that is attached, if one is.
        refusal: why a registry refuses, or why a build fails.
        broken: why the engine itself does not work.
        space: bytes that are left on the disk with the work.
        sources: where packages come from, by unit.
        did: every change, in order.
    """

    charm: str
    recipes: dict[str, Image]
    work: Path
    certificates: Path
    agents: Path
    kernel: Kernel
    registry: dict[str, Image] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)
    archive: Image | None = None
    resource: Path | None = None
    login: Credentials | None = None
    build_arguments: dict[str, str] = field(default_factory=dict)
    unbuildable: set[str] = field(default_factory=set)
    containers: dict[str, Container] = field(default_factory=dict)
    specs: dict[str, ContainerSpec] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    networks: set[str] = field(default_factory=set)
    refusal: str = ""
    broken: str = ""
    space: int = 5 * 10**9
    sources: dict[str, tuple[PackageSource, ...]] = field(default_factory=dict)
    did: list[str] = field(default_factory=list)
    installed: bool = False

    def connect(self) -> Host:
        if self.broken:
            raise dockerhost.EngineUnavailableError(self.broken)
        return self

    @property
    def engine(self) -> Engine:
        """This machine's engine, to whom it matters that it is one."""
        return cast("Engine", self)

    def ensure_sources(
        self, unit: str, sources: tuple[PackageSource, ...], report: Callable[[str], None]
    ) -> None:
        if any("nowhere" in source.uri for source in sources):
            raise OSError("option install_sources: apt-get update: Could not resolve 'nowhere'")
        if self.sources.get(unit, ()) != sources:
            report("reading the sources of packages")
            self.did.append(f"sources {', '.join(source.uri for source in sources)}".strip())
            self.sources[unit] = sources

    def remove_sources(self, unit: str) -> None:
        self.sources.pop(unit, None)

    def ensure_engine(self, report: Callable[[str], None]) -> bool:
        if self.broken:
            raise dockerhost.InstallError(self.broken)
        if self.installed:
            return False
        report("installing docker.io")
        self.did.append("install")
        self.installed = True
        return True

    def read_cgroups(self) -> Cgroups:
        return self.kernel.engine

    def find_image(self, reference: str) -> Image | None:
        by_id = {image.id: image for image in self.images.values()}
        there = by_id.get(reference) or self.images.get(_spell(reference))
        if there is None:
            return None
        names = [name for name, image in self.images.items() if image.id == there.id]
        return replace(there, names=tuple(_shorten(name) for name in names))

    def pull(
        self,
        reference: str,
        credentials: Credentials | None,
        progress: Callable[[str], None],
    ) -> Image:
        if reference not in self.registry:
            raise dockerhost.ImageError(self.refusal or "manifest unknown")
        self.did.append(f"pull {reference}")
        self.login = credentials
        for words in ("Pulling from small", *["Pulling fs layer"] * 2, *["Pull complete"] * 2):
            progress(words)
        self.images[_spell(reference)] = self.registry[reference]
        return self.registry[reference]

    def build(
        self,
        context: Path,
        tag: str,
        buildargs: dict[str, str],
        progress: Callable[[str], None],
    ) -> Image:
        assert (context / "Dockerfile").is_file()
        if self.refusal or context.name in self.unbuildable:
            raise dockerhost.ImageError(self.refusal or "a build step ended with code 6")
        self.did.append(f"build {context.name}")
        self.build_arguments = buildargs
        for words in ("Step 1/2 : ARG BASE=debian:trixie-slim", "Reading lists", "Step 2/2 : RUN"):
            progress(words)
        self.images[_spell(tag)] = self.recipes[context.name]
        return self.images[_spell(tag)]

    def load(self, archive: BinaryIO) -> Image:
        if self.archive is None:
            raise dockerhost.ImageError("unexpected EOF")
        self.did.append("load")
        for name in map(_spell, read_names(archive)):
            if theirs := self.images.get(name):
                self.images[theirs.id] = theirs  # it has no name any more
            self.images[name] = self.archive
        return self.archive

    def tag(self, image: str, name: str) -> None:
        there = next(each for each in self.images.values() if each.id == image)
        self.images.pop(image, None)
        self.images[_spell(name)] = there

    def list_images(self, pattern: str) -> list[Image]:
        # Without its tag, as the engine does it.
        found = [n for n in self.images if fnmatch.fnmatch(_shorten(n).split(":")[0], pattern)]
        return [replace(self.images[name], names=(_shorten(name),)) for name in found]

    def remove_image(self, name: str) -> bool:
        there = self.images.get(_spell(name))
        names = [name for name, image in self.images.items() if there and image.id == there.id]
        used = any(there and each.image == there.id for each in self.containers.values())
        if used and len(names) == 1:
            return False
        return self.images.pop(_spell(name), None) is not None

    def prune_images(self, label: str) -> None:
        assert label.endswith(".stage")
        self.did.append("prune")

    def fetch(self, name: str) -> Path:
        """Stands in for Juju's way of handing out resources."""
        assert name == f"{self.charm}-image"
        if self.resource is None:
            raise ops.ModelError(f"resource {name} not found")
        return self.resource

    def ensure(self, spec: ContainerSpec) -> Change:
        there = self.containers.get(spec.name)
        same = there is not None and there.spec_digest == spec.digest
        limits = (spec.memory, spec.cpu_quota, spec.cpu_shares)
        change = Change.STARTED if same else Change.REPLACED if there else Change.CREATED
        if there and same and there.state in ("running", "restarting"):
            if (there.memory, there.cpu_quota, there.cpu_shares) == limits:
                return Change.UNCHANGED
            change = Change.UPDATED
        self.did.append(change.value)
        assert spec.cgroup_parent
        self.kernel.run(7, spec.cgroup_parent, **self.kernel.describe_limits(spec))
        labels = next(image.labels for image in self.images.values() if image.id == spec.image)
        self.specs[spec.name] = spec
        self.containers[spec.name] = Container(
            name=spec.name,
            id="1",
            image=spec.image,
            state="running",
            exit_code=0,
            ran=0,
            restarts=0,
            oom_killed=False,
            labels={**labels, **spec.labels, SPEC_LABEL: spec.digest},
            pid=7,
            memory=spec.memory,
            cpu_quota=spec.cpu_quota,
            cpu_shares=spec.cpu_shares,
            restart=spec.restart,
            mounts=spec.mounts,
        )
        return change

    def inspect(self, name: str) -> Container | None:
        return self.containers.get(name)

    def has_network(self, name: str) -> bool:
        return name in self.networks

    def list_containers(self, label: str) -> list[Container]:
        return [each for each in self.containers.values() if label in each.labels]

    def hold(self, name: str) -> None:
        self.did.append("hold")
        self.containers[name] = replace(self.containers[name], state="exited", pid=0, restart="no")

    def stop(self, name: str) -> None:
        there = self.containers.get(name)
        if there and there.state in ("running", "restarting", "paused"):
            self.did.append("stop")
            self.containers[name] = replace(there, state="exited", exit_code=1, pid=0)

    def freeze(self, name: str) -> None:
        there = self.containers.get(name)
        if there and there.state == "running":
            self.did.append("freeze")
            self.containers[name] = replace(there, state="paused")

    def thaw(self, name: str) -> None:
        there = self.containers.get(name)
        if there and there.state == "paused":
            self.did.append("thaw")
            self.containers[name] = replace(there, state="running")

    def remove(self, name: str) -> bool:
        there = self.containers.pop(name, None)
        if there:
            self.did.append("remove")
        return there is not None

    def logs(self, name: str, lines: int = 100) -> list[str]:
        assert name in self.containers
        return self.log[-lines:]

    def end(self, *, state: str = "exited", exit_code: int = 0, ran: float = 100) -> None:
        """Let the container's program end."""
        there = self.containers[self.name]
        ended = replace(there, state=state, exit_code=exit_code, ran=ran, pid=0)
        self.containers[self.name] = ended

    def let_work(self, unit: str) -> None:
        """Let another unit, which lives on this machine, have a container that runs."""
        (self.agents / f"unit-{unit.replace('/', '-')}").mkdir(parents=True)
        name = unit.replace("/", "-")
        self.containers[name] = Container(
            name=name,
            id="2",
            image="sha256:1",
            state="running",
            exit_code=0,
            ran=100,
            restarts=0,
            oom_killed=False,
            labels={f"{self.charm}.unit": unit, SPEC_LABEL: "theirs"},
            restart="on-failure",
            mounts=(Mount(str(self.work / name), "/work"),),
        )

    @property
    def name(self) -> str:
        """The unit's name as containers have it."""
        return f"{self.charm}-0"

    @property
    def directory(self) -> Path:
        """The unit's work directory."""
        return self.work / self.name
