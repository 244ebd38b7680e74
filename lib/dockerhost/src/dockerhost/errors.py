"""Errors, and the engine's reasons in one readable line."""

from __future__ import annotations

import re
from collections.abc import Generator
from contextlib import contextmanager

from hostkit.text import make_printable


class DockerHostError(Exception):
    """Something on the Docker host failed; the text is the reason, in one line."""


class InstallError(DockerHostError):
    """The engine could not be installed or started."""


class EngineUnavailableError(DockerHostError):
    """No engine answers on the socket."""


class EngineSilentError(EngineUnavailableError):
    """Something accepts connections on the socket, and does not answer."""


class ImageError(DockerHostError):
    """An image could not be pulled, built or loaded."""


class UnauthorizedError(ImageError):
    """A registry wants credentials, or others than it was given."""


class ContainerError(DockerHostError):
    """A container could not be read, made, started or removed."""


class NetworkError(DockerHostError):
    """A network could not be read, made or removed."""


class DaemonError(DockerHostError):
    """The engine's settings could not be changed or given back."""


class ProxyError(DockerHostError):
    """A proxy could not be given to the engine or taken back."""


class TrustError(DockerHostError):
    """A registry's certificate authority could not be placed or taken back."""


class InvalidReferenceError(DockerHostError, ValueError):
    """A text is not an image reference."""


class InvalidCertificateError(DockerHostError, ValueError):
    """A text is not a certificate in PEM form."""


# What Go's network stack and the engine wrap around a reason, outermost first.
_NOISE = tuple(
    re.compile(pattern)
    for pattern in (
        r"^Error response from daemon: ",
        r"^[^:]+ for http\S+: \w[\w ]+ \(\"(?=.*\"\)$)",
        r"^error pulling image configuration: ",
        r"^failed to resolve reference \"([^\"]*)\": (?:\1: )?",
        r"^failed to do request: ",
        r"^(Get|Head|Post) \"?\S+?\"?: ",
        r"^dial (tcp|unix) \S+: ",
        r"^proxyconnect tcp: ",
        r"^connect: ",
        r"^tls: failed to verify certificate: (?=x509)",
        r"^manifest for \S+ not found: (?=manifest)",
    )
)
_LOOKUP = re.compile(r"^dial tcp: lookup (\S+?)(?: on \S+)?: (?:read udp \S+: )?(.+)$")
_LOGIN = re.compile(r"(?<=://)[^\s/@]+@")  # of a proxy's address
_LIMIT = 300  # characters; a status line that is longer helps nobody
_READ = 4000  # characters of a message that are looked at


def explain(reason: object) -> str:
    """Return an engine's message in one printable line, without the wrapping that says nothing.

    What it keeps is the engine's own wording, such as `connection refused`.
    """
    # It may repeat what an image, a registry or a container wrote, at any length.
    text = _LOGIN.sub("", make_printable(str(reason), _READ))
    by_proxy = "proxyconnect tcp: " in text
    stripped = True
    while stripped:
        stripped = False
        if match := _LOOKUP.match(text):
            text = f"{match[1]}: {match[2]}"
        for noise in _NOISE:
            shorter = noise.sub("", text, count=1)
            if shorter and shorter != text:
                text, stripped = shorter, True
    # The engine likes to say the same twice: "manifest unknown: manifest unknown".
    parts = list(dict.fromkeys(text.split(": ")))
    text = ": ".join(["the proxy", *parts] if by_proxy else parts)
    return make_printable(text, _LIMIT)


@contextmanager
def installing() -> Generator[None, None, None]:
    """Turn the failure of a program of this machine into an InstallError."""
    try:
        yield
    except OSError as error:
        raise InstallError(explain(error)) from error
