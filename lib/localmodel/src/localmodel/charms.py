"""Reads packed charms: their names, endpoints, options, actions and resources."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import msgspec
import yaml
from msgspec import Struct, field

from localmodel import goyaml
from localmodel.errors import LocalModelError
from localmodel.machines.trees import remove_tree
from localmodel.paths import Paths
from localmodel.state import JUJU_INFO, Endpoint
from localmodel.store import naming, write_atomically

# Holds the charm's URL in a unit's charm folder, as Juju writes it there.
MARKER = ".juju-charm"
# Beside that folder: the SHA-256 of the charm that was unpacked into it.
DIGEST = "charm.sha256"


class EndpointMeta(Struct):
    """One endpoint in a charm's metadata."""

    interface: str
    scope: Literal["global", "container"] = "global"
    limit: int | None = None
    optional: bool = False


class Option(Struct):
    """One configuration option."""

    type: Literal["string", "int", "float", "boolean", "secret"]
    description: str = ""
    default: Any = None


class Action(Struct):
    """One action; `params` are JSON Schema properties."""

    description: str = ""
    params: dict[str, Any] = {}
    required: list[str] = []
    additional: bool = field(name="additionalProperties", default=False)


class ResourceMeta(Struct):
    """One resource that the charm can be given."""

    type: Literal["file", "oci-image"] = "file"
    filename: str = ""
    description: str = ""


class Meta(Struct):
    """What a packed charm says of itself."""

    name: str
    summary: str = ""
    subordinate: bool = False
    provides: dict[str, EndpointMeta] = {}
    requires: dict[str, EndpointMeta] = {}
    peers: dict[str, EndpointMeta] = {}
    bindings: dict[str, Any] = field(name="extra-bindings", default_factory=dict[str, Any])
    resources: dict[str, ResourceMeta] = {}
    storage: dict[str, Any] = {}
    options: dict[str, Option] = {}
    actions: dict[str, Action] = {}

    def endpoints(self, app: str) -> list[Endpoint]:
        """Return all endpoints of an application with this charm, the implicit one last."""
        declared = [
            *(Endpoint(app, n, "provider", e.interface) for n, e in self.provides.items()),
            *(Endpoint(app, n, "requirer", e.interface) for n, e in self.requires.items()),
            *(Endpoint(app, n, "peer", e.interface) for n, e in self.peers.items()),
        ]
        if any(e.name == JUJU_INFO and e.role == "provider" for e in declared):
            return declared
        return [*declared, Endpoint(app, JUJU_INFO, "provider", JUJU_INFO, implicit=True)]

    def scope(self, endpoint: Endpoint) -> str:
        group = {"provider": self.provides, "requirer": self.requires, "peer": self.peers}
        meta = group[endpoint.role].get(endpoint.name)
        return meta.scope if meta else "global"


@lru_cache(maxsize=64)
def read_packed(path: Path) -> Meta:
    """Return what a packed charm says of itself.

    Raises: LocalModelError if it is missing, no charm, or malformed.
    """
    if not path.is_file():
        raise LocalModelError(f"charm {str(path)!r} not found: give a packed .charm file")
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())

            def read(name: str) -> dict[str, Any]:
                if name not in names:
                    return {}
                # libyaml's takes a tenth of the time, and every command reads each charm.
                body = yaml.load(archive.read(name), yaml.CSafeLoader)
                return msgspec.convert(body or {}, dict[str, Any])

            if "metadata.yaml" not in names:
                raise LocalModelError(f"{path} is not a packed charm: it has no metadata.yaml")
            body = read("metadata.yaml")
            body["options"] = read("config.yaml").get("options", {})
            body["actions"] = _read_actions(archive) if "actions.yaml" in names else {}
            return msgspec.convert(body, Meta)
    except (zipfile.BadZipFile, yaml.YAMLError, ValueError) as error:
        raise LocalModelError(f"{path} is not a valid packed charm: {error}") from error


def _read_actions(archive: zipfile.ZipFile) -> dict[str, Any]:
    """Read the actions, whose names and fields are text, but not the keys further down."""
    body = goyaml.load(archive.read("actions.yaml"), text_keys=2)
    return msgspec.convert(goyaml.require_string_keys(body or {}), dict[str, Any])


def store_charm(paths: Paths, path: Path) -> str:
    """Copy a packed charm into the store of charms, where it stays as it is now.

    Returns: the digest of its content, which is its name there.
    Raises: LocalModelError as `read_packed`.
    """
    read_packed(path)
    data = path.read_bytes()
    sha256 = hashlib.sha256(data).hexdigest()
    kept = locate_charm(paths, sha256)
    if not kept.is_file():
        write_atomically(kept, data)
    return sha256


def locate_charm(paths: Paths, sha256: str) -> Path:
    return paths.charms / f"{sha256}.charm"


def read_meta(paths: Paths, sha256: str) -> Meta:
    """Return what a charm in the store says of itself."""
    return read_packed(locate_charm(paths, sha256))


def unpack_charm(paths: Paths, sha256: str, folder: Path, url: str) -> None:
    """Unpack a charm's files into a unit's charm folder.

    Files of the charm that was there before are taken away; files that the unit made are kept.
    Safe to repeat after an interruption: the digest is written last.

    Args:
        url: the charm's name with its revision, such as local:mprime-0.
    """
    digest = folder.parent / DIGEST
    before = digest.read_text() if digest.is_file() else ""
    if before == sha256:
        return
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(locate_charm(paths, sha256)) as archive:
        wanted = set(archive.namelist())
        if before and locate_charm(paths, before).is_file():
            with zipfile.ZipFile(locate_charm(paths, before)) as old:
                for name in set(old.namelist()) - wanted:
                    if not name.endswith("/"):
                        (folder / name).unlink(missing_ok=True)
        for info in archive.infolist():
            target = folder / info.filename
            # Its parent's, for the file itself may be a link out of the charm, as a venv's python.
            inside = target.parent.resolve().is_relative_to(folder.resolve())
            if not inside or ".." in Path(info.filename).parts:
                raise LocalModelError(f"charm {sha256[:12]} has a file outside of it: {target}")
            if info.is_dir():
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            if target.is_dir() and not target.is_symlink():
                # The charm before had a folder here.
                remove_tree(target)
            target.unlink(missing_ok=True)
            mode = info.external_attr >> 16
            if mode & 0o170000 == 0o120000:
                target.symlink_to(archive.read(info).decode())
                continue
            with naming(target), archive.open(info) as source, target.open("wb") as sink:
                shutil.copyfileobj(source, sink)
            target.chmod((mode & 0o777) or 0o644)
    write_atomically(folder / MARKER, f"{url}\n".encode())
    write_atomically(digest, sha256.encode())


def find_charm(name: str, folder: Path) -> Path:
    """Look a charm's name up in the folder that stands in for Charmhub.

    Raises: LocalModelError, naming what is there, if it isn't.
    """
    path = folder / f"{name}.charm"
    if path.is_file():
        return path
    there = sorted(p.stem for p in folder.glob("*.charm")) if folder.is_dir() else []
    known = ", ".join(there) if there else "nothing"
    raise LocalModelError(
        f'charm or bundle "{name}" not found: the folder that stands in for Charmhub,'
        f" {folder}, holds {known}; pack it, or give a path that begins with ./ or /"
    )
