from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fannet import datapath, dhcp, fanfile
from fannet.cli import commands, main
from fannet.cli.parser import parse
from fannet.drops import DROPS
from fannet.errors import ConflictError
from fannet.fan import Change, Fan, FanState
from fannet.fanfile import FLAGS
from fannet.machine import Address


class Kernel:
    """A data path in memory."""

    def __init__(self) -> None:
        self.fans: dict[IPv4Network, Fan] = {}
        self.plugged = ("veth1", "veth2")
        self.refuses = ""
        self.forced = False
        self.overlaps: tuple[str, ...] = ()

    def up(self, fan: Fan, *, force: bool = False) -> Change:
        self.forced = force
        if self.refuses == fan.bridge:
            raise ConflictError(f"{fan.bridge} is someone else's; name another bridge")
        before = self.fans.get(fan.overlay)
        self.fans[fan.overlay] = fan
        if before == fan:
            return Change(plugged=self.plugged)
        moved = (before.slice, fan.slice) if before and before.slice != fan.slice else None
        renamed = before.bridge if before and before.bridge != fan.bridge else ""
        steps = (f"make bridge {fan.bridge}",)
        return Change(steps, moved, self.plugged, renamed, self.overlaps)

    def down(self, overlay: IPv4Network) -> Change:
        fan = self.fans.pop(overlay, None)
        return Change((f"remove bridge {fan.bridge}",) if fan else ())

    def read(self) -> list[FanState]:
        drops = dict.fromkeys(DROPS, 0) | {"rx_source": 3}
        return [
            FanState(fan, fan.mtu or 1450, "eth0", self.plugged, drops, ("its filter is lost",))
            for _, fan in sorted(self.fans.items())
        ]


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


@pytest.mark.parametrize(
    "spelling",
    [
        ["-u", "eth0/16", "-o", "250.0.0.0/8", "--mtu=1400", "--bridge=fan0", "--no-masquerade"],
        ["-o", "250.0.0.0/8", "mtu", "1400", "-u", "eth0/16", "bridge", "fan0", "no-masquerade"],
        ["--mtu", "1400", "250.0.0.0/8", "eth0/16", "no-masquerade", "--bridge", "fan0"],
        ["250.0.0.0/8", "eth0/16", "--mtu=1400", "bridge", "fan0", "no-masquerade"],
    ],
)
def test_both_spellings_mean_the_same(spelling: list[str]) -> None:
    old = ["up", "250.0.0.0/8", "eth0/16", "mtu", "1400", "bridge", "fan0", "no-masquerade"]
    assert parse(["up", *spelling]).entry == parse(old).entry


