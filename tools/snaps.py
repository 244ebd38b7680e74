"""Makes a snap of a project, as snapcraft would, but of this machine's Python and with our pins.

snapcraft builds in a container or on the release of the snap's base. What is made here takes the
same snapcraft.yaml, of whose parts it knows the plugins that ours have: `uv` and `dump`.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from craft_platforms import DebianArchitecture

from tools.building import run_tool

METADATA = Path("snap/snapcraft.yaml")
_SNAP = "/usr/bin/snap"
_PYTHON = "/usr/bin/python3"
# What snapcraft alone reads; snapd takes the rest as it is.
_SNAPCRAFT = {"compression", "icon", "parts", "platforms", "website"}
# Of each file: squashfs keeps times, and they would make every snap another. 1 January 2026.
_TIME = 1767225600
_TELLTALES = ("direct_url.json", "uv_cache.json")


def make(project: Path, tree: Path, environment: Mapping[str, str], name: str) -> None:
    """Make a project's snap in its folder.

    Args:
        project: its folder, with a uv.lock.
        tree: where what goes in is laid out; there is nothing yet.
        environment: of the programs that build it.
        name: what messages call it.

    Raises:
        BuildError: uv failed, or snap did, which checks what snapd would.
    """
    metadata = yaml.safe_load((project / METADATA).read_text())
    environment = {**environment, "UV_PROJECT_ENVIRONMENT": str(tree), "UV_LINK_MODE": "copy"}
    uv = str(Path(sys.executable).with_name("uv"))
    run_tool([uv, "venv", "--python", _PYTHON, str(tree)], project, environment, name)
    run_tool([uv, "sync", "--frozen", "--no-progress"], project, environment, name)
    _leave_out(tree)
    for part in metadata["parts"].values():
        if part["plugin"] == "dump":
            _dump(part, (project / part["source"]).resolve(), tree)
    _describe(metadata, project, tree)
    for path in (tree, *tree.rglob("*")):
        os.utime(path, (_TIME, _TIME), follow_symlinks=False)
    pack = [_SNAP, "pack", f"--compression={metadata['compression']}", str(tree), str(project)]
    run_tool(pack, project, {**environment, "SOURCE_DATE_EPOCH": str(_TIME)}, name)


def _leave_out(tree: Path) -> None:
    """Remove what the environment has for shells and for uv, and what depends on when and where
    it was made.
    """
    for path in (*tree.glob("bin/*"), *tree.glob(".*"), tree / "CACHEDIR.TAG"):
        if not path.name.startswith("python"):
            path.unlink(missing_ok=True)
    for record in tree.glob("lib/*/site-packages/*.dist-info/RECORD"):
        for name in _TELLTALES:
            (record.parent / name).unlink(missing_ok=True)
        lines = record.read_text().splitlines(keepends=True)
        record.write_text("".join(each for each in lines if not _is_left_out(each)))


def _is_left_out(line: str) -> bool:
    """Return whether a line of a RECORD is about such a file; a script has its folder in it."""
    path = Path(line.partition(",")[0])
    return path.name in _TELLTALES or path.parts[:4] == ("..", "..", "..", "bin")


def _dump(part: Mapping[str, Any], source: Path, tree: Path) -> None:
    """Copy the files of a part: where `organize` says, and of those what `stage` says."""
    for file in sorted(each for each in source.rglob("*") if each.is_file()):
        place = file.relative_to(source)
        for old, new in part.get("organize", {}).items():
            if place.is_relative_to(old):
                place = new / place.relative_to(old)
        if any(place.is_relative_to(wanted) for wanted in part["stage"]):
            _copy(file, tree / place)


def _describe(metadata: Mapping[str, Any], project: Path, tree: Path) -> None:
    """Write what snapd reads: meta/snap.yaml, the hooks, the icon."""
    told = {key: value for key, value in metadata.items() if key not in _SNAPCRAFT}
    told["architectures"] = [DebianArchitecture.from_host().value]
    for hook in (project / "snap/hooks").iterdir():
        _copy(hook, tree / "meta/hooks" / hook.name)
    icon = (project / metadata["icon"]).resolve()
    _copy(icon, tree / "meta/gui" / f"icon{icon.suffix}")
    (tree / "meta/snap.yaml").write_text(yaml.safe_dump(told, sort_keys=False))


def _copy(file: Path, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(file, place)
