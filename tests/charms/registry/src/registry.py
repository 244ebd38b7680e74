"""The Docker registry of this machine: Debian's package, with TLS of its own."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import yaml

PORT = 5000
# apache2-utils: htpasswd.
PACKAGES = ("apache2-utils", "docker-registry", "openssl", "skopeo")
SERVICE = "docker-registry"
CONFIG = Path("/etc/docker/registry/config.yml")
TLS = Path("/etc/docker/registry/tls")
# In a folder of its own, because skopeo takes every key beside it for a client's.
AUTHORITY = TLS / "ca" / "ca.crt"
AUTHORITY_KEY = TLS / "ca.key"
CERTIFICATE = TLS / "server.crt"
KEY = TLS / "server.key"
LOGINS = Path("/etc/docker/registry/logins")
USER = "tester"
DAYS = "3650"
SYSTEMCTL = "/usr/bin/systemctl"
OPENSSL = "/usr/bin/openssl"


class RegistryError(Exception):
    """Something about the registry failed; the text is for the unit's status."""


def version() -> str:
    """Return the version of the installed registry, "" where there is none."""
    return _installed(SERVICE)


def install() -> None:
    """Install the packages where they are missing.

    Raises:
        RegistryError: apt can't install them.
    """
    missing = [package for package in PACKAGES if not _installed(package)]
    if not missing:
        return
    apt = ["/usr/bin/apt-get", "-q", "-y", "-o", "DPkg::Lock::Timeout=300"]
    get = [*apt, "install", "--no-install-recommends", *missing]
    try:
        # The lists at hand usually do; fetching new ones takes longer than the installation.
        _run(get)
    except RegistryError:
        # A hook that was killed in the middle of apt leaves packages half configured.
        _run(["/usr/bin/dpkg", "--force-confold", "--configure", "-a"])
        _run([*apt, "update"])
        _run(get)


def configure(address: str) -> None:
    """Make the registry serve on an address, restarting it only when something changed.

    A registry that the action `stop` disabled stays down.

    Raises:
        RegistryError: a certificate can't be made, or the service doesn't start.
    """
    _make_authority()
    _make_certificate(address)
    shutil.chown(KEY, SERVICE, SERVICE)
    _write_config()
    if _systemctl_says("is-enabled") and not _is_current():
        _run([SYSTEMCTL, "restart", SERVICE])


def require_login() -> str:
    """Let in only the user `tester`, once the registry is configured; return a new password.

    Raises:
        RegistryError: htpasswd failed.
    """
    password = secrets.token_urlsafe(16)
    line = _run(["/usr/bin/htpasswd", "-n", "-i", "-B", USER], password)
    _write(LOGINS, line.strip() + "\n", 0o600)
    shutil.chown(LOGINS, SERVICE, SERVICE)
    return password


def allow_anyone() -> None:
    """Let in anyone, once the registry is configured."""
    LOGINS.unlink(missing_ok=True)


def enable() -> None:
    """Start the registry, now and at every boot."""
    _run([SYSTEMCTL, "enable", "--now", SERVICE])


def disable() -> None:
    """Stop the registry, now and at every boot."""
    _run([SYSTEMCTL, "disable", "--now", SERVICE])


def is_running() -> bool:
    """Return whether the service is running."""
    return _systemctl_says("is-active")


def publish(archive: Path, image: str) -> str:
    """Copy a `docker save` archive to HOST:PORT/NAME:TAG; return its digest, `sha256:…`.

    Raises:
        RegistryError: skopeo can't read the archive or can't reach the registry.
    """
    with tempfile.TemporaryDirectory() as folder:
        digest = Path(folder) / "digest"
        # Which images may be trusted is a policy for pulling; this archive is the operator's.
        # The retries bridge a registry that has only just been restarted.
        options = ["--retry-times", "3", "--dest-cert-dir", str(AUTHORITY.parent)]
        output = ["--digestfile", str(digest)]
        source, destination = f"docker-archive:{archive}", f"docker://{image}"
        skopeo = ["/usr/bin/skopeo", "--insecure-policy", "copy", "--quiet"]
        _run([*skopeo, *options, *output, source, destination])
        return digest.read_text().strip()


def read_authority() -> str:
    """Return the certificate authority, in PEM."""
    try:
        return AUTHORITY.read_text()
    except OSError as error:
        raise RegistryError(f"the certificate authority is missing: {error}") from error


