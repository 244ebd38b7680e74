"""Removes what machines hold: trees that anybody in a machine may have made, of any depth."""

from __future__ import annotations

from pathlib import Path

from localmodel.machines.processes import run

# rm(1) walks with directory descriptors, so neither a tree's depth nor the length of its paths
# stops it, and it follows no link. What is mounted in a tree is kept, and told.
REMOVE = ("/bin/rm", "--recursive", "--force", "--one-file-system", "--")


def remove_tree(path: Path) -> None:
    """Remove a file, or a folder with all that is in it; nothing to do where there is none.

    Raises: LocalModelError with rm's own words if something stays.
    """
    run(*REMOVE, path)
