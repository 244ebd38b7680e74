"""An image in a file, as `docker save` writes it and as the charm hands it to the engine."""

from __future__ import annotations

import io
import json
import lzma
import os
import tarfile
import tempfile
import zlib
from itertools import islice
from pathlib import Path
from posixpath import normpath
from typing import IO, BinaryIO

from dockerhost import ImageError

_MANIFEST = "manifest.json"
_MEMBERS = 10_000  # of an archive; docker save writes a few for each layer
_LONGEST = 1024 * 1024  # bytes of a manifest
_REFUSAL = (
    "the file is damaged, or does not contain one image; attach a file that docker save wrote"
)

_DAMAGED = (
    *(tarfile.TarError, zlib.error, lzma.LZMAError, EOFError),
    *(ValueError, LookupError, TypeError, RecursionError),
)


def rewrite(archive: Path, name: str) -> BinaryIO:
    """Return a temporary archive with the same image under one name, whatever names it had.

    An engine gives an image each name that it finds in an archive, and takes it from the image
    that had it; engines of several versions look in several members, and some of those can be
    there twice. So nothing is handed on but the image's configuration and its layers.

    Args:
        archive: what docker save wrote of one image.
        name: REPOSITORY:TAG.

    Raises:
        ImageError: it is something else, or damaged.
        OSError: it can't be read, or a copy of it can't be written beside it.
    """
    draft = tempfile.TemporaryFile(dir=archive.parent)  # noqa: SIM115 - the caller closes it
    try:
        with tarfile.open(archive) as tar, tarfile.open(fileobj=draft, mode="w") as copy:
            _copy_image(tar, copy, name)
        draft.seek(0)
    except BaseException as error:
        draft.close()
        # An error of the system has a number; one of a compression's format has none.
        if isinstance(error, _DAMAGED) or (isinstance(error, OSError) and error.errno is None):
            raise ImageError(_REFUSAL) from error
        raise
    return draft


def _copy_image(tar: tarfile.TarFile, copy: tarfile.TarFile, name: str) -> None:
    """Copy an image between archives. Raises as `_DAMAGED` says for what is none."""
    members = {normpath(member.name): member for member in islice(tar, _MEMBERS)}
    only, *more = json.loads(_open(tar, members[_MANIFEST]).read(_LONGEST))
    if more:
        raise ValueError("several images")
    paths = [normpath(path) for path in (only["Config"], *only["Layers"])]
    # In their order in the archive, so that a compressed one is read once.
    renamed: dict[str, str] = {}
    for path in sorted(set(paths), key=lambda path: members[path].offset):
        renamed[path] = f"{len(renamed)}.{'json' if path == paths[0] else 'tar'}"
        _add(copy, renamed[path], _open(tar, members[path]))
    config, *layers = (renamed[path] for path in paths)
    manifest = [{"Config": config, "RepoTags": [name], "Layers": layers}]
    _add(copy, _MANIFEST, io.BytesIO(json.dumps(manifest).encode()))


def _open(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    """Open a member; of a link, what it points to within the archive."""
    file = tar.extractfile(member)
    if file is None:
        raise ValueError(f"{member.name} is not a regular file")
    return file


def _add(copy: tarfile.TarFile, name: str, file: IO[bytes]) -> None:
    member = tarfile.TarInfo(name)
    member.size = file.seek(0, os.SEEK_END)
    file.seek(0)
    copy.addfile(member, file)
