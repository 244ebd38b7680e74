"""Image references, after the grammar of the distribution project."""

from __future__ import annotations

import re
from dataclasses import dataclass

from dockerhost.errors import InvalidReferenceError

DEFAULT_REGISTRY = "docker.io"

_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])"
_REGISTRY = re.compile(rf"{_HOST}(?::[0-9]{{1,5}})?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_REPOSITORY = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[a-f0-9]{64}|sha512:[a-f0-9]{128}")
_BARE_DIGEST = re.compile(r"[a-f0-9]{64}")
_NAME_LIMIT = 255  # characters of registry and repository together


@dataclass(frozen=True)
class Reference:
    """Where an image is and which one: registry, repository, and a tag, a digest or both."""

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    @property
    def name(self) -> str:
        """Registry and repository, as the engine takes them."""
        return f"{self.registry}/{self.repository}"

    @property
    def selector(self) -> str:
        """What picks the image in its repository; a digest wins over a tag."""
        return self.digest or self.tag or "latest"

    @property
    def listed(self) -> str:
        """What the engine lists the image as once it is pulled: by digest or by tag, not both."""
        return f"{self.name}@{self.digest}" if self.digest else f"{self.name}:{self.selector}"

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def parse_reference(text: str) -> Reference:
    """Return the parts of an image reference; Docker Hub's short names are spelled out.

    Raises:
        InvalidReferenceError: the text does not follow the grammar; the error says which part.
    """
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _refuse(text, f"the digest {digest!r} must be sha256: and 64 hex digits")
    registry, repository = _split_registry(rest)
    tag = None
    if ":" in repository:
        repository, _, tag = repository.partition(":")
        if not _TAG.fullmatch(tag):
            raise _refuse(
                text,
                f"the tag {tag!r} must be 1 to 128 letters, digits, '_', '.' or '-', "
                "beginning with a letter, a digit or '_'",
            )
    if not _REGISTRY.fullmatch(registry):
        raise _refuse(text, f"the registry {registry!r} must be HOST or HOST:PORT")
    if not _REPOSITORY.fullmatch(repository):
        raise _refuse(
            text,
            f"the repository {repository!r} must be lower-case letters and digits, "
            "joined by '.', '_', '-' or '/'",
        )
    if not at and tag is None and _BARE_DIGEST.fullmatch(rest):
        raise _refuse(text, "64 hex digits alone are an image's id, not a reference")
    if registry == DEFAULT_REGISTRY and "/" not in repository:
        repository = f"library/{repository}"
    if len(registry) + 1 + len(repository) > _NAME_LIMIT:
        raise _refuse(text, f"registry and repository exceed {_NAME_LIMIT} characters")
    return Reference(registry, repository, tag, digest if at else None)


def check_registry(host_port: str) -> str:
    """Return a registry's HOST or HOST:PORT as given.

    Raises:
        InvalidReferenceError: it is neither.
    """
    if not _REGISTRY.fullmatch(host_port):
        raise InvalidReferenceError(
            f"{host_port!r} is not a registry; write HOST or HOST:PORT, such as 172.30.0.5:5000"
        )
    return host_port


def _split_registry(name: str) -> tuple[str, str]:
    first, slash, rest = name.partition("/")
    # Docker's rule: a first component is a registry only if it looks like a host.
    if slash and (set(".:") & set(first) or first == "localhost" or first != first.lower()):
        return ("docker.io" if first == "index.docker.io" else first), rest
    return DEFAULT_REGISTRY, name


def _refuse(text: str, why: str) -> InvalidReferenceError:
    return InvalidReferenceError(
        f"{text!r} is not an image reference: {why}; "
        "write REGISTRY/REPOSITORY:TAG or REGISTRY/REPOSITORY@sha256:…"
    )
