"""Packages: installing them, and where a unit has them from besides the system's own sources."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import ModuleType

from hostkit import charmhelp, files, programs
from hostkit.sources import PackageSource

APT = Path("/etc/apt")
_APT_GET = "/usr/bin/apt-get"
_TIMEOUT = 900  # seconds
_PAUSE = 2  # seconds until another look whether others are done
# To one that accepts connections and says nothing, apt itself gives four minutes for each file.
_FETCHING = ["--option=Acquire::http::Timeout=20", "--option=Acquire::Retries=1"]
_OPTIONS = ["--no-install-recommends", "--option=Dpkg::Options::=--force-confold", *_FETCHING]


def ensure_packages(*packages: str) -> None:
    """Install those packages that are missing; wait while another package manager works.

    Raises:
        OSError: apt failed; the text has its reason.
    """
    # A hook that was killed may have left packages half configured, which apt refuses to repair.
    _call_when_free(lambda: programs.run("/usr/bin/dpkg", "--configure", "-a", timeout=_TIMEOUT))
    try:
        fetch = charmhelp.load_fetch()
        try:
            _call_when_free(lambda: _install_missing(fetch, packages))
        except OSError:
            # The package lists may be missing or too old.
            trouble = _update()
            try:
                _call_when_free(lambda: _install_missing(fetch, packages))
            except OSError as error:
                raise OSError("; ".join(filter(None, [str(error), trouble]))) from error
    except subprocess.CalledProcessError as error:
        # What charmhelpers asks of the system before apt-get is not to fail a hook either.
        raise OSError(f"installing {' '.join(packages)}: {error}") from error


def is_offered(package: str) -> bool:
    """Return whether one of the machine's sources has a package. Raises OSError."""
    # `apt-cache show` also knows packages that were removed and not purged.
    said = programs.run("/usr/bin/apt-cache", "policy", package)
    return bool(re.search(r"^  Candidate: [0-9]", said, re.MULTILINE))


def ensure_sources(
    unit: str, sources: Sequence[PackageSource], report: Callable[[str], None] | None = None
) -> None:
    """Ensure that a unit's sources, and no other ones of its own, are among its machine's.

    They are tried first: where one does not answer, or is not signed by its key, those that were
    there before stay, and all of apt goes on working.

    Args:
        unit: such as mprime/0.
        sources: what its options name.
        report: called with a short text before a step that takes time.

    Raises:
        OSError: apt can't read a source; the text has its reason.
    """
    if not sources:
        remove_sources(unit)
        return
    keys = {_locate_key(source.key): source.key for source in sources if source.key}
    lines = "".join(f"{line}\n" for line in _list_lines(sources))
    logins = "".join(f"{source.login}\n" for source in sources if source.login)
    head = f"# Made by the charm of {unit}. A change made here is undone.\n"
    listed, login = _locate_files(unit)
    wanted = [*keys.items(), (login, logins and head + logins), (listed, head + lines)]
    if all(_read(file) == text for file, text in wanted):
        return
    if report:
        report("reading the sources of packages")
    for file, key in keys.items():
        file.parent.mkdir(exist_ok=True)
        files.write(file, key)
    try:
        _try_sources(listed, head + lines, logins)
    except OSError as error:
        raise OSError(f"option install_sources: {error}") from error
    if logins:
        files.write(login, head + logins, mode=0o600)
    files.write(listed, head + lines)
    if not logins:
        login.unlink(missing_ok=True)
    _remove_unused_keys()


def remove_sources(unit: str) -> None:
    """Remove a unit's sources from its machine, and keys that no other source needs.

    Raises:
        OSError: a file can't be removed.
    """
    for file in _locate_files(unit):
        file.unlink(missing_ok=True)
    _remove_unused_keys()


def _install_missing(fetch: ModuleType, packages: Sequence[str]) -> None:
    missing = fetch.filter_installed_packages(packages)
    if not missing:
        return
    # With fatal=True it would try eleven times whatever the reason, such as a misspelt name, for
    # nearly two minutes, and raise an error without the reason. So look what came of it.
    said = _collect_output(lambda: fetch.apt_install(missing, options=_OPTIONS))
    installed = fetch.apt_cache().dpkg_list(missing)
    if left := [package for package in missing if package not in installed]:
        raise OSError(f"apt-get install {' '.join(left)}: {programs.find_reason(said)}")


