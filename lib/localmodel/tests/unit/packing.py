"""Packs small charms for the tests: a zip file as charmcraft writes it."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

LINK = 0o120777
EXECUTABLE = 0o100755

# What the test charms say of themselves, by name.
CHARMS: dict[str, dict[str, Any]] = {
    "web": {
        "summary": "a principal with every kind of option",
        "provides": {"site": {"interface": "http"}, "cache": {"interface": "memcache"}},
        "requires": {"database": {"interface": "sql"}},
        "peers": {"cluster": {"interface": "web-cluster"}},
        "resources": {
            "page": {"type": "file", "filename": "index.html"},
            "image": {"type": "oci-image"},
        },
    },
    "db": {
        "provides": {"db": {"interface": "sql"}, "backup": {"interface": "sql"}},
        "requires": {"proxied": {"interface": "http"}},
    },
    "search": {
        "subordinate": True,
        "requires": {
            "juju-info": {"interface": "juju-info", "scope": "container"},
            "logs": {"interface": "syslog"},
        },
        "provides": {"metrics": {"interface": "cos_agent"}},
        "peers": {"searchers": {"interface": "search-peers"}},
        "resources": {"image": {"type": "file"}},
    },
    "agent": {
        "subordinate": True,
        "requires": {
            "juju-info": {"interface": "juju-info", "scope": "container"},
            "scraped": {"interface": "cos_agent", "scope": "container"},
        },
    },
    "loner": {"requires": {"local": {"interface": "loner", "scope": "container"}}},
    "host": {"provides": {"local": {"interface": "loner"}}},
    "stored": {"storage": {"data": {"type": "filesystem"}}},
}

OPTIONS: dict[str, dict[str, Any]] = {
    "web": {
        "title": {"type": "string", "default": "hello", "description": "shown on top"},
        "port": {"type": "int", "default": 80},
        "share": {"type": "float", "default": 0.5},
        "debug": {"type": "boolean", "default": False},
        "password": {"type": "secret"},
        "motto": {"type": "string"},
    },
    "search": {"image": {"type": "string", "default": "mlucas"}},
}

ACTIONS: dict[str, dict[str, Any]] = {
    "web": {
        "restart": {"description": "restart it"},
        "publish": {
            "params": {
                "path": {"type": "string"},
                "mode": {"type": "string", "default": "fast"},
                "tags": {"type": "object"},
            },
            "required": ["path"],
        },
    },
}


def pack(
    folder: Path,
    name: str,
    files: Mapping[str, str] | None = None,
    *,
    modes: Mapping[str, int] | None = None,
    filename: str = "",
    **changes: Any,
) -> Path:
    """Pack a charm into a folder and return its path.

    Args:
        files: content by path; a directory's path ends in "/".
        modes: the file type and permissions of some of them.
        changes: keys of metadata.yaml that differ from `CHARMS`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{filename or name}.charm"
    options = changes.pop("options", OPTIONS.get(name, {}))
    actions = changes.pop("actions", ACTIONS.get(name, {}))
    metadata = {"name": name, **CHARMS.get(name, {}), **changes}
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.yaml", yaml.safe_dump(metadata, sort_keys=False))
        if options:
            archive.writestr("config.yaml", yaml.safe_dump({"options": options}))
        if actions:
            archive.writestr("actions.yaml", yaml.safe_dump(actions))
        for member, text in (files or {"dispatch": f"#!/bin/sh\n# {name}\n"}).items():
            info = zipfile.ZipInfo(member)
            info.external_attr = (modes or {}).get(member, 0o100644) << 16
            archive.writestr(info, text)
    return path
