"""The Docker Engine of this host: installing it, images, containers, trusted registries."""

from __future__ import annotations

from dockerhost.containers import Change, Container, ContainerSpec, Mount
from dockerhost.daemon import ensure_daemon_settings, give_back_daemon_settings
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
from dockerhost.host import ensure_engine
from dockerhost.images import Credentials, Image
from dockerhost.networks import Network, Networks, NetworkSpec
from dockerhost.proxy import Proxies, ensure_proxies, ensure_proxies_private, remove_proxies
from dockerhost.reference import Reference, parse_reference
from dockerhost.trust import (
    check_certificate,
    ensure_registry_ca,
    list_trusted_registries,
    remove_registry_ca,
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
    "ensure_daemon_settings",
    "ensure_engine",
    "ensure_proxies",
    "ensure_proxies_private",
    "ensure_registry_ca",
    "give_back_daemon_settings",
    "list_trusted_registries",
    "parse_reference",
    "remove_proxies",
    "remove_registry_ca",
]
