"""Certificate authorities of private registries, where the engine looks for them.

A file that this module placed says so in a comment before the certificate (PEM readers skip it),
together with its owner. So nothing needs remembering elsewhere, and foreign files stay.
"""

from __future__ import annotations

import re
import ssl
from contextlib import suppress
from pathlib import Path

from dockerhost.errors import InvalidCertificateError, TrustError
from dockerhost.reference import check_registry
from hostkit import files

CERTIFICATES = Path("/etc/docker/certs.d")
_FILE = "ca.crt"
_BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\r\n\t ]+-----END CERTIFICATE-----")


def check_certificate(pem: str) -> str:
    """Return the certificates of a PEM text, and nothing else of it.

    Raises:
        InvalidCertificateError: it holds no certificate, a broken one, or a private key.
    """
    if "PRIVATE KEY" in pem:
        raise InvalidCertificateError(
            "contains a private key; give the authority's certificate only, and renew that key"
        )
    blocks = _BLOCK.findall(pem)
    if not blocks:
        raise InvalidCertificateError(
            "contains no certificate; give PEM text that begins with -----BEGIN CERTIFICATE-----"
        )
    text = "\n".join(block.strip() for block in blocks) + "\n"
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError) as error:
        raise InvalidCertificateError(
            "contains a damaged certificate; give the PEM text as the authority issued it"
        ) from error
    return text


def ensure_registry_ca(host_port: str, ca_pem: str, *, owner: str = "dockerhost") -> bool:
    """Ensure that the engine trusts a registry's CA; return whether that was a change.

    The engine reads the file at each pull, so it needs no restart.

    Raises:
        InvalidReferenceError: `host_port` is not HOST or HOST:PORT.
        InvalidCertificateError: `ca_pem` holds no valid certificate.
        TrustError: another file is in the way, or it can't be written.
    """
    certificate = check_certificate(ca_pem)
    file = _locate(host_port)
    with _naming(file):
        there = _read(file)
        if there is not None:
            if _BLOCK.findall(there) == _BLOCK.findall(certificate):
                return False
            if _owner(there) is None:
                raise TrustError(
                    f"{file} contains another certificate, which someone else placed; remove it"
                )
        file.parent.mkdir(parents=True, exist_ok=True)
        files.write(file, f"{_mark(owner)}\n{certificate}")
    return True


def remove_registry_ca(host_port: str, *, owner: str = "dockerhost") -> bool:
    """Remove what `ensure_registry_ca` placed for an owner; return whether there was anything.

    Raises:
        InvalidReferenceError: `host_port` is not HOST or HOST:PORT.
        TrustError: the file can't be removed.
    """
    file = _locate(host_port)
    with _naming(file):
        there = _read(file)
        if there is None or _owner(there) != owner:
            return False
        file.unlink(missing_ok=True)
        with suppress(OSError):  # the folder holds someone else's files, and stays
            file.parent.rmdir()
    return True


def list_trusted_registries(*, owner: str = "dockerhost") -> list[str]:
    """Return the registries, HOST or HOST:PORT, that were trusted for an owner."""
    files = sorted(CERTIFICATES.glob(f"*/{_FILE}"))
    return [file.parent.name for file in files if _owner(_read(file) or "") == owner]


class _naming:  # noqa: N801 - reads as a statement
    """Turn a file system error into one that names the file."""

    def __init__(self, file: Path):
        self._file = file

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError):
            raise TrustError(f"{self._file}: {error.strerror}") from error


def _locate(host_port: str) -> Path:
    return CERTIFICATES / check_registry(host_port) / _FILE


def _mark(owner: str) -> str:
    return f"# placed by dockerhost for {owner}"


def _owner(text: str) -> str | None:
    match = re.match(r"# placed by dockerhost for (\S+)\n", text)
    return match[1] if match else None


def _read(file: Path) -> str | None:
    try:
        return file.read_text(errors="replace")
    except FileNotFoundError:
        return None
