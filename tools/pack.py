"""Packs the charms and snaps of this repository into `dist/`, for the system of this machine.

Charmcraft runs on a copy of a charm's files, because it writes beside its sources, and because
the copy gets what the repository does not hold: this machine's platform, wheels of the libraries
in `lib/`, and a `uv.lock`. Nothing that is not pinned with a hash runs or gets in: the libraries
are built by what `run` has installed, and all else is a wheel that `requirements/` knows.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import tomli
import yaml
from craft_platforms import DebianArchitecture
from rich.progress import Progress

from tools import snaps
from tools.building import PackError, run_tool
from tools.locks import hold_lock
from tools.pins import UnpinnedError, read_pins, strip_lock

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
WORK = ROOT / ".cache" / "pack"
PINS = ROOT / "requirements" / "dev.txt"
STEPS = ("copying", "locking", "building", "packed")
# Outside of git, where no .gitignore can be asked.
BUILT = {"__pycache__", ".venv", ".tox", ".cache", "dist", "build", "parts", "prime", "stage"}


class UnknownCharmError(PackError):
    """A name that is not a charm of this repository."""


def find_charms() -> dict[str, Path]:
    """Return the folder of every charm in the repository, by the charm's name."""
    files = [*ROOT.glob("charms/*/charmcraft.yaml"), *ROOT.glob("tests/charms/*/charmcraft.yaml")]
    return {file.parent.name: file.parent for file in sorted(files)}


def find_snaps() -> dict[str, Path]:
    """Return the folder of every snap in the repository, by its path there: snaps/mprime."""
    files = sorted(ROOT.glob(f"snaps/*/{snaps.METADATA}"))
    return {str(file.parents[1].relative_to(ROOT)): file.parents[1] for file in files}


def find_inputs(project: Path) -> list[Path]:
    """Return the files that make up a charm or a snap: its own, its libraries', its parts'."""
    folders = [project, *find_libraries(project), *_find_sources(project)]
    files = {file for folder in folders for file in list_files(folder)}
    if icon := _read_metadata(project).get("icon"):
        files.add((project / icon).resolve())
    return sorted(files | {ROOT / "LICENSE"})


def find_libraries(project: Path) -> Iterator[Path]:
    """Yield the folders that a project's `tool.uv.sources` point to, and theirs in turn."""
    try:
        settings = tomli.loads((project / "pyproject.toml").read_text())
    except FileNotFoundError as error:
        raise PackError(f"{project.relative_to(ROOT)} has no pyproject.toml; add one") from error
    except tomli.TOMLDecodeError as error:
        raise PackError(f"{project.relative_to(ROOT)}/pyproject.toml: {error}") from error
    for source in settings.get("tool", {}).get("uv", {}).get("sources", {}).values():
        if "path" in source:
            library = (project / source["path"]).resolve()
            yield library
            yield from find_libraries(library)


def _find_sources(project: Path) -> Iterator[Path]:
    """Yield the folders that a charm's or a snap's parts take files from.

    A part that builds one with its libraries has the whole repository as its source; there the
    libraries alone matter.
    """
    for part in _read_metadata(project).get("parts", {}).values():
        source = (project / str(part.get("source", "."))).resolve()
        if source != ROOT and ROOT in source.parents and source.is_dir():
            yield source


def _read_metadata(project: Path) -> dict[str, Any]:
    file = project / (snaps.METADATA if _is_snap(project) else "charmcraft.yaml")
    name = f"{project.name}/{file.relative_to(project)}"
    try:
        metadata = yaml.safe_load(file.read_text())
    except yaml.YAMLError as error:
        raise PackError(f"{name} is not valid YAML: {error}") from error
    if not isinstance(metadata, dict):
        raise PackError(f"{name} must contain keys and values")
    return metadata


def _is_snap(project: Path) -> bool:
    return (project / snaps.METADATA).exists()


def list_files(folder: Path) -> list[Path]:
    """Return the files below a folder, without ignored ones and without its tests."""
    # safe.directory: under sudo the checkout belongs to somebody else.
    git = ["/usr/bin/git", "-C", str(folder), "-c", f"safe.directory={ROOT}"]
    arguments = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run([*git, *arguments], check=True, capture_output=True, text=True)
        files = [folder / name for name in listed.stdout.split("\0") if name]
    except (FileNotFoundError, subprocess.CalledProcessError):
        files = [f for f in folder.rglob("*") if not BUILT & {*f.relative_to(folder).parts}]
    # A file that was deleted, but not in git yet, is still listed.
    return [f for f in files if f.is_file() and f.relative_to(folder).parts[0] != "tests"]