def _is_current() -> bool:
    """Return whether the service runs and was started after its files were last written.

    Read from the system, so that a hook repairs what a killed one left without a restart.
    """
    if not is_running():
        return False
    ask = [SYSTEMCTL, "show", "--value", "--property", "ExecMainStartTimestampMonotonic", SERVICE]
    started = time.time() - time.monotonic() + int(_read(ask)) / 1_000_000
    files = [file for file in (CONFIG, KEY, CERTIFICATE, LOGINS) if file.exists()]
    return all(file.stat().st_mtime < started for file in files)


def _make_authority() -> None:
    """Make the certificate authority, once; its certificate comes last and marks it complete."""
    if AUTHORITY.exists():
        return
    AUTHORITY.parent.mkdir(parents=True, exist_ok=True)
    usage = ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
    _make_pair("/CN=registry test charm CA", usage, AUTHORITY_KEY, AUTHORITY)


def _make_certificate(address: str) -> None:
    """Make the server's certificate where it is missing or not for this address."""
    if KEY.exists() and CERTIFICATE.exists():
        check = [OPENSSL, "verify", "-CAfile", str(AUTHORITY), "-verify_ip", address]
        if _succeeds([*check, str(CERTIFICATE)]) and _public_key_matches():
            return
    extensions = (
        "basicConstraints=critical,CA:FALSE",
        "extendedKeyUsage=serverAuth",
        f"subjectAltName=IP:{address}",
    )
    options = [word for extension in extensions for word in ("-addext", extension)]
    signer = ["-CA", str(AUTHORITY), "-CAkey", str(AUTHORITY_KEY)]
    _make_pair(f"/CN={address}", [*signer, *options], KEY, CERTIFICATE)


def _make_pair(subject: str, options: list[str], key: Path, certificate: Path) -> None:
    """Make a key (mode 600) and its certificate; neither is ever half written."""
    with tempfile.TemporaryDirectory(dir=TLS) as folder:
        new_key, new_certificate = Path(folder) / "key", Path(folder) / "crt"
        request = [OPENSSL, "req", "-x509", "-noenc", "-days", DAYS, "-subj", subject]
        curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        files = ["-keyout", str(new_key), "-out", str(new_certificate)]
        _run([*request, *curve, *options, *files])
        new_key.chmod(0o600)
        new_certificate.chmod(0o644)
        new_key.replace(key)
        new_certificate.replace(certificate)


def _public_key_matches() -> bool:
    """Return whether key and certificate belong together; a kill may come between the two."""
    own = _read([OPENSSL, "pkey", "-in", str(KEY), "-pubout"])
    certified = _read([OPENSSL, "x509", "-in", str(CERTIFICATE), "-noout", "-pubkey"])
    return bool(own) and own == certified


def _write_config() -> None:
    """Write the registry's configuration where it differs."""
    config: dict[str, object] = {
        "version": 0.1,
        "log": {"level": "info"},
        "storage": {
            "filesystem": {"rootdirectory": "/var/lib/docker-registry"},
            "delete": {"enabled": True},
        },
        "http": {
            "addr": f":{PORT}",
            "tls": {"certificate": str(CERTIFICATE), "key": str(KEY)},
        },
    }
    if LOGINS.exists():
        config["auth"] = {"htpasswd": {"realm": SERVICE, "path": str(LOGINS)}}
    text = yaml.safe_dump(config, sort_keys=False)
    if not CONFIG.exists() or CONFIG.read_text() != text:
        _write(CONFIG, text, 0o644)


def _write(file: Path, text: str, mode: int) -> None:
    new = file.with_suffix(".new")
    new.touch(0o600)
    new.write_text(text)
    new.chmod(mode)
    new.replace(file)


def _installed(package: str) -> str:
    query = ["/usr/bin/dpkg-query", "-W", "-f", "${db:Status-Status} ${Version}", package]
    state, _, number = _read(query).partition(" ")
    return number if state == "installed" else ""


def _systemctl_says(question: str) -> bool:
    return _succeeds([SYSTEMCTL, question, "--quiet", SERVICE])


def _succeeds(command: list[str]) -> bool:
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


def _read(command: list[str]) -> str:
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout


def _run(command: list[str], given: str = "") -> str:
    # Hooks have no HOME; skopeo asks for one.
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "HOME": "/root"}
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env=environment, input=given
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["no reason given"]
        raise RegistryError(f"{command[0]} failed: {said[-1]}")
    return done.stdout
