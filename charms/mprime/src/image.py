"""The image that a search runs: brought to this machine, found again, and removed in the end.

What the charm brings, it marks in the engine with one more name, mprime-charm/used-by/UNIT:HASH,
where HASH tells the name that the image came with. So nothing needs remembering elsewhere, and
images of others stay.
"""

from __future__ import annotations

import hashlib
import logging
import platform
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from archive import rewrite
from dockerhost import (
    Credentials,
    Engine,
    Image,
    ImageError,
    InvalidReferenceError,
    Proxies,
    UnauthorizedError,
    parse_reference,
    settle_proxies,
)

logger = logging.getLogger(__name__)

RESOURCE = "mprime-image"
_MARKS = "mprime-charm/used-by"
_LOADED = "mprime-charm/archive"
_BUILT = "mprime-charm/built"
# Given to the first stages of our builds, which the engine keeps without a name.
_STAGE_LABEL = "mersenne.stage"
_BASE = re.compile(r"^ARG BASE=(\S+)$", re.MULTILINE)
_CHUNK = 1024 * 1024  # bytes


@dataclass(frozen=True)
class Source:
    """Where a search's image comes from: an archive, or else a registry, or else a build.

    Attributes:
        owner: the unit's name as containers have it, such as mprime-0.
        context: the folder with a folder for each Dockerfile.
        reference: of an image in a registry; empty if none is to be pulled.
        archive: what docker save wrote; an empty file counts as none.
        no_archive: why Juju handed out none; empty if it did. The unit stays with an archive that
            it had before.
        credentials: for the registry.
        require_digest: whether a reference must have a digest. An archive needs none, as the
            operator gives the file itself, nor does a build, whose recipe the charm carries.
        proxies: what to fetch through.
        prefers: the engine whose work there is already, such as mlucas; None if there is none.
    """

    owner: str
    context: Path
    reference: str = ""
    archive: Path | None = None
    no_archive: str = ""
    credentials: Credentials | None = None
    require_digest: bool = False
    proxies: Proxies = field(default_factory=Proxies)
    prefers: str | None = None

    @property
    def has_archive(self) -> bool:
        """Whether there is one. Raises OSError."""
        return self.archive is not None and self.archive.stat().st_size > 0

    @property
    def title(self) -> str:
        """What to call the image in a message. Raises OSError."""
        if self.has_archive:
            return f"resource {RESOURCE}"
        return f"image {self.reference}" if self.reference else "the image that was built here"


def obtain(engine: Engine, source: Source, report: Callable[[str], None]) -> Image:
    """Return the image to run; fetch it unless the engine has it.

    Args:
        engine: this machine's.
        source: where it comes from.
        report: called with a short text before each step that takes time.

    Raises:
        DockerHostError: it can't be had; the text says which image and why.
        OSError: the archive can't be read.
    """
    if source.archive and source.has_archive:
        return _load(engine, source, source.archive, report)
    if source.no_archive and _runs_archive(engine, source.owner):
        raise ImageError(f"resource {RESOURCE}: {source.no_archive}; the next hook tries again")
    if source.reference:
        return _pull(engine, source, report)
    return _build(engine, source, report)


def sweep(engine: Engine, owner: str, keep: Image | None = None) -> None:
    """Remove the images that were brought for a unit, but the one that it runs.

    One that others use, or have given a name, stays; so does one that was here before.

    Args:
        engine: this machine's.
        owner: the unit's name as containers have it.
        keep: what the unit runs; None when it is removed.

    Raises:
        DockerHostError: the engine failed.
    """
    marks = _list_marks(engine)
    for mark in marks:
        if mark.owner == owner and not (keep and mark.image == keep.id):
            _release(engine, mark, marks)
    if keep is None:
        engine.prune_images(_STAGE_LABEL)
    elif not any((mark.owner, mark.image) == (owner, keep.id) for mark in marks):
        # Brought by another unit, or by a hook that was killed before it marked the image.
        brought = [mark.came_as for mark in marks if mark.image == keep.id]
        brought += [_hash_name(n) for n in keep.names if n.startswith((_LOADED, _BUILT))]
        if brought:
            engine.tag(keep.id, f"{_MARKS}/{owner}:{brought[0]}")


@dataclass(frozen=True)
class _Mark:
    """A name that tells for whom an image was brought.

    Attributes:
        owner: the unit's name as containers have it.
        came_as: the hash of the name that the image came with.
        image: its id.
    """

    owner: str
    came_as: str
    image: str

    @property
    def name(self) -> str:
        return f"{_MARKS}/{self.owner}:{self.came_as}"


def _load(engine: Engine, source: Source, archive: Path, report: Callable[[str], None]) -> Image:
    name = f"{_LOADED}:{_hash_file(archive)}"
    if image := engine.find_image(name):
        return image
    report(f"loading the resource {RESOURCE}")
    try:
        # Names that the archive has may be in use here.
        with rewrite(archive, name) as file:
            image = engine.load(file)
    except ImageError as error:
        raise ImageError(f"resource {RESOURCE}: {error}") from error
    _mark(engine, source.owner, image, name)
    return image


