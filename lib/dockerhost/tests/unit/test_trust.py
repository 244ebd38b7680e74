from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerhost import (
    InvalidCertificateError,
    InvalidReferenceError,
    TrustError,
    check_certificate,
    ensure_registry_ca,
    list_trusted_registries,
    remove_registry_ca,
    trust,
)

DATA = Path(__file__).parent / "data"
ONE = (DATA / "ca-one.crt").read_text()
TWO = (DATA / "ca-two.crt").read_text()
REGISTRY = "172.30.0.3:5000"


@pytest.fixture
def certificates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(trust, "CERTIFICATES", tmp_path)
    return tmp_path


def test_a_trusted_authority_stands_where_the_engine_looks(certificates: Path) -> None:
    assert ensure_registry_ca(REGISTRY, ONE, owner="mprime-0")
    file = certificates / REGISTRY / "ca.crt"
    assert file.read_text().endswith(ONE)
    assert file.stat().st_mode & 0o777 == 0o644
    assert [entry.name for entry in file.parent.iterdir()] == ["ca.crt"]
    assert list_trusted_registries(owner="mprime-0") == [REGISTRY]


def test_the_placed_file_is_one_that_openssl_reads(certificates: Path) -> None:
    ensure_registry_ca(REGISTRY, ONE)
    openssl = shutil.which("openssl")
    assert openssl
    file = str(certificates / REGISTRY / "ca.crt")
    command = [openssl, "x509", "-noout", "-subject", "-in", file]
    shown = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "one" in shown


def test_the_same_authority_again_changes_nothing(certificates: Path) -> None:
    ensure_registry_ca(REGISTRY, ONE)
    before = (certificates / REGISTRY / "ca.crt").stat()
    assert not ensure_registry_ca(REGISTRY, f"text before\n{ONE}\n\n")
    after = (certificates / REGISTRY / "ca.crt").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


def test_a_renewed_authority_replaces_ours(certificates: Path) -> None:
    ensure_registry_ca(REGISTRY, ONE)
    assert ensure_registry_ca(REGISTRY, TWO)
    assert (certificates / REGISTRY / "ca.crt").read_text().endswith(TWO)


def test_someone_elses_authority_is_kept_and_named(certificates: Path) -> None:
    file = certificates / REGISTRY / "ca.crt"
    file.parent.mkdir()
    file.write_text(TWO)
    with pytest.raises(TrustError, match=r"ca\.crt contains another certificate"):
        ensure_registry_ca(REGISTRY, ONE)
    assert not remove_registry_ca(REGISTRY)
    assert file.read_text() == TWO


def test_someone_elses_file_with_the_same_authority_is_enough(certificates: Path) -> None:
    file = certificates / REGISTRY / "ca.crt"
    file.parent.mkdir()
    file.write_text(ONE)
    assert not ensure_registry_ca(REGISTRY, ONE)
    assert file.read_text() == ONE


def test_what_was_placed_is_taken_back_and_nothing_else(certificates: Path) -> None:
    ensure_registry_ca(REGISTRY, ONE)
    ensure_registry_ca("r.example", ONE)
    other = certificates / REGISTRY / "client.cert"
    other.write_text("")
    assert remove_registry_ca(REGISTRY)
    assert [entry.name for entry in (certificates / REGISTRY).iterdir()] == ["client.cert"]
    assert remove_registry_ca("r.example")
    assert not (certificates / "r.example").exists()
    assert not remove_registry_ca("r.example")


def test_one_owner_does_not_take_back_anothers(certificates: Path) -> None:
    ensure_registry_ca(REGISTRY, ONE, owner="mprime-0")
    assert not remove_registry_ca(REGISTRY, owner="mprime-1")
    assert list_trusted_registries(owner="mprime-1") == []
    assert (certificates / REGISTRY / "ca.crt").exists()


@pytest.mark.parametrize("host", ["../etc", "a/b", "", "host:port", "r.example:1\n"])
def test_what_is_no_registry_never_becomes_a_path(certificates: Path, host: str) -> None:
    with pytest.raises(InvalidReferenceError, match="not a registry"):
        ensure_registry_ca(host, ONE)
    assert list(certificates.iterdir()) == []


def test_a_file_in_the_way_is_named(certificates: Path) -> None:
    (certificates / REGISTRY).write_text("")
    with pytest.raises(TrustError, match="Not a directory"):
        ensure_registry_ca(REGISTRY, ONE)


@pytest.mark.parametrize(
    ("pem", "why"),
    [
        ("", "contains no certificate"),
        ("hello", "contains no certificate"),
        (ONE.replace("M", "N", 5), "damaged"),
        (ONE.replace("M", "\u00fc", 1), "contains no certificate"),
        (ONE[:200] + "\n-----END CERTIFICATE-----\n", "damaged"),
        (f"-----BEGIN PRIVATE KEY-----\n{ONE}", "private key"),
    ],
)
def test_what_is_no_certificate_is_refused(pem: str, why: str) -> None:
    with pytest.raises(InvalidCertificateError, match=why):
        check_certificate(pem)


@given(
    st.text() | st.text().map(lambda t: f"-----BEGIN CERTIFICATE-----{t}-----END CERTIFICATE-----")
)
def test_any_text_is_a_certificate_or_is_refused(text: str) -> None:
    with pytest.raises(InvalidCertificateError):
        check_certificate(text)


def test_a_chain_of_authorities_is_kept_whole() -> None:
    assert check_certificate(f"# one\n{ONE}# two\n{TWO}") == ONE + TWO