def _update() -> str:
    """Fetch the lists of all sources; return why some could not be, empty if all were."""
    try:
        _fetch_lists({})
    except OSError as error:
        # The others' may have what is wanted.
        return str(error)
    return ""


def _fetch_lists(options: Mapping[str, object]) -> None:
    """Fetch the lists of sources. Raises OSError."""
    # By default one that does not answer is a warning.
    given = {"APT::Update::Error-Mode": "any", **options}
    words = [*_FETCHING, *(f"--option={name}={value}" for name, value in given.items())]
    _call_when_free(lambda: programs.run(_APT_GET, *words, "update", timeout=_TIMEOUT))


def _collect_output(function: Callable[[], object]) -> str:
    """Return what the programs that a function starts write to this process's output."""
    with tempfile.TemporaryFile() as file:
        own = {stream: os.dup(stream) for stream in (1, 2)}
        sys.stdout.flush()
        try:
            for stream in own:
                os.dup2(file.fileno(), stream)
            function()
        finally:
            sys.stderr.flush()
            for stream, copy in own.items():
                os.dup2(copy, stream)
                os.close(copy)
        file.seek(0)
        return file.read().decode(errors="replace")


def _call_when_free(step: Callable[[], object]) -> None:
    """Run a package manager; wait while another one works, such as a killed hook's."""
    deadline = time.monotonic() + _TIMEOUT
    while True:
        try:
            step()
            return
        except OSError as error:
            # apt's own waiting does not cover its lists, and dpkg has none.
            if " lock" not in str(error) or time.monotonic() > deadline:
                raise
        time.sleep(_PAUSE)


def _locate_files(unit: str) -> tuple[Path, Path]:
    """Return where a unit's sources are, and the logins for them."""
    name = f"juju-{unit.replace('/', '-')}"
    return APT / "sources.list.d" / f"{name}.list", APT / "auth.conf.d" / f"{name}.conf"


def _locate_key(key: str) -> Path:
    """Return where a key is; the same for all units, as apt refuses one repository with two."""
    digest = hashlib.sha256(key.encode()).hexdigest()
    return APT / "keyrings" / f"juju-{digest[:16]}.asc"


def _list_lines(sources: Sequence[PackageSource]) -> Iterator[str]:
    """Yield sources as sources.list(5) has them."""
    for source in sources:
        key = (f"signed-by={_locate_key(source.key)}",) if source.key else ()
        options = " ".join((*source.options, *key))
        yield " ".join(("deb", *([f"[{options}]"] if options else []), source.uri, source.parts))


def _try_sources(listed: Path, lines: str, logins: str) -> None:
    """Fetch the lists of sources that are not in place yet. Raises OSError."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draft = folder / listed.name
        draft.write_text(lines)
        for other in listed.parent.iterdir():
            if other.name != listed.name:
                (folder / other.name).symlink_to(other)
        # Two that name different keys for one repository keep apt from reading any.
        programs.run(_APT_GET, f"--option=Dir::Etc::sourceparts={folder}", "indextargets")
        auth = folder / "auth.conf"
        auth.touch(mode=0o600)
        auth.write_text(logins)
        options = {
            "APT::Get::List-Cleanup": "false",  # of other sources
            "Dir::Etc::netrc": auth,
            "Dir::Etc::sourcelist": draft,
            "Dir::Etc::sourceparts": "-",
        }
        _fetch_lists(options)


def _remove_unused_keys() -> None:
    """Remove the keys that units brought, and no source names."""
    keys = [*(APT / "keyrings").glob("juju-*.asc")]
    if keys:
        used = "".join(_read(file) for file in (APT / "sources.list.d").iterdir())
        for key in keys:
            if str(key) not in used:
                key.unlink()


def _read(file: Path) -> str:
    """Return what a file holds; nothing if there is none."""
    return file.read_text(errors="replace") if file.is_file() else ""