def _runs_archive(engine: Engine, owner: str) -> bool:
    """Return whether an archive was loaded for a unit, and nothing took its place since."""
    loaded = {each.id for each in engine.list_images(_LOADED)}
    marks = _list_marks(engine) if loaded else []
    return any(mark.owner == owner and mark.image in loaded for mark in marks)


def _pull(engine: Engine, source: Source, report: Callable[[str], None]) -> Image:
    reference = parse_reference(source.reference)
    there = engine.find_image(reference.listed)
    if source.require_digest and not reference.digest:
        digests = [n for n in (there.names if there else ()) if _is_digest_of(reference.name, n)]
        raise ImageError(
            f"option image: {reference} may change, and require-digest is true; "
            f"give {digests[0] if digests else f'{reference.name}@sha256:…'}"
        )
    return there or _fetch(engine, source, str(reference), report, source.credentials)


def _fetch(
    engine: Engine,
    source: Source,
    reference: str,
    report: Callable[[str], None],
    credentials: Credentials | None = None,
) -> Image:
    without_proxies = settle_proxies(engine, source.proxies, report)
    report(f"pulling {reference}")
    try:
        image = engine.pull(reference, credentials)
    except ImageError as error:
        reasons = [str(error), without_proxies]
        if isinstance(error, UnauthorizedError):
            reasons.append(
                "check user name and password in the secret of the option registry-credentials"
                if credentials
                else "give user name and password with the option registry-credentials"
            )
        raise ImageError(f"image {reference}: {'; '.join(filter(None, reasons))}") from error
    _mark(engine, source.owner, image, reference)
    return image


def _build(engine: Engine, source: Source, report: Callable[[str], None]) -> Image:
    tags = {
        kind: f"{_BUILT}-{kind}:{_hash_tree(source.context / kind)}"
        for kind in _choose_kinds(source.prefers)
    }
    for tag in tags.values():
        if image := engine.find_image(tag):
            return image
    try:
        return _build_first(engine, source, tags, report)
    except ImageError as error:
        raise ImageError(
            f"no image can be built here: {error}; "
            f"or give one with the option image or the resource {RESOURCE}"
        ) from error


def _build_first(
    engine: Engine, source: Source, tags: dict[str, str], report: Callable[[str], None]
) -> Image:
    """Build the first image that can be built here."""
    # Before all builds: without its base none of them would come about.
    for base in sorted({_read_base(source.context / kind) for kind in tags}):
        if not engine.find_image(base):
            _fetch(engine, source, base, report)
    failure = ImageError("there is no recipe")
    for kind, tag in tags.items():
        report(f"building an image with {kind}")
        try:
            image = engine.build(
                source.context / kind, tag, buildargs=source.proxies.build_arguments
            )
        except ImageError as error:
            failure = ImageError(f"{kind}: {error}")
            logger.warning("there is no image with %s: %s", kind, error)
        else:
            _mark(engine, source.owner, image, tag)
            engine.prune_images(_STAGE_LABEL)
            return image
    raise failure


def _choose_kinds(prefers: str | None) -> list[str]:
    """Return the search programs to try, in order."""
    if prefers:
        return [prefers]
    # GIMPS has mprime for x86 only.
    return ["mprime", "mlucas"] if platform.machine() == "x86_64" else ["mlucas"]


def _mark(engine: Engine, owner: str, image: Image, came_as: str) -> None:
    engine.tag(image.id, _Mark(owner, _hash_name(came_as), image.id).name)


def _list_marks(engine: Engine) -> list[_Mark]:
    marks = []
    for image in engine.list_images(f"{_MARKS}/*"):
        for name in image.names:
            repository, _, came_as = name.partition(":")
            if repository.startswith(f"{_MARKS}/"):
                marks.append(_Mark(repository.rpartition("/")[2], came_as, image.id))
    return marks


def _release(engine: Engine, mark: _Mark, marks: list[_Mark]) -> None:
    """Take a mark away, and what the image came as with it, unless another unit has it too."""
    there = engine.find_image(mark.name)
    if there and not any(
        (other.image, other.came_as) == (mark.image, mark.came_as) and other.owner != mark.owner
        for other in marks
    ):
        for name in there.names:
            if _hash_name(name) == mark.came_as:
                engine.remove_image(name)
    # Last: what a container still uses keeps it, for the next time.
    engine.remove_image(mark.name)


def _hash_name(name: str) -> str:
    """Return a hash of an image's name, however that is spelled; empty for what is no name."""
    try:
        return hashlib.sha256(parse_reference(name).listed.encode()).hexdigest()[:12]
    except InvalidReferenceError:  # such as <none>:<none>
        return ""


def _hash_file(file: Path) -> str:
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _hash_tree(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(folder)}\0{content}\0".encode())
    return digest.hexdigest()[:12]


def _is_digest_of(repository: str, name: str) -> bool:
    try:
        found = parse_reference(name)
    except InvalidReferenceError:
        return False
    return found.name == repository and found.digest is not None


def _read_base(context: Path) -> str:
    """Return the image that a Dockerfile begins from."""
    match = _BASE.search((context / "Dockerfile").read_text())
    if not match:
        raise ImageError(f"{context / 'Dockerfile'} has no line ARG BASE=…")
    return match[1]