def digest_inputs(files: Iterable[Path]) -> str:
    """Return one SHA-256 over all that decides what a packed charm contains."""
    digest = hashlib.sha256()
    for part in (host_platform(), platform.python_version(), PINS.read_text()):
        digest.update(part.encode() + b"\0")
    for tool in (__file__, snaps.__file__):
        digest.update(Path(tool).read_bytes())
    for file in files:
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{file.relative_to(ROOT)}\0{file.stat().st_mode:o}\0{content}\0".encode())
    return digest.hexdigest()


def host_platform() -> str:
    """Return charmcraft's name for this machine, such as `debian@12:amd64`."""
    release = platform.freedesktop_os_release()
    arch = DebianArchitecture.from_host().value
    return f"{release['ID']}@{release.get('VERSION_ID', '')}:{arch}"


def pack(names: Iterable[str] = (), progress: Progress | None = None) -> dict[str, Path]:
    """Pack the named charms and snaps, or all charms; return each one's file.

    One is packed only when something that goes into it has changed. Two are packed at a
    time on two processors.

    Raises:
        UnknownCharmError: a name is not a charm or a snap of this repository.
        BuildError: charmcraft, snap or uv failed.
        PackError: its own files are wrong.
    """
    charms = find_charms()
    projects = charms | find_snaps()
    chosen = list(dict.fromkeys(names)) or list(charms)
    unknown = [name for name in chosen if name not in projects]
    if unknown:
        raise UnknownCharmError(
            f"no charm is called {', '.join(unknown)}; there are: {', '.join(projects) or 'none'}"
        )
    with hold_lock(WORK / "lock"), ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        packing = {name: pool.submit(_pack_one, name, projects[name], progress) for name in chosen}
    return {name: future.result() for name, future in packing.items()}


def find_packed(folder: Path) -> dict[str, Path]:
    """Return the `.charm` file of each charm of the repository in a folder of packed ones.

    A file has its charm's name, alone or with the platform that charmcraft appends to it, such as
    mprime_ubuntu@22.04-amd64.charm.

    Raises:
        PackError: one is missing, or there are several for one charm.
    """
    found = {}
    for name in find_charms():
        files = sorted({*folder.glob(f"{name}.charm"), *folder.glob(f"{name}_*.charm")})
        if len(files) != 1:
            there = ", ".join(file.name for file in files) or "none"
            raise PackError(
                f"{folder} must have one packed charm {name}, but has: {there}; pack it on the "
                f"release that the machines run: charmcraft pack -p {find_charms()[name]}"
            )
        found[name] = files[0].resolve()
    return found


def _pack_one(name: str, source: Path, progress: Progress | None) -> Path:
    task = progress.add_task(f"{name}: looking", total=len(STEPS)) if progress else None

    def show(step: str) -> None:
        if progress and task is not None:
            progress.update(task, description=f"{name}: {step}", advance=1)

    files = find_inputs(source)
    kind, slug = "snap" if _is_snap(source) else "charm", name.replace("/", "-")
    packed, stamp = DIST / f"{source.name}.{kind}", WORK / f"{slug}.stamp"
    wanted = digest_inputs(files)
    # The stamp names the result too, so that it vouches for no other file.
    if packed.exists() and stamp.exists() and stamp.read_text() == _make_stamp(wanted, packed):
        if progress and task is not None:
            progress.update(task, description=f"{name}: unchanged", completed=len(STEPS))
        return packed

    show(STEPS[0])
    build = WORK / slug
    shutil.rmtree(build, ignore_errors=True)
    for file in files:
        copy = build / file.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)
    project = build / source.relative_to(ROOT)
    environment = build_environment(WORK / f"{slug}.home")
    libraries = [build / each.relative_to(ROOT) for each in dict.fromkeys(find_libraries(source))]
    wheels = {each: build_wheel(each, environment, name) for each in libraries}
    if kind == "snap":
        _pin_project(project, wheels)
    else:
        _fit_to_host(project, wheels)

    show(STEPS[1])
    tools = Path(sys.executable).parent
    run_tool([str(tools / "uv"), "lock", "--no-progress"], project, environment, name)
    lock = project / "uv.lock"
    try:
        lock.write_text(strip_lock(lock.read_text(), read_pins(PINS)))
    except UnpinnedError as error:
        raise PackError(f"packing {name} failed: {error}") from error
    show(STEPS[2])
    if kind == "snap":
        snaps.make(project, build / "tree", environment, name)
    else:
        run_tool(
            [str(tools / "charmcraft"), "pack", "--destructive-mode"], project, environment, name
        )
    made = list(project.glob(f"*.{kind}"))
    if len(made) != 1:
        raise PackError(f"{len(made)} files were made of {name}, but one was expected")

    DIST.mkdir(exist_ok=True)
    made[0].replace(packed)
    stamp.write_text(_make_stamp(wanted, packed))
    shutil.rmtree(build)
    show(STEPS[3])
    return packed


