"""Others use what fannet exports, and reach into nothing else of it."""

from __future__ import annotations

import ast
from pathlib import Path

import fannet

ROOT = Path(__file__).parents[4]
# Beside the package itself; its docstring says what each is for.
PUBLIC = {"fannet", "fannet.check", "fannet.dhcp", "fannet.probes"}


def find_imports(file: Path) -> set[str]:
    """What a file imports of fannet or takes from it by its name, with dots."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            found.add(f"{node.value.id}.{node.attr}")
    return {name for name in found if name.partition(".")[0] == "fannet"}


def is_public(name: str) -> bool:
    module, _, member = name.rpartition(".")
    if name in PUBLIC or (module == "fannet" and member in fannet.__all__):
        return True
    return module in PUBLIC - {"fannet"} and not member.startswith("_")


def test_nothing_reaches_into_a_private_module() -> None:
    files = [*ROOT.glob("charms/*/src/**/*.py"), *ROOT.glob("lib/*/src/**/*.py")]
    users = [file for file in files if not file.is_relative_to(Path(fannet.__file__).parent)]
    found = {
        f"{file.relative_to(ROOT)} imports {name}"
        for file in users
        for name in find_imports(file)
        if not is_public(name)
    }
    assert len(users) > len(list(Path(fannet.__file__).parent.glob("*.py")))
    assert found == set()


def test_all_that_is_exported_is_there() -> None:
    assert all(hasattr(fannet, name) for name in fannet.__all__)
