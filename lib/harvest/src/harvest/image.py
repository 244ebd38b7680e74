"""The image that a unit runs: brought to this machine, found again, and removed in the end.

What a charm brings, it marks in the engine with one more name, CHARM-charm/used-by/UNIT:HASH,
where HASH tells the name that the image came with. So nothing needs remembering elsewhere, and
images of others stay.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from dockerhost import (
    Credentials,
    Engine,
    Image,
    ImageError,
    InvalidReferenceError,
    Proxies,
    UnauthorizedError,
    ensure_proxies,
    parse_reference,
)
from harvest.archive import rewrite
from harvest.unit import Unit

logger = logging.getLogger(__name__)

_BASE = re.compile(r"^ARG BASE=(\S+)$", re.MULTILINE)
_STEP = re.compile(r"Step (\d{1,4})/(\d{1,4}) :")  # of a build, as the engine tells it
_CHUNK = 1024 * 1024  # bytes


@dataclass(frozen=True)
class Source:
    """Where a unit's image comes from: an archive, or else a registry, or else a build.

    Attributes:
        unit: whose it is.
        context: the folder with a folder for each Dockerfile.
        recipes: the folders to try, in this order; none if nothing can be built.
        reference: of an image in a registry; empty if none is to be pulled.
        archive: what docker save wrote; an empty file counts as none.
        no_archive: why Juju handed out none; empty if it did. The unit stays with an archive that
            it had before.
        credentials: for the registry.
        require_digest: whether a reference must have a digest. An archive needs none, as the
            operator gives the file itself, nor does a build, whose recipe the charm carries.
        proxies: what to fetch through.
        confined: as for `Desired`: the engine keeps its own proxies, and fetches without a login.
        stage: a label of the Dockerfiles' first stages, which the engine keeps without a name;
            empty if they have none.
    """

    unit: Unit
    context: Path
    recipes: tuple[str, ...]
    reference: str = ""
    archive: Path | None = None
    no_archive: str = ""
    credentials: Credentials | None = None
    require_digest: bool = False
    proxies: Proxies = field(default_factory=Proxies)
    stage: str = ""
    confined: bool = False

    @property
    def resource(self) -> str:
        """What the charm calls the resource that may hold the archive."""
        return name_resource(self.unit.charm)

    @property
    def ways(self) -> str:
        """How an operator gives an image."""
        return "the option image" + ("" if self.confined else f" or the resource {self.resource}")

    @property
    def way_in(self) -> str:
        """What lets a registry hand out an image that it has refused."""
        if self.confined:
            return "docker pull it, with a login, and it is taken as it is here"
        if self.credentials:
            return "check user name and password in the secret of the option registry-credentials"
        return "give user name and password with the option registry-credentials"

    @property
    def has_archive(self) -> bool:
        """Whether there is one. Raises OSError."""
        return self.archive is not None and self.archive.stat().st_size > 0

    @property
    def title(self) -> str:
        """What to call the image in a message. Raises OSError."""
        if self.has_archive:
            return f"resource {self.resource}"
        return f"image {self.reference}" if self.reference else "the image that was built here"


def name_resource(charm: str) -> str:
    """Return what a charm calls the resource that may hold its image."""
    return f"{charm}-image"


def ensure_image(engine: Engine, source: Source, report: Callable[[str], None]) -> Image:
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
    if source.no_archive and _runs_archive(engine, source.unit):
        raise ImageError(
            f"resource {source.resource}: {source.no_archive}; the next hook tries again"
        )
    if source.reference:
        return _pull(engine, source, report)
    return _build(engine, source, report)


def remove_images(engine: Engine, unit: Unit, keep: Image | None = None) -> None:
    """Remove the images that were brought for a unit, but the one that it runs.

    One that others use, or have given a name, stays; so does one that was here before.

    Args:
        engine: this machine's.
        unit: whose images they are.
        keep: what the unit runs; None when it is removed.

    Raises:
        DockerHostError: the engine failed.
    """
    marks = _list_marks(engine, unit.charm)
    for mark in marks:
        if mark.owner == unit.id and not (keep and mark.image == keep.id):
            _remove_mark(engine, mark, marks)
    if keep and not any((mark.owner, mark.image) == (unit.id, keep.id) for mark in marks):
        # Brought by another unit, or by a hook that was killed before it marked the image.
        ours = (_name_loaded(unit.charm), _name_built(unit.charm))
        brought = [mark.came_as for mark in marks if mark.image == keep.id]
        brought += [_hash_name(name) for name in keep.names if name.startswith(ours)]
        if brought:
            engine.tag(keep.id, f"{_name_marks(unit.charm)}/{unit.id}:{brought[0]}")


@dataclass(frozen=True)
class _Mark:
    """A name that tells for whom an image was brought.

    Attributes:
        name: the mark itself.
        owner: the unit's name as containers have it.
        came_as: the hash of the name that the image came with.
        image: its id.
    """

    name: str
    owner: str
    came_as: str
    image: str


def _load(engine: Engine, source: Source, archive: Path, report: Callable[[str], None]) -> Image:
    name = f"{_name_loaded(source.unit.charm)}:{_hash_file(archive)}"
    if image := engine.find_image(name):
        return image
    report(f"loading the resource {source.resource}")
    try:
        # Names that the archive has may be in use here.
        with rewrite(archive, name) as file:
            image = engine.load(file)
    except ImageError as error:
        raise ImageError(f"resource {source.resource}: {error}") from error
    _add_mark(engine, source.unit, image, name)
    return image


def _runs_archive(engine: Engine, unit: Unit) -> bool:
    """Return whether an archive was loaded for a unit, and nothing took its place since."""
    loaded = {each.id for each in engine.list_images(_name_loaded(unit.charm))}
    marks = _list_marks(engine, unit.charm) if loaded else []
    return any(mark.owner == unit.id and mark.image in loaded for mark in marks)


def _pull(engine: Engine, source: Source, report: Callable[[str], None]) -> Image:
    reference = parse_reference(source.reference)
    there = engine.find_image(reference.listed)
    if source.require_digest and not reference.digest:
        digests = [n for n in (there.names if there else ()) if _is_digest_of(reference.name, n)]
        raise ImageError(
            f"option image: {reference} may change, and require-digest is true; "
            f"give {digests[0] if digests else f'{reference.name}@sha256:…'}"
        )
    if there:
        return there
    try:
        return _fetch(engine, source, str(reference), report, source.credentials)
    except ImageError as error:
        if source.reference.startswith(reference.registry):
            raise
        # No registry was named: perhaps an image of this machine was meant.
        raise ImageError(f"{error}; this machine has no {source.reference} either") from error


def _fetch(
    engine: Engine,
    source: Source,
    reference: str,
    report: Callable[[str], None],
    credentials: Credentials | None = None,
) -> Image:
    without_proxies = ""
    if not source.confined:
        without_proxies = ensure_proxies(engine, source.proxies, report)
    report(f"pulling {reference}")
    try:
        image = engine.pull(reference, credentials, _report_layers(reference, report))
    except ImageError as error:
        reasons = [str(error), without_proxies]
        if isinstance(error, UnauthorizedError):
            reasons.append(source.way_in)
        raise ImageError(f"image {reference}: {'; '.join(filter(None, reasons))}") from error
    _add_mark(engine, source.unit, image, reference)
    return image


def _build(engine: Engine, source: Source, report: Callable[[str], None]) -> Image:
    if not source.recipes:
        raise ImageError(f"there is no image; give one with {source.ways}")
    tags = {
        kind: f"{_name_built(source.unit.charm)}-{kind}:{_hash_tree(source.context / kind)}"
        for kind in source.recipes
    }
    for tag in tags.values():
        if image := engine.find_image(tag):
            return image
    try:
        return _build_first(engine, source, tags, report)
    except ImageError as error:
        raise ImageError(
            f"no image can be built here: {error}; give a ready one with {source.ways}"
        ) from error


def _build_first(
    engine: Engine, source: Source, tags: dict[str, str], report: Callable[[str], None]
) -> Image:
    """Build the first image that can be built here."""
    # Before all builds: none of them works without its base.
    bases = {kind: _read_base(source.context / kind) for kind in tags}
    found = {b: _find_base(engine, source, b, report) for b in sorted({*bases.values()})}
    failure = ImageError("there is no recipe")
    for kind, tag in tags.items():
        report(f"building an image with {kind}")
        try:
            image = engine.build(
                source.context / kind,
                tag,
                buildargs={**source.proxies.build_arguments, "BASE": found[bases[kind]]},
                progress=_report_steps(kind, report),
            )
        except ImageError as error:
            failure = ImageError(f"{kind}: {error}")
            logger.warning("there is no image with %s: %s", kind, error)
        else:
            _add_mark(engine, source.unit, image, tag)
            if source.stage:
                engine.prune_images(source.stage)
            return image
    raise failure


def _find_base(engine: Engine, source: Source, base: str, report: Callable[[str], None]) -> str:
    """Return the name of the image to begin from: as pinned, or by its tag alone.

    By its tag where the machine has it so, as one without a way out does, or where the registry,
    such as a mirror, lacks what is pinned. Raises DockerHostError if neither can be had.
    """
    by_tag = base.partition("@")[0]
    for name in (parse_reference(base).listed, by_tag):
        if engine.find_image(name):
            return name
    try:
        _fetch(engine, source, base, report)
    except ImageError as error:
        if source.require_digest or by_tag == base:
            raise
        logger.warning("%s; building on %s, which no digest pins", error, by_tag)
        _fetch(engine, source, by_tag, report)
        return by_tag
    return base


def _report_layers(reference: str, report: Callable[[str], None]) -> Callable[[str], None]:
    """Return what reports how far a pull is, from the engine's words."""
    expected, here = 0, 0

    def note(words: str) -> None:
        nonlocal expected, here
        if words == "Pulling fs layer":
            expected += 1
        elif words == "Pull complete":
            here += 1
            report(f"pulling {reference}: {here} of {expected} layers")

    return note