def build_wheel(library: Path, environment: dict[str, str], name: str) -> Path:
    """Build the copy of a library, with the hatchling of our own environment; return the wheel.

    Args:
        library: the copy's folder.
        environment: see `build_environment`.
        name: what is packed, for errors.

    Raises:
        BuildError: hatchling failed.
    """
    command = [sys.executable, "-m", "hatchling", "build", "--target", "wheel"]
    run_tool([*command, "--directory", str(library)], library, environment, name)
    (wheel,) = library.glob("*.whl")
    return wheel


def _fit_to_host(project: Path, wheels: Mapping[Path, Path]) -> None:
    """Give the copy of a charm this machine's platform, and pin it as `_pin_project` does."""
    metadata = _read_metadata(project)
    metadata["platforms"] = {host_platform(): None}
    for part in metadata.get("parts", {}).values():
        part.pop("build-snaps", None)  # uv comes from our environment; no snap enters the host
    (project / "charmcraft.yaml").write_text(yaml.safe_dump(metadata, sort_keys=False))
    _pin_project(project, wheels)


def _pin_project(project: Path, wheels: Mapping[Path, Path]) -> None:
    """Give a copy pinned versions, and built libraries.

    Args:
        project: the copy.
        wheels: what was built of each library, by the folder of its copy.
    """
    project_file = project / "pyproject.toml"
    text = project_file.read_text()
    settings = tomli.loads(text).get("tool", {}).get("uv", {})
    sources, overrides = settings.get("sources", {}), settings.get("override-dependencies", [])
    named = {(project / s["path"]).resolve(): s["path"] for s in sources.values() if "path" in s}
    # Libraries that only other libraries name: a wheel does not tell where it has them from.
    indirect: list[str] = []
    for library, wheel in wheels.items():
        place = os.path.relpath(wheel, project)
        if library in named:
            text = text.replace(f'"{named[library]}"', f'"{place}"')
        else:
            indirect.append(wheel.name.partition("-")[0])
            table = "[tool.uv.sources]\n"
            text = text.replace(table, f'{table}{indirect[-1]} = {{ path = "{place}" }}\n', 1)
    table = "[tool.uv]\n"
    if table not in text:
        text = f"{text}\n{table}"
    pins = json.dumps(read_pins(PINS).requirements, indent=4)
    # A key stands in a table once.
    text = re.sub(r"^override-dependencies = \[.*\]\n", "", text, flags=re.MULTILINE)
    lists = (
        f"constraint-dependencies = {pins}\n"
        f"override-dependencies = {json.dumps([*overrides, *indirect])}\n"
    )
    project_file.write_text(text.replace(table, table + lists, 1))


def build_environment(home: Path) -> dict[str, str]:
    """Return the environment of one build; charmcraft keeps state and logs in its own home."""
    home.mkdir(mode=0o700, exist_ok=True)
    ours = {
        "CHARMCRAFT_EXPERIMENTAL_MONOREPO": "1",
        "HOME": str(home),
        "PATH": f"{Path(sys.executable).parent}:/usr/sbin:/usr/bin:/sbin:/bin",
        # A wheel needs no build, so no build backend is fetched.
        "UV_NO_BUILD": "true",
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(ROOT / ".cache" / "uv")),
        "UV_SYSTEM_CERTS": "true",
        **{f"XDG_{kind}": str(home) for kind in ("CACHE_HOME", "CONFIG_HOME", "DATA_HOME")},
        **{f"XDG_{kind}": str(home) for kind in ("RUNTIME_DIR", "STATE_HOME")},
    }
    foreign = ("PYTHON", "PYENV", "VIRTUAL_ENV", "CRAFT", "XDG")
    return {k: v for k, v in os.environ.items() if not k.startswith(foreign)} | ours


def _make_stamp(inputs: str, packed: Path) -> str:
    return f"{inputs} {hashlib.sha256(packed.read_bytes()).hexdigest()}"
