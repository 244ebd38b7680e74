"""Takes the modules that pyproject.toml names from the charmhelpers that is installed."""

from __future__ import annotations

from importlib.metadata import distribution
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CustomBuildHook(BuildHookInterface[Any]):
    """Adds them to the files of the wheel."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        whole = distribution("charmhelpers")
        if whole.version != self.metadata.version:
            raise RuntimeError(
                f"charmhelpers {whole.version} is installed, and pyproject.toml wants "
                f"{self.metadata.version}; give both the same version"
            )
        for module in self.config["modules"]:
            name = f"charmhelpers/{module}"
            build_data["force_include"][str(whole.locate_file(name))] = name
