"""With the apt of the system that the tests run on, and folders of the tests' own."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from hostkit import apt, charmhelp, programs
from hostkit.sources import parse_sources
from lib.hostkit.tests.unit.keys import KEY, OTHER_KEY

SETTINGS = """
Dir "{root}";
Dir::State::status "{root}/status";
Dir::Bin::methods "/usr/lib/apt/methods";
APT::Sandbox::User "";
APT::Get::List-Cleanup "false";
"""
PACKAGE = """\
Package: {name}
Version: 1.0
Architecture: all
Maintainer: tests
Filename: ./{name}.deb
Size: 1
SHA256: {digest}
"""


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folders of a machine's apt."""
    folder = tmp_path / "etc" / "apt"
    for name in ("sources.list.d", "auth.conf.d", "preferences.d", "apt.conf.d", "trusted.gpg.d"):
        (folder / name).mkdir(parents=True)
    for name in ("var/lib/apt/lists/partial", "var/cache/apt/archives/partial"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "status").touch()
    (tmp_path / "apt.conf").write_text(SETTINGS.format(root=tmp_path))
    monkeypatch.setenv("APT_CONFIG", str(tmp_path / "apt.conf"))
    monkeypatch.setattr(apt, "APT", folder)
    return folder


def make_repository(folder: Path, package: str) -> str:
    """Make a repository that has a package, and return its source."""
    folder.mkdir()
    (folder / "Packages").write_text(PACKAGE.format(name=package, digest="0" * 64))
    return f"deb [trusted=yes] file:{folder} ./"


def ensure(unit: str, *sources: str, key: str = "") -> None:
    apt.ensure_sources(unit, parse_sources("\n".join(f"- '{each}'" for each in sources), key))


def list_files(machine: Path) -> list[str]:
    folders = ("sources.list.d", "auth.conf.d", "keyrings")
    files = (file for name in folders for file in (machine / name).glob("*"))
    return sorted(file.name for file in files)


def test_apt_has_what_a_source_offers_until_it_is_removed(machine: Path, tmp_path: Path) -> None:
    ensure("web/0", make_repository(tmp_path / "one", "first"))
    assert apt.is_offered("first")
    apt.remove_sources("web/0")
    assert not apt.is_offered("first")
    assert list_files(machine) == []


def test_other_sources_replace_those_that_were_there(machine: Path, tmp_path: Path) -> None:
    ensure("web/0", make_repository(tmp_path / "one", "first"))
    ensure("web/0", make_repository(tmp_path / "two", "second"))
    assert (apt.is_offered("first"), apt.is_offered("second")) == (False, True)
    ensure("web/0")
    assert not apt.is_offered("second")
    assert list_files(machine) == []


def test_what_is_in_place_is_not_read_again(
    machine: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = make_repository(tmp_path / "one", "first")
    ensure("web/0", source)
    monkeypatch.delattr(programs, "run")
    monkeypatch.delattr(charmhelp, "load_fetch")
    ensure("web/0", source)
    assert list_files(machine) == ["juju-web-0.list"]


def test_what_somebody_changed_is_undone(machine: Path, tmp_path: Path) -> None:
    source = make_repository(tmp_path / "one", "first")
    ensure("web/0", source)
    file = machine / "sources.list.d" / "juju-web-0.list"
    before = file.read_text()
    file.write_text("")
    ensure("web/0", source)
    assert file.read_text() == before


def test_a_source_that_does_not_answer_is_refused_and_those_before_stay(
    machine: Path, tmp_path: Path
) -> None:
    source = make_repository(tmp_path / "one", "first")
    ensure("web/0", source)
    with pytest.raises(
        OSError,
        match=r"^option install_sources: apt-get update: .*file:/nowhere .* does not have a Rel",
    ):
        ensure("web/0", source, "deb file:/nowhere stable main")
    assert apt.is_offered("first")
    assert "nowhere" not in (machine / "sources.list.d" / "juju-web-0.list").read_text()


def test_a_mirror_that_accepts_connections_and_says_nothing_is_given_up(
    machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("http_proxy", raising=False)
    shorter = ["--option=Acquire::http::Timeout=1" if "Timeout" in o else o for o in apt._FETCHING]
    monkeypatch.setattr(apt, "_FETCHING", shorter)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(
            OSError, match=f"^option install_sources: apt-get update: Failed to fetch {address}/"
        ):
            ensure("web/0", f"deb [trusted=yes] {address} ./")
    assert list_files(machine) == []


def test_a_repository_that_is_signed_by_another_key_is_refused(
    machine: Path, tmp_path: Path
) -> None:
    source = make_repository(tmp_path / "one", "first").replace("[trusted=yes] ", "")
    (tmp_path / "one" / "Release").write_text("Date: Thu, 01 Jan 2026 00:00:00 UTC\n")
    with pytest.raises(
        OSError, match=r"^option install_sources: apt-get update: The repository .* is not signed"
    ):
        ensure("web/0", source, key=KEY)
    apt.remove_sources("web/0")
    assert list_files(machine) == []


def test_units_that_bring_the_same_source_share_its_key_until_the_last_one_goes(
    machine: Path, tmp_path: Path
) -> None:
    source = make_repository(tmp_path / "one", "first")
    for unit in ("web/0", "fan/0"):
        ensure(unit, source, key=KEY)
    (key,) = (machine / "keyrings").iterdir()
    assert key.read_text() == KEY
    assert list_files(machine) == [key.name, "juju-fan-0.list", "juju-web-0.list"]
    apt.remove_sources("web/0")
    assert apt.is_offered("first")
    assert list_files(machine) == [key.name, "juju-fan-0.list"]
    apt.remove_sources("fan/0")
    assert list_files(machine) == []


def test_a_key_that_another_source_contradicts_is_refused_before_it_breaks_apt(
    machine: Path, tmp_path: Path
) -> None:
    source = make_repository(tmp_path / "one", "first")
    ensure("web/0", source, key=KEY)
    with pytest.raises(
        OSError,
        match=r"^option install_sources: apt-get indextargets: Conflicting values set for opt",
    ):
        ensure("fan/0", source, key=OTHER_KEY)
    assert apt.is_offered("first")


def test_a_login_is_kept_where_root_alone_reads_it(machine: Path, tmp_path: Path) -> None:
    make_repository(tmp_path / "one", "first")
    ensure("web/0", f"deb [trusted=yes] file://me:pass%2Fword@{tmp_path}/one ./")
    login = machine / "auth.conf.d" / "juju-web-0.conf"
    assert login.stat().st_mode & 0o777 == 0o600
    assert login.read_text().endswith(
        f"\nmachine file://{tmp_path}/one login me password pass/word\n"
    )
    assert "word" not in (machine / "sources.list.d" / "juju-web-0.list").read_text()
    ensure("web/0", f"deb [trusted=yes] file:{tmp_path}/one ./")
    assert list_files(machine) == ["juju-web-0.list"]
