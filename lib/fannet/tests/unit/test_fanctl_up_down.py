"""fanctl up and fanctl down."""

from __future__ import annotations

import json
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from fannet import dhcp
from fannet.cli import commands, main
from fannet.machine import Address
from lib.fannet.tests.unit.fake_datapath import Kernel


def test_up_prints_its_steps_and_nothing_where_there_was_nothing_to_do(
    kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["up", "250.0.0.0/8", "eth0/16"]
    assert main(line) == 0
    assert capsys.readouterr() == ("make bridge fan-250\n", "")
    assert main(line) == 0
    assert capsys.readouterr() == ("", "")


def test_a_moved_slice_names_the_devices_behind_which_to_restart(
    kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    main(["up", "250.0.0.0/8", "172.30.0.27/16"])
    capsys.readouterr()
    assert main(["up", "250.0.0.0/8", "eth0/16"]) == 0
    told = capsys.readouterr().out.splitlines()[-1]
    assert "from 250.0.27.0/24 to 250.0.28.0/24" in told
    assert "veth1, veth2" in told


def test_up_tells_the_same_as_json(kernel: Kernel, capsys: pytest.CaptureFixture[str]) -> None:
    main(["up", "250.0.0.0/8", "172.30.0.27/16"])
    capsys.readouterr()
    assert main(["up", "250.0.0.0/8", "eth0/16", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "fans": [
            {
                "overlay": "250.0.0.0/8",
                "bridge": "fan-250",
                "slice": "250.0.28.0/24",
                "steps": ["make bridge fan-250"],
                "moved": {"from": "250.0.27.0/24", "to": "250.0.28.0/24"},
                "plugged": ["veth1", "veth2"],
                "overlaps": [],
            }
        ],
        "errors": [],
    }


def test_up_a_brings_up_all_that_is_good_and_tells_all_that_is_bad(
    kernel: Kernel,
    write_file: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    kernel.refuses = "fan-253"
    path = write_file(
        "250.0.0.0/8 eth0/16\n251.0.0.0/8 eth9/16\n252.0.0.0/8 eth0/16 of\n"
        "253.0.0.0/8 eth0/16\n254.0.0.0/33 eth0/16\n249.0.0.0/8 eth0/16 off\n"
        "248.0.0.0/8 eth0/16\n"
    )
    assert main(["up", "-a"]) == 1
    out, err = capsys.readouterr()
    assert [str(overlay) for overlay in kernel.fans] == ["250.0.0.0/8", "248.0.0.0/8"]
    assert out.splitlines() == ["make bridge fan-250", "make bridge fan-248"]
    lines = sorted(err.splitlines())
    assert [line.split(": ")[1] for line in lines] == [f"{path}:{n}" for n in (2, 3, 4, 5)]
    for line, told in zip(lines, ["eth9", "'of'", "someone else's", "254.0.0.0/33"], strict=True):
        assert told in line


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ("252.0.0.0/8 eth0/16 of\n254.0.0.0/33 eth0/16\n", 3),
        ("252.0.0.0/8 eth0/16 vni 99999999\n", 3),
        ("252.0.0.0/8 eth0/16 of\n251.0.0.0/8 eth9/16\n", 1),  # the device may come
        ("252.0.0.0/8 eth0/16 of\n253.0.0.0/8 eth0/16\n", 1),  # and so may LXD's bridge
    ],
)
def test_up_a_tells_lines_that_are_wrong_from_what_may_pass(
    kernel: Kernel, write_file: Callable[[str], Path], lines: str, code: int
) -> None:
    kernel.refuses = "fan-253"
    write_file(f"250.0.0.0/8 eth0/16\n{lines}")
    assert main(["up", "-a"]) == code
    assert len(kernel.fans) == 1


@pytest.mark.parametrize("verb", ["up", "down"])
def test_without_a_file_there_is_nothing_to_do(
    kernel: Kernel,
    write_file: Callable[[str], Path],
    capsys: pytest.CaptureFixture[str],
    verb: str,
) -> None:
    assert main([verb, "-a"]) == 0
    out, err = capsys.readouterr()
    assert not out
    assert err.startswith("fanctl: there is no ")
    assert err.endswith(": nothing to do\n")


def test_a_file_that_cannot_be_read_is_still_an_error(
    kernel: Kernel, write_file: Callable[[str], Path]
) -> None:
    path = write_file("")
    path.unlink()
    path.symlink_to("gone")
    assert main(["up", "-a"]) == 1


def test_what_the_overlay_takes_from_the_host_is_a_warning(
    kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    kernel.overlaps = ("250.3.0.0/16 on eth1",)
    assert main(["up", "250.0.0.0/8", "eth0/16"]) == 0
    assert "warning: this machine reaches 250.3.0.0/16 on eth1" in capsys.readouterr().err


def test_dhcp_of_a_bridge_that_has_another_name_now_is_stopped(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[str] = []
    monkeypatch.setattr(dhcp, "remove_dhcp", lambda bridge: stopped.append(bridge) or [])
    main(["up", "250.0.0.0/8", "eth0/16"])
    main(["up", "250.0.0.0/8", "eth0/16", "bridge", "cloud"])
    assert stopped == ["fan-250", "fan-250", "cloud"]


def test_up_waits_for_an_address_that_comes_late(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    late = iter([[], [], [Address("eth0", IPv4Address("172.30.0.28"), 16, False)]])
    monkeypatch.setattr("fannet.underlay.read_addresses", lambda: next(late))
    monkeypatch.setattr(commands.time, "sleep", lambda _: None)
    assert main(["up", "250.0.0.0/8", "eth0/16", "--wait", "60"]) == 0
    assert kernel.fans


def test_up_without_dhcp_stops_the_one_that_was(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dhcp, "remove_dhcp", lambda bridge: [f"stopped DHCP on {bridge}"])
    main(["up", "250.0.0.0/8", "eth0/16"])
    assert "stopped DHCP on fan-250" in capsys.readouterr().out


def test_dhcp_that_cannot_be_served_is_refused_before_anything_changes(
    kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["up", "250.0.0.0/8", "eth0/16", "dhcp"]) == 1
    assert "DHCP needs systemd" in capsys.readouterr().err
    assert not kernel.fans


@pytest.mark.parametrize(
    "line",
    [
        "250.0.0.0/8",
        "250.0.0.0/8 eth0/16",
        "250.0.0.0/8 eth0/16 dhcp",
        "250.0.0.0/8 172.30.0.28/16",
        "250.0.0.0/8 172.30.0.0/16",
        "-u eth0/16 -o 250.0.0.0/8 --dhcp --bridge=fan-250",
        "-e",
    ],
)
def test_down_takes_what_up_takes(kernel: Kernel, line: str) -> None:
    main(["up", "250.0.0.0/8", "eth0/16"])
    assert main(["down", *line.split()]) == 0
    assert not kernel.fans


@pytest.mark.parametrize("underlay", ["eth1/16", "eth0/20", "172.31.0.0/16", "172.30.0.0/20"])
def test_down_leaves_a_fan_over_another_underlay_alone(
    kernel: Kernel, capsys: pytest.CaptureFixture[str], underlay: str
) -> None:
    main(["up", "250.0.0.0/8", "eth0/16"])
    assert main(["down", "250.0.0.0/8", underlay]) == 1
    assert f"over 172.30.0.0/16 on eth0, not {underlay}" in capsys.readouterr().err
    assert kernel.fans


def test_down_of_a_fan_that_is_not_there_says_so_and_is_no_failure(
    kernel: Kernel, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["down", "250.0.0.0/8"]) == 0
    assert "no fan 250.0.0.0/8 is up" in capsys.readouterr().err


def test_down_a_takes_the_files_fans_and_down_e_every_one(
    kernel: Kernel, write_file: Callable[[str], Path]
) -> None:
    write_file("250.0.0.0/8 eth0/16\n251.0.0.0/8 eth0/16 off\n")
    for overlay in ("250.0.0.0/8", "251.0.0.0/8", "252.0.0.0/8"):
        main(["up", overlay, "eth0/16"])
    assert main(["down", "-a"]) == 0
    assert [str(overlay) for overlay in kernel.fans] == ["252.0.0.0/8"]
    assert main(["down", "-e"]) == 0
    assert not kernel.fans
