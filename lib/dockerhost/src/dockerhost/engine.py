"""The engine: images in, containers as specified."""

from __future__ import annotations

import functools
import re
import tarfile
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import docker.errors
import requests

from dockerhost.connection import SOCKET, connect, translating
from dockerhost.containers import (
    SPEC_LABEL,
    Change,
    Container,
    ContainerSpec,
    read_container,
)
from dockerhost.errors import (
    ContainerError,
    EngineUnavailableError,
    ImageError,
)
from dockerhost.images import Credentials, Image, classify_refusal, follow_progress, read_image
from dockerhost.reference import parse_reference

_LOG = 512 * 1024  # bytes; 1000 lines of ordinary programs
_RUNNING = ("running", "restarting")
_STOPPED = ("created", "exited")


@dataclass(frozen=True)
class Cgroups:
    """How an engine makes control groups.

    Attributes:
        driver: cgroupfs, which makes them itself, or systemd, which it then asks for them.
        version: 1 or 2.
    """

    driver: str
    version: int


class Engine:
    """The Docker Engine behind this host's socket.

    Every method raises DockerHostError, with the engine's reason in one line.
    """

    def __init__(self, url: str = SOCKET):
        self._api: Any = connect(url)  # the types of its answers are not known

    @functools.cached_property
    def _info(self) -> Any:
        """What the engine tells of itself; that takes it as long as all else that a hook asks."""
        with translating(EngineUnavailableError):
            return self._api.info()

    def read_cgroups(self) -> Cgroups:
        """Return how this engine makes control groups."""
        answer = self._info
        # Engines that know version 1 alone don't name it.
        return Cgroups(answer["CgroupDriver"], int(answer.get("CgroupVersion", 1)))

    def has_proxies(self) -> bool:
        """Return whether this engine fetches images through a proxy."""
        return bool(self._info.get("HttpProxy") or self._info.get("HttpsProxy"))

    def find_image(self, reference: str) -> Image | None:
        """Return an image that is here, by reference or id; None if it is not."""
        with translating(ImageError):
            try:
                answer = self._api.inspect_image(reference)
            except docker.errors.ImageNotFound:
                return None
        return read_image(answer)

    def pull(
        self,
        reference: str,
        credentials: Credentials | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Image:
        """Return an image, fetched from its registry.

        One that is pinned by a digest and already here is not fetched again; the engine checks
        what it fetches against the digest.

        Args:
            reference: a tag or a digest in a repository; without both, the tag `latest`.
            credentials: for this request only; they are kept nowhere. None: those with which
                this account has run `docker login`, if it has.
            progress: called with the engine's own words, such as `Pull complete`.

        Raises:
            InvalidReferenceError: the text is not an image reference.
            UnauthorizedError: the registry wants credentials, or others.
            ImageError: the engine or the registry refused otherwise.
        """
        wanted = parse_reference(reference)
        if wanted.digest and (image := self.find_image(wanted.listed)):
            return image
        try:
            with translating(ImageError):
                stream = self._api.pull(
                    wanted.name,
                    tag=wanted.selector,
                    stream=True,
                    decode=True,
                    auth_config=credentials.request if credentials else None,
                )
                follow_progress(stream, progress)
        except ImageError as error:
            # Not `from error`: what a registry answers may repeat what it was told.
            raise classify_refusal(error, credentials) from None
        image = self.find_image(wanted.listed)
        if image is None:
            raise ImageError(f"{wanted} was pulled, but the engine does not have it")
        return image

    def build(
        self,
        context: Path,
        tag: str,
        buildargs: Mapping[str, str] | None = None,
        progress: Callable[[str], None] | None = None,
    ) -> Image:
        """Return an image, built from a directory with a Dockerfile.

        Raises:
            ImageError: there is no Dockerfile, or a step failed; the last words of it are told.
        """
        if not (context / "Dockerfile").is_file():
            raise ImageError(f"{context} contains no Dockerfile")
        # Packed here, since the client leaves its own file open where the engine falls silent.
        with translating(ImageError), tempfile.TemporaryFile() as packed:
            with tarfile.open(fileobj=packed, mode="w") as archive:
                archive.add(context, ".")
            packed.seek(0)
            stream = self._api.build(
                fileobj=packed,
                custom_context=True,
                tag=tag,
                buildargs=dict(buildargs or {}),
                rm=True,
                forcerm=True,
                decode=True,
            )
            follow_progress(stream, progress)
        image = self.find_image(tag)
        if image is None:
            raise ImageError(f"{tag} was built, but the engine does not have it")
        return image

    def load(self, archive: BinaryIO) -> Image:
        """Return the image in an archive such as `docker save` writes.

        Every name that the archive gives is taken from whatever image had it before.

        Raises:
            ImageError: it holds no image.
        """
        loaded: list[str] = []

        def note(words: str) -> None:
            loaded.extend(re.findall(r"Loaded image(?: ID)?: (\S+)", words))

        with translating(ImageError):
            follow_progress(self._api.load_image(archive), note)
        image = self.find_image(loaded[0]) if loaded else None
        if image is None:
            raise ImageError("the archive contains no image; use a file that docker save wrote")
        return image

    def tag(self, image: str, name: str) -> None:
        """Give an image, by name or id, one more name: REPOSITORY:TAG."""
        repository, _, tag = name.rpartition(":")
        with translating(ImageError):
            self._api.tag(image, repository, tag, force=True)

    def list_images(self, pattern: str) -> list[Image]:
        """Return the images with a name like `pattern`, such as tools/*; only with those names."""
        with translating(ImageError):
            return [
                read_image(answer) for answer in self._api.images(filters={"reference": pattern})
            ]

    def remove_image(self, name: str) -> bool:
        """Take a name from an image, and remove the image with its last one.

        Returns:
            Whether it could; not if there is none of that name, or a container uses the image.
        """
        with translating(ImageError):
            try:
                self._api.remove_image(name)
            except docker.errors.NotFound:
                return False
            except docker.errors.APIError as error:
                if error.status_code != requests.codes.conflict:
                    raise
                return False
        return True

    def prune_images(self, label: str) -> None:
        """Remove the images that have a label and no name, such as first stages of builds."""
        with translating(ImageError):
            self._api.prune_images(filters={"dangling": True, "label": label})

    def ensure(self, spec: ContainerSpec) -> Change:
        """Ensure that a container is as specified, and runs; return what was changed.

        A container made from the same specification is left alone, or started. Where only its
        limits of memory and processor time or its restart policy differ, they are changed while
        it runs. Otherwise it is replaced. Being killed in between is harmless: the next call
        carries on.

        Raises:
            ContainerError: the engine refused, or the name belongs to a container of others.
        """
        there = self.inspect(spec.name)
        same = there is not None and there.spec_digest == spec.digest
        updated = False
        if there and same and not _has_limits(there, spec):
            same = updated = self._update(there, spec)
        if there and same and there.state in _RUNNING:
            return Change.UPDATED if updated else Change.UNCHANGED
        with translating(ContainerError):
            if there and same and there.state in _STOPPED:
                self._api.start(there.id)
                return Change.STARTED
            if there and same and there.state == "paused":
                self._api.unpause(there.id)
                return Change.STARTED
            if there:
                self.remove(spec.name)
            self._create(spec)
            self._api.start(spec.name)
        return Change.REPLACED if there else Change.CREATED

    def _update(self, there: Container, spec: ContainerSpec) -> bool:
        """Change a container's limits; return whether the engine could."""
        if (there.memory and not spec.memory) or (there.cpu_shares and not spec.cpu_shares):
            return False  # it can't lift these
        try:
            with translating(ContainerError):
                self._api.update_container(there.id, **spec.live_options())
        except ContainerError:
            # Such as: it uses more memory than it is to have.
            return False
        return True

    def _create(self, spec: ContainerSpec) -> None:
        self._api.create_container(
            spec.image,
            command=list(spec.command) or None,
            name=spec.name,
            environment=dict(spec.environment),
            user=spec.user or None,
            working_dir=spec.working_dir or None,
            labels={**spec.labels, SPEC_LABEL: spec.digest},
            stop_signal=spec.stop_signal,
            stop_timeout=spec.stop_timeout,
            host_config=self._api.create_host_config(**spec.host_options()),
        )

    def remove(self, name: str, stop_timeout: int | None = None) -> bool:
        """Stop a container and remove it; return whether there was one.

        Args:
            name: the container's.
            stop_timeout: seconds that it gets to end by itself; None: as it was specified.

        Raises:
            ContainerError: the engine refused, or the container is not one of ours.
        """
        there = self.inspect(name)
        if there is None:
            return False
        if there.spec_digest is None:
            raise ContainerError(
                f"a container named {name} exists and was not made here; remove or rename it"
            )
        with translating(ContainerError):
            try:
                self._stop(there, stop_timeout)
                self._api.remove_container(there.id, v=True, force=True)
            except docker.errors.NotFound:
                return False
        return True

    def inspect(self, name: str) -> Container | None:
        """Return a container as it is now; None if there is none of that name."""
        with translating(ContainerError):
            try:
                answer = self._api.inspect_container(name)
            except docker.errors.NotFound:
                return None
        return read_container(answer)

    def list_containers(self, label: str) -> list[Container]:
        """Return the containers that have a label, whatever its value, running or not, by name."""
        with translating(ContainerError):
            answers = self._api.containers(all=True, filters={"label": label})
        found = (self.inspect(answer["Id"]) for answer in answers)
        # One may have gone since it was listed.
        return sorted((each for each in found if each), key=lambda each: each.name)

    def runs_others(self) -> bool:
        """Return whether a container runs that was not made here."""
        with translating(ContainerError):
            return any(SPEC_LABEL not in (c.get("Labels") or {}) for c in self._api.containers())

    def has_network(self, name: str) -> bool:
        """Return whether there is a network of this name."""
        with translating(ContainerError):
            # The filter takes parts of names too.
            return any(each["Name"] == name for each in self._api.networks(names=[name]))

    def freeze(self, name: str) -> None:
        """Stop a container's processes where they are; nothing to do unless it runs."""
        there = self.inspect(name)
        if there and there.state == "running":
            with translating(ContainerError):
                self._api.pause(name)

    def thaw(self, name: str) -> None:
        """Continue a frozen container's processes; do nothing unless it is frozen."""
        there = self.inspect(name)
        if there and there.state == "paused":
            with translating(ContainerError):
                self._api.unpause(name)

    def hold(self, name: str) -> None:
        """Stop a container, and keep the engine from starting it.

        Its restart policy is `no` from then on, and says so, until `ensure` gives it another.
        """
        there = self.inspect(name)
        if there and there.restart != "no":
            with translating(ContainerError):
                self._api.update_container(there.id, restart_policy={"Name": "no"})
        self.stop(name)

    def stop(self, name: str) -> None:
        """Stop a container so that it saves its work, and keep it; do nothing unless it runs."""
        there = self.inspect(name)
        if there and there.state in (*_RUNNING, "paused"):
            with translating(ContainerError):
                self._stop(there)

    def _stop(self, there: Container, timeout: int | None = None) -> None:
        if there.state == "paused":
            # What is frozen can't hear that it is to save its work.
            self._api.unpause(there.id)
        self._api.stop(there.id, timeout=timeout)

    def logs(self, name: str, lines: int = 100) -> list[str]:
        """Return the last lines that a container wrote to its output and error streams.

        Of what it wrote, the last 512 KiB at most. The lines are as the container wrote them: see
        `make_printable`.
        """
        with translating(ContainerError):
            raw = self._api.logs(name, stdout=True, stderr=True, tail=lines)
        return raw[-_LOG:].decode(errors="replace").splitlines()[-lines:]


def _has_limits(there: Container, spec: ContainerSpec) -> bool:
    """Return whether a container has what can change in a specification while it runs."""
    wanted = (spec.memory, spec.cpu_quota, spec.cpu_shares, spec.restart)
    return (there.memory, there.cpu_quota, there.cpu_shares, there.restart) == wanted
