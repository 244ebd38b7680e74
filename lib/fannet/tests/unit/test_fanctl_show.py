"""fanctl show and fanctl config: what they print."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from fannet.cli import main
from fannet.drops import DROPS
from lib.fannet.tests.unit.fake_datapath import Kernel


def test_show_prints_the_columns_of_2015(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["up", "250.0.0.0/8", "eth0/16", "bridge", "fan-250-0-28"])
    capsys.readouterr()
    monkeypatch.setattr("fannet.cli.printing.read_dhcp", lambda _: 1)
    assert main(["show"]) == 0
    assert capsys.readouterr().out == (
        "Bridge           Overlay              Underlay             Flags\n"
        "fan-250-0-28     250.0.0.0/8          172.30.0.28/16       dhcp host-reserve 1\n"
    )


def test_show_prints_flags_as_up_takes_them(
    kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = "into lxdbr0 vni 7 port 4789 mtu 1300 no-masquerade"
    main(["up", "250.0.0.0/8", "eth0/16", *flags.split()])
    main(["up", "251.0.0.0/8", "eth0/16", "encapsulation", "ipip"])
    main(["up", "252.0.0.0/8", "eth0/16"])
    capsys.readouterr()
    main(["show"])
    rows = [line[59:] for line in capsys.readouterr().out.splitlines()[1:]]
    assert rows == [flags, "encapsulation ipip", ""]


def test_show_verbose_tells_of_drops_and_problems(
    kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["up", "250.0.0.0/8", "eth0/16"])
    capsys.readouterr()
    main(["show", "--verbose"])
    out = capsys.readouterr().out
    for told in ("250.0.28.0/24", "1450 bytes", "veth1, veth2", "its filter is lost"):
        assert told in out
    assert f"3 rx_source: {DROPS['rx_source']}" in out
    assert "rx_vni" not in out


def test_show_as_json_holds_what_verbose_tells(
    kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["up", "250.0.0.0/8", "eth0/16"])
    capsys.readouterr()
    main(["show", "--format", "json"])
    [fan] = json.loads(capsys.readouterr().out)
    assert fan["slice"] == "250.0.28.0/24"
    assert fan["drops"]["rx_source"] == 3
    assert fan["dhcp_host_reserve"] is None


def test_config_prints_the_file_with_slices_and_its_errors_by_line(
    kernel: Kernel, write_file: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_file("250.0.0.0/8 eth0/16\n251.0.0.0/8 eth9/16\n252.0.0.0/8 eth0/16 off\n")
    assert main(["config"]) == 1
    out, err = capsys.readouterr()
    assert [line.split()[-1] for line in out.splitlines()] == ["State", "ok", "wrong", "off"]
    assert "250.0.28.0/24" in out
    assert err.startswith(f"fanctl: {path}:2: device eth9 ")
    assert not kernel.fans


def test_a_file_without_errors_is_told_with_success(
    kernel: Kernel, write_file: Callable[[str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_file("250.0.0.0/8 eth0/16 dhcp\n")
    assert main(["config", "--format", "json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["errors"] == []
    assert told["fans"][0]["slice"] == "250.0.28.0/24"