def _report_steps(kind: str, report: Callable[[str], None]) -> Callable[[str], None]:
    """Return what reports how far a build is, from the engine's words."""

    def note(words: str) -> None:
        if step := _STEP.match(words):
            report(f"building an image with {kind}: step {step[1]} of {step[2]}")

    return note


def _name_marks(charm: str) -> str:
    return f"{charm}-charm/used-by"


def _name_loaded(charm: str) -> str:
    return f"{charm}-charm/archive"


def _name_built(charm: str) -> str:
    return f"{charm}-charm/built"


def _add_mark(engine: Engine, unit: Unit, image: Image, came_as: str) -> None:
    engine.tag(image.id, f"{_name_marks(unit.charm)}/{unit.id}:{_hash_name(came_as)}")


def _list_marks(engine: Engine, charm: str) -> list[_Mark]:
    marks: list[_Mark] = []
    for image in engine.list_images(f"{_name_marks(charm)}/*"):
        for name in image.names:
            repository, _, came_as = name.partition(":")
            if repository.startswith(f"{_name_marks(charm)}/"):
                marks.append(_Mark(name, repository.rpartition("/")[2], came_as, image.id))
    return marks


def _remove_mark(engine: Engine, mark: _Mark, marks: list[_Mark]) -> None:
    """Remove a mark, and the name that the image came with, unless another unit has it too."""
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
    """Return a hash of an image's name, however that is spelled; empty for what is not a name."""
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
