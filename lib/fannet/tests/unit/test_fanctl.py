"""The command line of fanctl: how it is spelled, refused and explained."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from importlib.metadata import version

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fannet import datapath
from fannet.cli import main
from fannet.cli.parser import parse
from fannet.fan import Change
from fannet.fanfile import FLAGS
from lib.fannet.tests.unit.fake_datapath import Kernel


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
        ("boot", "required: enable|disable|status; see fanctl boot --help"),
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


def test_force_is_no_flag_of_a_fan(kernel: Kernel) -> None:
    assert main(["up", "250.0.0.0/8", "eth0/16", "--force"]) == 0
    assert kernel.forced
    assert main(["up", "250.0.0.0/8", "eth0/16", "force"]) == 2


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fanctl {version('fannet')}\n"


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
