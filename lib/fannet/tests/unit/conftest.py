"""A machine for fanctl: its data path in memory, its file real."""

from __future__ import annotations

import os
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from fannet import datapath, dhcp, fanfile
from fannet.cli import commands
from fannet.machine import Address
from lib.fannet.tests.unit.fake_datapath import Kernel


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Kernel:
    fake = Kernel()
    for name in ("up", "down", "read"):
        monkeypatch.setattr(datapath, name, getattr(fake, name))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    here = [Address("eth0", IPv4Address("172.30.0.28"), 24, False)]
    monkeypatch.setattr("fannet.underlay.read_addresses", lambda: here)
    for name in ("FOLDER", "LEASES", "SYSTEMD"):
        monkeypatch.setattr(dhcp, name, tmp_path / "dhcp" / name)
    return fake


@pytest.fixture
def write_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    path = tmp_path / "fan"
    monkeypatch.setattr(commands, "FANFILE", path)
    monkeypatch.setattr(commands, "read_fanfile", lambda: fanfile.read_fanfile(path))

    def write(text: str) -> Path:
        path.write_text(text)
        return path

    return write