@given(st.sets(st.sampled_from(sorted(FLAGS))), st.data())
def test_every_flag_is_an_option_of_the_same_name(names: set[str], data: st.DataObject) -> None:
    if {"bridge", "into"} <= names:
        names = names - {"into"}
    words, options = [], []
    for name in sorted(names):
        flag = FLAGS[name]
        value = str(data.draw(st.integers(1, 9999))) if flag.value else ""
        words += [name, value] if flag.value else [name]
        options.append(f"--{name}={value}" if flag.value else f"--{name}")
    old = ["up", "250.0.0.0/8", "eth0/16", *words]
    new = ["up", "-o", "250.0.0.0/8", "-u", "eth0/16", *options]
    assert parse(old).entry == parse(new).entry


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("", "no command was given"),
        ("start", "'start' is unknown; there are: up, down, show"),
        ("show --verbos", "unrecognized arguments: --verbos"),
        ("up", "no fan was named; give OVERLAY UNDERLAY"),
        ("up 250.0.0.0/8", "'250.0.0.0/8' alone"),
        ("up -o 250.0.0.0/8", "'250.0.0.0/8' alone"),
        ("up -u eth0/16", "give -o OVERLAY"),
        ("up -o 250.0.0.0/8 -u eth0/16 251.0.0.0/8", "'251.0.0.0/8' is not a flag"),
        ("up 250.0.0.0/8 eth0/16 off", "'off' is for /etc/network/fan alone"),
        ("up 250.0.0.0/8 eth0/16 --mtu=1400 mtu 1300", "'mtu' is given twice"),
        ("up -a 250.0.0.0/8 eth0/16", "-a takes all fans from"),
        ("up -a --dhcp", "-a takes all fans from"),
        ("up -a --wait soon", "'soon' is not a number of seconds"),
        ("down", "name one fan by its overlay"),
        ("down -u eth0/16", "an underlay alone does not name a fan"),
        ("down -a -e", "name one fan by its overlay, or give -a or -e"),
        ("down 250.0.0.1/8", "has host bits set"),
        ("down 250.0.0.0/8 eth0/16 dhpc", "flag 'dhpc' is unknown"),
        ("boot maybe", "invalid choice: 'maybe'"),
    ],
)
def test_a_wrong_command_line_is_refused_in_one_line(
    kernel: Kernel, capsys: pytest.CaptureFixture[str], line: str, told: str
) -> None:
    assert main(line.split()) == 2
    out, err = capsys.readouterr()
    assert not out
    assert told in err
    assert err.startswith("fanctl: ")
    assert err.count("\n") == 1
    assert not kernel.fans


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


def test_force_is_no_flag_of_a_fan(kernel: Kernel) -> None:
    assert main(["up", "250.0.0.0/8", "eth0/16", "--force"]) == 0
    assert kernel.forced
    assert main(["up", "250.0.0.0/8", "eth0/16", "force"]) == 2


def test_dhcp_of_a_bridge_that_has_another_name_now_is_stopped(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    stopped: list[str] = []
    monkeypatch.setattr(dhcp, "remove_dhcp", lambda bridge: stopped.append(bridge) or [])
    main(["up", "250.0.0.0/8", "eth0/16"])
    main(["up", "250.0.0.0/8", "eth0/16", "bridge", "cloud"])
    assert stopped == ["fan-250", "fan-250", "cloud"]


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fanctl {version('fannet')}\n"


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


@pytest.mark.parametrize(
    "line", ["up 250.0.0.0/8 eth0/16", "down -e", "show", "check", "boot enable"]
)
def test_what_takes_root_says_so(
    kernel: Kernel,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    line: str,
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert main(line.split()) == 1
    assert "use sudo" in capsys.readouterr().err


def test_a_program_that_is_missing_is_told_in_one_line(
    kernel: Kernel, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object, **__: object) -> Change:
        raise FileNotFoundError(2, "No such file or directory", "/usr/sbin/nft")

    monkeypatch.setattr(datapath, "up", fail)
    assert main(["up", "250.0.0.0/8", "eth0/16"]) == 1
    assert capsys.readouterr().err == "fanctl: /usr/sbin/nft: No such file or directory\n"


@pytest.mark.parametrize("verb", ["", "up", "down", "show", "check", "config", "boot"])
def test_help_teaches_every_verb(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with contextlib.suppress(SystemExit):  # argparse's way to end
        assert main([*verb.split(), "--help"]) == 0
    out = capsys.readouterr().out
    assert "fanctl" in out
    assert all(len(line) < 100 for line in out.splitlines())


def test_help_is_a_verb_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    assert "fanctl up 250.0.0.0/8 eth0/16 dhcp" in capsys.readouterr().out


def test_what_up_does_not_need_is_not_imported() -> None:
    """Starting Python is most of the time that `fanctl up` takes."""
    code = "import sys, fannet.cli.parser; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"fannet.check", "fannet.probes", "fannet.boot"}
    assert not loaded & {"asyncio", "pyroute2.iproute", "pydantic", "rich"}


def test_what_ubuntus_package_leaves_behind_for_ifupdown_succeeds() -> None:
    assert main(["net", "start", "eth0"]) == 0
