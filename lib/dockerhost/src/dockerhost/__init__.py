"""The Docker Engine of this host: installing it, images, containers, trusted registries."""

from __future__ import annotations

from dockerhost.containers import Change, Container, ContainerSpec, Mount
from dockerhost.daemon import restore_daemon, settle_daemon
from dockerhost.engine import Cgroups, Engine
from dockerhost.errors import (
    ContainerError,
    DaemonError,
    DockerHostError,
    EngineSilentError,
    EngineUnavailableError,
    ImageError,
    InstallError,
    InvalidCertificateError,
    InvalidReferenceError,
    NetworkError,
    ProxyError,
    TrustError,
    UnauthorizedError,
)
from dockerhost.host import install
from dockerhost.images import Credentials, Image
from dockerhost.networks import Network, Networks, NetworkSpec
from dockerhost.proxy import Proxies, forget_proxies, hide_proxies, settle_proxies
from dockerhost.reference import Reference, parse_reference
from dockerhost.trust import (
    check_certificate,
    distrust_registry,
    list_trusted_registries,
    trust_registry,
)

__all__ = [
    "Cgroups",
    "Change",
    "Container",
    "ContainerError",
    "ContainerSpec",
    "Credentials",
    "DaemonError",
    "DockerHostError",
    "Engine",
    "EngineSilentError",
    "EngineUnavailableError",
    "Image",
    "ImageError",
    "InstallError",
    "InvalidCertificateError",
    "InvalidReferenceError",
    "Mount",
    "Network",
    "NetworkError",
    "NetworkSpec",
    "Networks",
    "Proxies",
    "ProxyError",
    "Reference",
    "TrustError",
    "UnauthorizedError",
    "check_certificate",
    "distrust_registry",
    "forget_proxies",
    "hide_proxies",
    "install",
    "list_trusted_registries",
    "parse_reference",
    "restore_daemon",
    "settle_daemon",
    "settle_proxies",
    "trust_registry",
]
