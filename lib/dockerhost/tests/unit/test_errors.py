from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerhost.errors import explain
from lib.hostkit.tests.unit.test_text import HOSTILE


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            'Get "https://172.30.0.2:5999/v2/": dial tcp 172.30.0.2:5999: '
            "connect: connection refused",
            "connection refused",
        ),
        (
            'Get "https://172.30.0.3:5000/v2/": x509: certificate signed by unknown authority',
            "x509: certificate signed by unknown authority",
        ),
        (
            'Get "https://172.30.0.3:5000/v2/": tls: failed to verify certificate: x509: '
            "certificate signed by unknown authority",
            "x509: certificate signed by unknown authority",
        ),
        (
            "manifest for 172.30.0.3:5000/mlucas:2 not found: manifest unknown: manifest unknown",
            "manifest unknown",
        ),
        (
            'failed to resolve reference "172.30.0.3:5000/mlucas:2": 172.30.0.3:5000/mlucas:2: '
            "not found",
            "not found",
        ),
        (
            'Get "https://registry-1.docker.io/v2/": dial tcp: '
            "lookup registry-1.docker.io on 10.255.255.53:53: no such host",
            "registry-1.docker.io: no such host",
        ),
        (
            'Get "https://registry-1.docker.io/v2/": dial tcp: lookup registry-1.docker.io on '
            "10.255.255.53:53: read udp 172.30.0.2:46295->10.255.255.53:53: i/o timeout",
            "registry-1.docker.io: i/o timeout",
        ),
        (
            'Get "https://172.30.0.3:5000/v2/": proxyconnect tcp: dial tcp 172.30.0.4:8888: '
            "connect: connection refused",
            "the proxy: connection refused",
        ),
        ("no space left\non device", "no space left on device"),
    ],
)
def test_the_engines_reason_is_left_without_its_noise(said: str, reason: str) -> None:
    assert explain(said) == reason


@given(st.text())
def test_a_reason_is_one_short_line(said: str) -> None:
    reason = explain(said)
    assert len(reason.splitlines()) <= 1
    assert len(reason) <= 300
    assert bool(reason) == bool(said.split())


@pytest.mark.parametrize("sign", HOSTILE)
def test_an_engines_reason_is_printable(sign: str) -> None:
    reason = explain(f"OCI runtime create failed: {sign}: no such file")
    assert reason.isprintable()
    reason.encode()
